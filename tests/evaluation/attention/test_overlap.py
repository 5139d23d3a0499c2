import numpy as np
import pytest
import torch
from torch import nn

from vidssl.backbones.contract import Backbone
from vidssl.errors import VidsslError
from vidssl.evaluation.attention.overlap import (
    attention_maps,
    clip_directions,
    encode_clips,
    grad_cam,
    moving_share,
    overlap,
)
from vidssl.evaluation.features.encoder import FrozenEncoder
from vidssl.types import ClipBatch


class Pixels(Backbone):
    """Maps are two fixed mixtures of the colours at every pixel."""

    def __init__(self):
        super().__init__()
        self.feature_dim, self.alignment_layer, self.stride = 2, "mix", (1, 1, 1)
        self.mix = nn.Conv3d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[..., None, None, None])

    def compute_maps(self, clips):
        return self.mix(clips).relu()


def test_grad_cam_is_the_rectified_weighted_sum_of_the_maps():
    clips = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    directions = torch.tensor([[1.0, 0.0], [0.5, -2.0]])
    found = grad_cam(Pixels().requires_grad_(False), clips, directions)
    for clip, direction, maps in zip(clips, directions, found, strict=True):
        for time in range(2):
            # d(mean of relu(A)) / dA is 1 / cells where A is above 0; its mean over space is the weight of a channel
            weights = [
                direction[channel] * (clip[channel, time] > 0).float().mean() / clip[channel].numel()
                for channel in range(2)
            ]
            expected = sum(weight * clip[channel, time] for channel, weight in enumerate(weights)).relu()
            assert torch.allclose(maps[time], expected, atol=1e-7)


def test_grad_cam_works_where_lightning_evaluates_and_leaves_no_gradients():
    backbone = Pixels()
    with torch.inference_mode():
        clips = torch.randn(1, 3, 2, 4, 4)
        assert grad_cam(backbone.requires_grad_(False), clips, torch.ones(1, 2)).shape == (1, 2, 4, 4)
    assert backbone.mix.weight.grad is None


def test_directions_point_from_all_videos_to_the_other_clips_of_ones_own():
    views = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    found = clip_directions(views)
    mean = views.reshape(-1, 5).mean(axis=0)
    for video in range(4):
        for clip in range(3):
            others = np.delete(views[video], clip, axis=0).mean(axis=0) - mean
            assert np.allclose(found[video, clip], others / np.linalg.norm(others), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 5), (3, 1, 5)])
def test_directions_need_two_videos_and_two_clips(shape):
    with pytest.raises(VidsslError, match="at least 2 videos with 2 clips"):
        clip_directions(np.zeros(shape, np.float32))


def test_maps_come_in_the_order_of_the_batches():
    encoder = FrozenEncoder(Pixels(), [0.0] * 3, [1.0] * 3)
    generator = torch.Generator().manual_seed(0)
    views = [torch.randint(0, 256, (3, 3, 2, 4, 4), dtype=torch.uint8, generator=generator) for _ in range(2)]

    def batches():
        for rows in (slice(0, 2), slice(2, 3)):
            index = torch.arange(3)[rows]
            yield ClipBatch([view[rows] for view in views], torch.zeros_like(index), index)

    features = encode_clips(encoder, batches())
    assert features.shape == (3, 2, 2)
    directions = np.random.default_rng(0).normal(size=features.shape).astype(np.float32)
    found = attention_maps(encoder, batches(), directions)
    assert found.shape == (3, 2, 2, 4, 4)
    alone = grad_cam(encoder.backbone, encoder.clip_input([views[1][2:]]), torch.from_numpy(directions[2:, 1]))
    assert np.allclose(found[2, 1], alone[0].numpy(), atol=1e-7)


def test_overlap_of_attention_that_is_the_motion_is_complete():
    motion = np.zeros((4, 1, 1, 4, 4))
    for video in range(4):
        motion[video, 0, 0, video] = 1.0  # a quarter of the cells, another one in each video
    found = overlap(motion, motion)
    assert found.motion_share == pytest.approx(1.0)
    assert found.elsewhere_share == pytest.approx(0.0)
    assert found.motion_correlation == pytest.approx(1.0)
    assert found.num_clips == 4


def test_even_attention_has_the_share_of_chance_and_no_correlation():
    motion = np.random.default_rng(0).random((5, 2, 2, 4, 4))
    for attention in (np.ones_like(motion), np.zeros_like(motion)):
        found = overlap(attention, motion)
        assert found.motion_share == pytest.approx(0.25)
        assert found.elsewhere_share == pytest.approx(0.25)
        assert found.motion_correlation == pytest.approx(0.0)


def test_overlap_equals_a_naive_count():
    rng = np.random.default_rng(1)
    attention, motion = rng.random((3, 2, 2, 3, 3)), rng.random((3, 2, 2, 3, 3))
    shares, correlations = [], []
    for video in range(3):
        for clip in range(2):
            looked, moved = attention[video, clip].ravel(), motion[video, clip].ravel()
            strongest = np.argsort(-moved)[: round(0.25 * 18)]
            shares.append(looked[strongest].sum() / looked.sum())
            correlations.append(np.corrcoef(looked, moved)[0, 1])
            assert moving_share(attention[video, clip], motion[video, clip]) == pytest.approx(shares[-1])
    found = overlap(attention, motion)
    assert found.motion_share == pytest.approx(np.mean(shares))
    assert found.motion_correlation == pytest.approx(np.mean(correlations))


def test_cells_that_move_alike_share_what_is_left_of_the_quarter():
    attention, motion = np.zeros((2, 2, 2)), np.ones((2, 2, 2))
    attention[0, 0, 0] = 1.0
    motion[1, 1, 1] = 2.0
    # one of the two moving cells is the strongest; the other is any of the seven that are alike
    assert moving_share(attention, motion) == pytest.approx(1 / 7)


def test_clips_in_which_nothing_moves_are_left_out():
    motion = np.random.default_rng(0).random((3, 1, 1, 4, 4))
    motion[1] = 0.0
    assert overlap(np.ones_like(motion), motion).num_clips == 2
    with pytest.raises(VidsslError, match="Nothing moves"):
        overlap(np.ones_like(motion), np.zeros_like(motion))


def test_shapes_that_differ_are_told():
    with pytest.raises(VidsslError, match="same shape"):
        overlap(np.ones((2, 1, 1, 4, 4)), np.ones((2, 1, 2, 4, 4)))
