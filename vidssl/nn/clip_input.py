"""From the uint8 clips of a batch to what a network takes, and to frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vidssl.errors import VidsslError
from vidssl.types import ClipBatch

PIXEL_RANGE = 255.0


class ClipInput(nn.Module):
    """Puts views together and normalises them, on the device; nothing of it is in a state dict.

    Args:
        pixel_mean: subtracted from pixels in [0, 1], one for each of R, G, B.
        pixel_std: divides them; above 0.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, pixel_mean: Sequence[float], pixel_std: Sequence[float]) -> None:
        super().__init__()
        mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (pixel_mean, pixel_std))
        self.register_buffer("scale", 1.0 / (PIXEL_RANGE * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, views: list[Tensor]) -> Tensor:
        """Concatenate uint8 views (B x 3 x T x H x W each) and normalise them: float, one view after the other.

        Raises:
            VidsslError: views of different sizes.
        """
        if len({view.shape[1:] for view in views}) > 1:
            sizes = ", ".join("x".join(map(str, view.shape[2:])) for view in views)
            raise VidsslError(
                f"The views have different sizes (frames x height x width: {sizes}), and the network takes them "
                "together: give all recipes of data.augmentations the same crop_size."
            )
        clips = torch.cat(views) if len(views) > 1 else views[0]
        # (clips / 255 - mean) / std, in place: fresh memory for every step of it took a tenth of a small network's time
        return clips.to(self.scale.dtype).mul_(self.scale).add_(self.shift)


def frozen_features(encode: Callable[[Tensor], Tensor], clip_input: ClipInput, batch: ClipBatch) -> dict[str, Tensor]:
    """Encode a batch of evaluation clips, a view at a time.

    Thirty views of 32 frames of a few videos would not fit on a GPU together.

    Args:
        encode: normalised clips B x 3 x T x H x W to features B x D, in evaluation mode.
        clip_input: normalises.
        batch: V views of B videos.

    Returns:
        `features` float32 (B, V, D), `label` int64 (B,), `index` int64 (B,).
    """
    features = torch.stack([encode(clip_input([view])).float() for view in batch.views], dim=1)
    return {"features": features, "label": batch.label, "index": batch.index}
