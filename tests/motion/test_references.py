"""Vectors of H.264 that span other frames than assumed."""

import motion_scenes as scenes
import numpy as np
import pytest

from vidssl.motion.block_grid import BlockGrid
from vidssl.motion.coded.references import spans_agreed_on
from vidssl.motion.flow import video_flows
from vidssl.motion.settings import MotionSettings

GRID = BlockGrid(96, 96)
CENTRES = np.array([(x, y) for y in range(8, 96, 16) for x in range(8, 96, 16)]).T
ENCODINGS = {"default": {"b_frames": 3}, "P-frames": {"b_frames": 0, "options": {"bf": "0"}}}


def agreed(spans, flow, assumed=1):
    """Return what comes out for blocks that move by `flow` (2 x n) and whose vectors span `spans` frames."""
    displacement = flow * spans
    windows = np.zeros(len(spans), int)
    return spans_agreed_on(GRID, CENTRES, windows, displacement, displacement / assumed)


@pytest.mark.parametrize("crf", ["18", "23"])
@pytest.mark.parametrize("grain", [4, 14])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_grainy_pan_keeps_its_speed(tmp_path, encoding, grain, crf):
    """Of the vectors of x264's default, which keeps three references, half or more span two frames and more."""
    rng = np.random.default_rng(0)
    frames = [np.clip(frame + rng.normal(0, grain, frame.shape), 0, 255) for frame in scenes.pan(36, (4, 0))]
    options = {"crf": crf, **ENCODINGS[encoding].get("options", {})}
    kind = {**ENCODINGS[encoding], "codec": "libx264", "options": options}
    path = scenes.encode(tmp_path / "pan.mp4", [frame.astype(np.uint8) for frame in frames], **kind)
    inner = np.stack(list(video_flows(path, MotionSettings())))[1:, 3:-3, 3:-3]
    assert (np.abs(inner - (-4, 0)).max(axis=-1) < 0.5).mean() > 0.93


@pytest.mark.parametrize("speed", [(4, 0), (-2, 1.5), (0, -6)])
def test_blocks_of_one_motion_get_the_spans_that_fit(speed):
    flow = np.repeat(np.array([speed], float).T, 36, axis=1)
    spans = np.resize([1, 2, 1, 3], 36)
    np.testing.assert_allclose(agreed(spans, flow), flow)
    np.testing.assert_allclose(agreed(np.resize([3, 1, 3], 36), flow, assumed=3), flow)


def test_what_stands_still_or_moves_in_several_ways_is_left_alone():
    rng = np.random.default_rng(0)
    several = rng.uniform(-6, 6, (2, 36))
    np.testing.assert_allclose(agreed(np.ones(36, int), several), several)
    moving_thing = np.zeros((2, 36))
    moving_thing[0, [14, 15, 20, 21]] = 6
    np.testing.assert_allclose(agreed(np.ones(36, int), moving_thing), moving_thing)
    slow = np.full((2, 36), 0.3)
    spans = np.resize([1, 2], 36)
    np.testing.assert_allclose(agreed(spans, slow), slow * spans)
