"""Motion maps against loops over pixels, written from the formulas."""

import itertools
import math

import cv2
import numpy as np
import pytest

from vidssl.errors import VidsslError
from vidssl.motion.boundary import flow_windows, motion_boundary, prewitt_gradients, windowed_motion_boundary
from vidssl.motion.maps import (
    Region,
    VideoMotion,
    block_means,
    coverage,
    moving_region,
    spatial_motion,
    temporal_motion,
    zero_border,
)


def random_flows(num_flows, height=9, width=11, seed=0):
    return np.random.default_rng(seed).normal(size=(num_flows, height, width, 2)).astype(np.float32)


# --- oracles: one pixel at a time ---


def naive_gradient(component, row, column):
    height, width = component.shape
    dx = dy = 0.0
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            value = float(component[min(max(row + i, 0), height - 1), min(max(column + j, 0), width - 1)])
            dx += j * value
            dy += i * value
    return dx, dy


def naive_boundary(flows, pool, combine):
    num_flows, height, width, _ = flows.shape
    result = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            magnitudes = []
            for component in range(2):
                pairs = [naive_gradient(flow[..., component], row, column) for flow in flows]
                if pool == "signed":
                    dx, dy = (sum(pair[k] for pair in pairs) / num_flows for k in range(2))
                    magnitudes.append(math.sqrt(dx**2 + dy**2))
                else:
                    magnitudes.append(sum(math.sqrt(dx**2 + dy**2) for dx, dy in pairs) / num_flows)
            result[row, column] = sum(magnitudes) / (2 if combine == "mean" else 1)
    return result


def naive_block_means(picture, rows, columns, finer):
    """Every pixel cut into finer x finer equal pieces, so that every edge of a block lies on one."""
    pieces = np.repeat(np.repeat(picture, finer, 0), finer, 1)
    height, width = pieces.shape[0] // rows, pieces.shape[1] // columns
    means = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            means[row, column] = pieces[row * height : (row + 1) * height, column * width : (column + 1) * width].mean()
    return means


# --- motion boundaries ---


def test_gradients_are_those_of_prewitts_kernels():
    flows = random_flows(2)
    gradients = prewitt_gradients(flows)
    assert gradients.shape == (2, 9, 11, 2, 2)
    assert gradients.dtype == np.float32
    for index in np.ndindex(2, 9, 11, 2):
        t, row, column, component = index
        expected = naive_gradient(flows[t, ..., component], row, column)
        np.testing.assert_allclose(gradients[index], expected, atol=1e-5)


@pytest.mark.parametrize("pool", ["signed", "magnitude"])
@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_motion_boundary_is_the_loops(pool, combine):
    flows = random_flows(4)
    ours = motion_boundary(flows, pool=pool, combine=combine)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, naive_boundary(flows, pool, combine), rtol=1e-4, atol=1e-5)


def test_what_swings_back_cancels_only_when_signed():
    flow = random_flows(1)[0]
    there_and_back = np.stack([flow, -flow])
    assert motion_boundary(there_and_back, pool="signed").max() == 0
    np.testing.assert_allclose(
        motion_boundary(there_and_back, pool="magnitude"), motion_boundary(flow[None]), rtol=1e-5
    )


@pytest.mark.parametrize("pool", ["signed", "magnitude"])
def test_a_pan_has_no_boundary_and_a_thing_under_a_pan_has(pool):
    pan = np.full((8, 60, 80, 2), (7.3, -2.1), np.float32)
    assert motion_boundary(pan, pool=pool).max() < 1e-4
    with_thing = pan.copy()
    with_thing[:, 20:40, 30:50] += (1.0, 0.5)
    maps = motion_boundary(with_thing, pool=pool)
    inside, outside = maps[19:41, 29:51], maps.copy()
    outside[19:41, 29:51] = 0
    assert outside.max() < 1e-4
    assert inside.max() > 1
    assert moving_region(block_means(maps, 6, 8)) == Region(2, 3, 2, 2)


def test_a_zoom_is_the_same_everywhere():
    """Its boundary is a constant, which no threshold relative to the rest of the frame takes for motion."""
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    zoom = 0.01 * np.stack([columns - 40, rows - 30], axis=-1)
    maps = zero_border(motion_boundary(zoom[None]), 1)
    np.testing.assert_allclose(maps[1:-1, 1:-1], 0.06, rtol=1e-3)


def test_windows_lie_around_their_frames_and_are_cut_at_the_ends():
    assert flow_windows(12, window=8, stride=4) == [(0, 4), (0, 8), (4, 12), (8, 12)]
    assert flow_windows(3, window=1, stride=1) == [(0, 1), (1, 2), (2, 3), (2, 3)]
    assert flow_windows(0, window=8, stride=4) == [(0, 0)]
    assert len(flow_windows(99, window=8, stride=4)) == 25


@pytest.mark.parametrize("pool", ["signed", "magnitude"])
def test_windowed_maps_are_those_of_their_windows(pool):
    flows = random_flows(13)
    maps = windowed_motion_boundary(flows, window=5, stride=3, pool=pool)
    expected = [naive_boundary(flows[max(0, f - 2) : f + 3], pool, "mean") for f in range(0, 14, 3)]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def test_a_video_of_one_frame_has_a_map_of_zeros():
    maps = windowed_motion_boundary(np.zeros((0, 6, 7, 2), np.float32), window=8, stride=4)
    assert maps.shape == (1, 6, 7)
    assert not maps.any()


@pytest.mark.parametrize(
    ("flows", "options", "message"),
    [
        (np.zeros((0, 4, 4, 2)), {}, "at least one"),
        (np.zeros((2, 4, 4, 3)), {}, r"h x w x 2 \(u, v\), got \(2, 4, 4, 3\)"),
        (np.zeros((2, 4, 4, 2)), {"pool": "singed"}, "Did you mean 'signed'"),
        (np.zeros((2, 4, 4, 2)), {"combine": "product"}, "Known: mean, sum"),
    ],
)
def test_wrong_input_is_told(flows, options, message):
    with pytest.raises(VidsslError, match=message):
        motion_boundary(flows, **options)


# --- grids ---


@pytest.mark.parametrize(("height", "width", "finer"), [(224, 224, 1), (21, 28, 1), (10, 15, 7), (3, 2, 7)])
def test_block_means_are_the_loops(height, width, finer):
    picture = np.random.default_rng(1).random((height, width)).astype(np.float32)
    ours = block_means(picture[None], 7, 7)
    assert ours.shape == (1, 7, 7)
    np.testing.assert_allclose(ours[0], naive_block_means(picture, 7, 7, finer), rtol=1e-5)


def test_the_border_is_zeroed_in_a_copy():
    maps = np.ones((2, 6, 8), np.float32)
    inside = zero_border(maps, (1, 2))
    assert maps.all()
    assert inside.sum() == 2 * 4 * 4
    assert inside[:, 1:5, 2:6].all()
    assert not zero_border(maps, 5).any()


def test_spatial_and_temporal_motion_are_means():
    st_motion = np.random.default_rng(2).random((5, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(spatial_motion(st_motion), sum(st_motion) / 5, rtol=1e-6)
    np.testing.assert_allclose(temporal_motion(st_motion), [m.sum() / 12 for m in st_motion], rtol=1e-6)


# --- the moving region ---


def naive_region(s_motion, percentile):
    num_cells = max(1, math.floor(s_motion.size * (100 - percentile) / 100))
    ranked = sorted(((float(v), r, c) for (r, c), v in np.ndenumerate(s_motion)), reverse=True)[:num_cells]
    top, left = min(r for _, r, _ in ranked), min(c for _, _, c in ranked)
    return Region(top, left, max(r for _, r, _ in ranked) - top + 1, max(c for _, _, c in ranked) - left + 1)


@pytest.mark.parametrize(("shape", "percentile"), [((7, 7), 90), ((7, 7), 80), ((28, 28), 90), ((2, 3), 90)])
def test_the_moving_region_is_the_box_around_the_strongest_cells(shape, percentile):
    generator = np.random.default_rng(3)
    for _ in range(30):
        s_motion = generator.random(shape)
        assert moving_region(s_motion, percentile) == naive_region(s_motion, percentile)


def test_without_motion_the_region_is_everything():
    assert moving_region(np.zeros((7, 7))) == Region(0, 0, 7, 7)
    lonely = np.zeros((7, 7))
    lonely[2, 3] = 1.0  # fewer moving cells than the percentile asks for
    assert moving_region(lonely) == Region(2, 3, 1, 1)
    assert moving_region(lonely + 0.5) == Region(2, 3, 1, 1)


def test_cells_that_move_alike_are_in_the_region_together():
    many = np.zeros((7, 7))
    many[1:4, 2:5] = 1.0  # more than the percentile asks for
    assert moving_region(many) == Region(1, 2, 3, 3)
    assert moving_region(many, percentile=0) == Region(0, 0, 7, 7)


def test_coverage_is_the_share_of_rows_times_the_share_of_columns():
    region = Region(2, 3, 2, 4)
    assert coverage(region, (0, 0, 7, 7)) == 1
    assert coverage(region, (3, 3, 4, 4)) == 0.5
    assert coverage(region, (2.5, 0, 1, 4)) == pytest.approx(0.5 * 0.25)
    assert coverage(region, (4, 0, 3, 7)) == 0
    assert coverage(region, (5, 0, 2, 1)) == 0  # apart in both: two negative overlaps are no overlap


# --- the motion of a video ---


def random_motion(num_frames, stride, seed=4):
    maps = np.random.default_rng(seed).random((-(-num_frames // stride), 3, 4)).astype(np.float32)
    return VideoMotion(maps, stride, num_frames)


def naive_map_of(motion, frame):
    """Each map weighs the less, the farther it is; one that is `stride` away or more weighs nothing."""
    last = (len(motion.maps) - 1) * motion.stride
    weights = [max(0, 1 - abs(s * motion.stride - min(frame, last)) / motion.stride) for s in range(len(motion.maps))]
    return np.average(motion.maps, axis=0, weights=weights)


@pytest.mark.parametrize(
    ("num_frames", "stride", "clip_stride"), [(50, 4, 2), (50, 3, 1), (17, 1, 2), (9, 4, 2), (1, 4, 2)]
)
def test_the_motion_of_all_starts_is_the_loops(num_frames, stride, clip_stride):
    motion = random_motion(num_frames, stride)
    span = 7 * clip_stride
    starts = range(num_frames - span) if num_frames > span else range(num_frames)
    expected = [
        np.mean([naive_map_of(motion, (start + i * clip_stride) % num_frames).mean() for i in range(8)])
        for start in starts
    ]
    np.testing.assert_allclose(motion.clip_motion_of_starts(8, clip_stride), expected, rtol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 2, 4, 8, 16])
def test_the_motion_of_a_clip_is_the_loops(num_steps):
    motion = random_motion(40, 4)
    indices = (30 + 2 * np.arange(8)) % 40
    frames = [naive_map_of(motion, index) for index in indices]
    bins = [frames[math.floor(b * 8 / num_steps) : math.ceil((b + 1) * 8 / num_steps)] for b in range(num_steps)]
    ours = motion.clip(indices, num_steps)
    assert ours.shape == (num_steps, 3, 4)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, [np.mean(frames, axis=0) for frames in bins], rtol=1e-5)


def test_maps_and_frames_must_fit():
    with pytest.raises(VidsslError, match="50 frames at stride 4 is 13 maps"):
        VideoMotion(np.zeros((12, 7, 7), np.float32), 4, 50)


def test_no_motion_stays_zero_and_finite():
    flows = np.zeros((8, 32, 32, 2), np.float32)
    for pool in ("signed", "magnitude"):
        maps = block_means(windowed_motion_boundary(flows, window=4, stride=4, pool=pool), 7, 7)
        motion = VideoMotion(maps, 4, 9)
        assert not motion.clip(np.arange(8), 4).any()
        assert not motion.clip_motion_of_starts(4, 1).any()
        assert moving_region(spatial_motion(maps)) == Region(0, 0, 7, 7)


def test_translated_noise_under_a_camera_leaves_the_thing():
    """From pixels: a picture pans, and a patch on it moves another way; a dense flow finds both."""
    generator = np.random.default_rng(5)
    ground = cv2.GaussianBlur(generator.integers(0, 256, (140, 260), dtype=np.uint8), (0, 0), 1.5)
    patch = cv2.GaussianBlur(generator.integers(0, 256, (40, 40), dtype=np.uint8), (0, 0), 1.5)
    frames = []
    for t in range(5):
        frame = ground[:112, 4 * t : 4 * t + 168].copy()
        frame[36:76, 60 + 2 * t : 100 + 2 * t] = patch
        frames.append(frame)
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = np.stack([estimator.calc(*pair, None) for pair in itertools.pairwise(frames)])
    maps = block_means(zero_border(motion_boundary(flows), 8), 14, 21)
    thing = maps[4:10, 7:14].sum()
    assert thing > 0.8 * maps.sum()
