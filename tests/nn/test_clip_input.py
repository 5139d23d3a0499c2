"""What a network is given of the views of a batch."""

import pytest
import torch

from vidssl.errors import VidsslError
from vidssl.nn.clip_input import ClipInput


def test_views_of_different_sizes_are_refused_with_the_key():
    views = [torch.zeros(2, 3, 4, size, size, dtype=torch.uint8) for size in (32, 40)]
    with pytest.raises(VidsslError, match=r"4x32x32, 4x40x40\), .* data.augmentations the same crop_size"):
        ClipInput([0.5] * 3, [0.5] * 3)(views)
