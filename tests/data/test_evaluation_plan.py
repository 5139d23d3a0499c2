"""The crops of evaluation, where nothing is drawn."""

import numpy as np
import pytest
import torch
from textured_clips import textured
from torchvision.transforms.v2 import functional as tv

from vidssl.data.augmentation import apply, evaluation_plan, three_crop_positions
from vidssl.errors import VidsslError


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (90, 121), (256, 256)])
def test_the_central_evaluation_crop_is_torchvisions(size):
    frames = textured(1, *size)
    plan = evaluation_plan(1, *size, resize=256, crop_size=224)
    picture = tv.resize(torch.from_numpy(frames).permute(0, 3, 1, 2), [256], antialias=True)
    expected = tv.center_crop(picture, [224, 224]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(apply(frames, plan), expected)


@pytest.mark.parametrize("size", [(240, 320), (320, 240)])
def test_the_three_crops_cover_the_frame(size):
    frames = textured(1, *size)
    whole = tv.resize(torch.from_numpy(frames).permute(0, 3, 1, 2), [64], antialias=True).permute(0, 2, 3, 1).numpy()
    positions = three_crop_positions(*size)
    first, _, last = (apply(frames, evaluation_plan(1, *size, resize=64, crop_size=64, position=p)) for p in positions)
    np.testing.assert_array_equal(first, whole[:, :64, :64])
    np.testing.assert_array_equal(last, whole[:, -64:, -64:])
    starts = [evaluation_plan(1, *size, resize=64, crop_size=64, position=p).frames[0].window for p in positions]
    assert starts == sorted(starts)
    assert len(set(starts)) == 3


def test_evaluation_crops_that_cannot_be_are_told():
    with pytest.raises(VidsslError, match="position is 'middle'"):
        evaluation_plan(1, 240, 320, resize=256, crop_size=224, position="middle")
    with pytest.raises(VidsslError, match="crop_size is 300"):
        evaluation_plan(1, 240, 320, resize=256, crop_size=300)
    with pytest.raises(VidsslError, match="empty"):
        evaluation_plan(0, 240, 320, resize=256, crop_size=224)
