"""What a network looks at in a clip, and how much of that moves.

Grad-CAM (Selvaraju et al., ICCV 2017) of a score that needs neither labels nor a head, so that every method and an
untrained network can be compared: how far the clip's features go in the direction in which the features of the video's
other clips differ from those of all videos. MCL (Li et al., ICCV 2021, figure 6) shows such maps; here they are
compared with the motion of the same clip, too, so that "it looks at what moves" is a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.backbones.contract import Backbone
from vidssl.errors import VidsslError
from vidssl.evaluation.features.encoder import FrozenEncoder
from vidssl.losses.motion_alignment import prediction_map
from vidssl.types import ClipBatch

MOVING_SHARE = 0.25
"""The part of a clip's cells that count as moving: those with the most motion. Attention spread evenly scores this."""


def grad_cam(backbone: Backbone, clips: Tensor, directions: Tensor) -> Tensor:
    """Return where, in each clip, the component of the features in a direction comes from.

    The maps of `Backbone.alignment_layer`, weighted by the mean over space of the score's gradient and rectified
    (equations 4 and 5 of MCL; Grad-CAM with a weight for each moment).

    Args:
        backbone: in evaluation mode; its parameters get no gradients.
        clips: normalised, float B x 3 x T x H x W.
        directions: float (B, D); the score of a clip is the product of its features with its direction.

    Returns:
        float32 B x T' x H' x W', at least 0.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # the parameters are frozen, so the graph begins at the pixels
        features, maps = backbone.forward_aligned(clips.detach().clone().requires_grad_())
        score = (features.float() * directions.to(features.device).clone()).sum()
        gradients = torch.autograd.grad(score, maps)[0]
    return prediction_map("weighted-feature", maps.detach(), gradients).float()


def clip_directions(views: np.ndarray) -> np.ndarray:
    """Return, for each clip, the direction from the mean of all videos to the mean of its video's other clips.

    Args:
        views: float (N, V, D), features of V clips of N videos, both at least 2.

    Returns:
        float32 (N, V, D), of length 1 (or 0 where there is no difference).

    Raises:
        VidsslError: fewer than two videos or clips.
    """
    if views.ndim != 3 or min(views.shape[:2]) < 2:
        raise VidsslError(
            f"Attention needs at least 2 videos with 2 clips each: a clip is compared with the others of its video, "
            f"and the video with all others. Got features of shape {views.shape}."
        )
    others = (views.sum(axis=1, keepdims=True) - views) / (views.shape[1] - 1)
    seen_from_mean = torch.from_numpy(np.asarray(others - views.mean(axis=(0, 1)), np.float32))
    return F.normalize(seen_from_mean, dim=2).numpy()


@torch.no_grad()
def encode_clips(encoder: FrozenEncoder, batches: Iterable[ClipBatch]) -> np.ndarray:
    """Return the features of every clip.

    Args:
        encoder: the network.
        batches: clips of N videos, V views each.

    Returns:
        float32 (N, V, D), in the order of the batches.
    """
    return np.concatenate([encoder.predict_step(b.to(encoder.device), 0)["features"].cpu().numpy() for b in batches])


def attention_maps(encoder: FrozenEncoder, batches: Iterable[ClipBatch], directions: np.ndarray) -> np.ndarray:
    """Return `grad_cam` of every clip.

    Args:
        encoder: the network.
        batches: V clips of N videos in all.
        directions: float32 (N, V, D), see `clip_directions`.

    Returns:
        float32 (N, V, T', H', W').
    """
    found, first = [], 0
    for batch in batches:
        rows = torch.from_numpy(directions[first : first + len(batch)])
        first += len(batch)
        maps = [
            grad_cam(encoder.backbone, encoder.clip_input([view.to(encoder.device)]), rows[:, number])
            for number, view in enumerate(batch.views)
        ]
        found.append(torch.stack(maps, dim=1).cpu().numpy())
    return np.concatenate(found)


@dataclass(frozen=True)
class Overlap:
    """How much of the attention is on what moves; means over clips in which something moves.

    Attributes:
        motion_share: share of the attention on the quarter of the cells (`MOVING_SHARE`) that move most, in [0, 1].
        elsewhere_share: the same with the motion of another video: what looking at the middle, where most things
            move, would give by itself.
        motion_correlation: Pearson's, between attention and motion over the cells of a clip, in [-1, 1].
        num_clips: clips that it was measured on.
    """

    motion_share: float
    elsewhere_share: float
    motion_correlation: float
    num_clips: int

    def plain(self) -> dict[str, float]:
        """Return the numbers by name."""
        return dict(vars(self))


def overlap(attention: np.ndarray, motion: np.ndarray) -> Overlap:
    """Compare attention with motion.

    Args:
        attention: float (N, V, T', H', W'), at least 0; a clip without any counts as looked at evenly.
        motion: float of the same shape, at least 0; clips without any are left out.

    Raises:
        VidsslError: shapes that differ, fewer than two videos, or nothing moves in any clip.
    """
    if attention.shape != motion.shape or attention.ndim != 5 or len(attention) < 2:
        raise VidsslError(
            f"Attention and motion must have the same shape (N, V, T', H', W') with N of at least 2; they have "
            f"{attention.shape} and {motion.shape}."
        )
    elsewhere = np.roll(motion, len(motion) // 2, axis=0)
    looked, moved, moved_elsewhere = (_cells(maps) for maps in (attention, motion, elsewhere))
    moves, moves_elsewhere = (maps.max(axis=1) > maps.min(axis=1) for maps in (moved, moved_elsewhere))
    if not moves.any():
        raise VidsslError("Nothing moves in any of the clips: there is no motion to compare attention with.")
    looked = _shares(looked)
    elsewhere_shares = _share_on(looked, moved_elsewhere)[moves_elsewhere]
    return Overlap(
        motion_share=float(_share_on(looked, moved)[moves].mean()),
        elsewhere_share=float(elsewhere_shares.mean()),
        motion_correlation=float(_correlations(looked[moves], moved[moves]).mean()),
        num_clips=int(moves.sum()),
    )


def moving_share(attention: np.ndarray, motion: np.ndarray) -> float:
    """Return `Overlap.motion_share` of one clip.

    Args:
        attention: float T' x H' x W', at least 0.
        motion: float of the same shape, at least 0.

    Returns:
        The share in [0, 1] of the attention on the quarter of the cells that move most.
    """
    return float(_share_on(_shares(_cells(attention[None, None])), _cells(motion[None, None]))[0])


def _cells(maps: np.ndarray) -> np.ndarray:
    """Maps as (clips, cells) in float64."""
    return maps.reshape(maps.shape[0] * maps.shape[1], -1).astype(np.float64)


def _shares(attention: np.ndarray) -> np.ndarray:
    """Attention (clips, cells) that adds up to 1 in every clip."""
    total = attention.sum(axis=1, keepdims=True)
    even = np.full_like(attention, 1 / attention.shape[1])
    return np.divide(attention, total, out=even, where=total > 0)


def _share_on(looked: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The share (clips,) of attention on the cells that move most; ties take their part each."""
    count = max(1, round(MOVING_SHARE * moved.shape[1]))
    threshold = np.sort(moved, axis=1)[:, -count][:, None]
    above, equal = moved > threshold, moved == threshold
    left = count - above.sum(axis=1)
    return (looked * above).sum(axis=1) + left * (looked * equal).sum(axis=1) / equal.sum(axis=1)


def _correlations(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row with its counterpart; 0 where one does not vary."""
    left, right = (rows - rows.mean(axis=1, keepdims=True) for rows in (left, right))
    norms = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return np.divide((left * right).sum(axis=1), norms, out=np.zeros(len(left)), where=norms > 0)
