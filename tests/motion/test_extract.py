import os
import subprocess
import sys

import motion_scenes as scenes
import numpy as np
import pytest

from vidssl.motion.boundary import flow_windows, motion_boundary, windowed_motion_boundary
from vidssl.motion.estimator import clipped_window, windowed_means
from vidssl.motion.extract import pooled, video_motion, yield_into
from vidssl.motion.flow import video_flows
from vidssl.motion.maps import block_means, zero_border
from vidssl.motion.settings import MotionSettings
from vidssl.video.decoding import DecodingError

ESTIMATORS = ["codec", "dis", "farneback"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    moving = {
        "still": ((0, 0), None),
        "pan": ((3, 1), None),
        "object": ((0, 0), (2, 0)),
        "object under a pan": ((3, 1), (0, 1)),
    }
    return {
        name: scenes.encode(folder / f"{number}.avi", scenes.pan(18, *speeds))
        for number, (name, speeds) in enumerate(moving.items())
    }


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_camera_s_motion_leaves_almost_nothing_and_an_object_s_stays(videos, estimator):
    settings = MotionSettings(estimator=estimator, grid=(12, 16))
    s_motion = {name: video_motion(path, settings).maps[1:-1].mean(axis=0) for name, path in videos.items()}
    pan, moving = s_motion["pan"].mean(), s_motion["object under a pan"]
    assert moving.mean() > 4 * pan
    assert s_motion["object"].mean() > 4 * s_motion["still"].mean()
    rows, columns = np.unravel_index(moving.argmax(), moving.shape)
    assert 2 <= rows <= 10  # where the object is, at its boundary
    assert 4 <= columns <= 12


@pytest.mark.parametrize("pool", ["signed", "magnitude"])
def test_maps_are_windows_over_the_flows(videos, pool):
    settings = MotionSettings(estimator="farneback", pool=pool, grid=(7, 9), stride=3, window=5, border_fraction=0.0)
    motion = video_motion(videos["object"], settings)
    flows = np.stack(list(video_flows(videos["object"], settings)))
    expected = block_means(windowed_motion_boundary(flows, window=5, stride=3, pool=pool), 7, 9)
    assert motion.maps.shape == (6, 7, 9)
    assert (motion.stride, motion.num_frames) == (3, 18)
    np.testing.assert_allclose(motion.maps, expected, atol=1e-4)


@pytest.mark.parametrize("pool", ["signed", "magnitude"])
@pytest.mark.parametrize(("window", "stride"), [(8, 4), (1, 1), (5, 3), (4, 32)])
def test_codec_windows_need_not_match_its_chunks(tmp_path, monkeypatch, window, stride, pool):
    path = scenes.encode(tmp_path / "long.avi", scenes.pan(40, (1, 0), object_speed=(0, 0.5)))
    settings = MotionSettings(window=window, stride=stride, pool=pool)
    whole = video_motion(path, settings)
    monkeypatch.setattr("vidssl.motion.codec._CHUNK_FRAMES", 7)
    np.testing.assert_allclose(video_motion(path, settings).maps, whole.maps, atol=1e-4)
    assert len(whole.maps) == -(-40 // stride)
    assert whole.num_frames == 40


def test_windowed_means_are_those_of_the_whole_in_memory():
    rng = np.random.default_rng(0)
    for num_arrays, window, stride in [
        (1, 8, 4),
        (3, 8, 4),
        (20, 8, 4),
        (21, 1, 5),
        (21, 4, 7),
        (5, 3, 1),
        (40, 2, 16),
    ]:
        arrays = rng.normal(size=(num_arrays, 2))
        means = []
        assert yield_into(means, windowed_means(iter(arrays), window=window, stride=stride)) == num_arrays
        windows = flow_windows(num_arrays, window=window, stride=stride)
        np.testing.assert_allclose(means, [arrays[first:end].mean(axis=0) for first, end in windows])
        centres = range(0, num_arrays + 1, stride)
        assert windows == [clipped_window(centre, window, num_arrays) for centre in centres]
    assert yield_into([], windowed_means(iter([]), window=8, stride=4)) == 0


def test_the_border_is_that_of_whole_pixels_where_it_ends_on_one():
    boundary = motion_boundary(np.random.default_rng(0).normal(size=(1, 56, 84, 2)))
    expected = block_means(zero_border(boundary, (2, 3)), 7, 7)
    np.testing.assert_allclose(pooled(boundary, (7, 7), 8 / 224), expected, rtol=1e-5)
    assert not pooled(np.ones((30, 40), np.float32), (28, 28), 8 / 224)[[0, -1]].any()
    assert pooled(np.ones((30, 40), np.float32), (28, 28), 8 / 224)[1:-1, 1:-1] == pytest.approx(1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_frame_has_no_motion(tmp_path, estimator):
    path = scenes.encode(tmp_path / "one.avi", scenes.pan(1, (0, 0)))
    motion = video_motion(path, MotionSettings(estimator=estimator))
    assert motion.num_frames == 1
    assert motion.maps.shape == (1, 28, 28)
    assert not motion.maps.any()


def test_what_is_no_video_is_said(tmp_path):
    with pytest.raises(DecodingError, match=r"none\.avi: no such file"):
        video_motion(tmp_path / "none.avi", MotionSettings())
    (tmp_path / "text.avi").write_text("not a video")
    with pytest.raises(DecodingError, match="not a video"):
        video_motion(tmp_path / "text.avi", MotionSettings(estimator="dis"))


# --- to the last bit ---


def moved_in_memory(array, offset):
    """Return a copy that begins so many bytes behind a multiple of 64."""
    room = np.empty(array.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("size", [(18, 22), (30, 40)])
def test_maps_do_not_depend_on_where_flows_lie_in_memory(size):
    rng = np.random.default_rng(0)
    flows = rng.normal(size=(8, *size, 2)).astype(np.float32)
    between = []  # what is allocated between two runs moves what they allocate
    expected = motion_boundary(flows[:1]), motion_boundary(flows), pooled(motion_boundary(flows), (28, 28), 8 / 224)
    for offset in range(0, 64, 4):
        between.append(np.empty(rng.integers(1, 200_000), np.uint8))
        moved = moved_in_memory(flows, offset)
        boundary = motion_boundary(moved)
        maps = pooled(moved_in_memory(boundary, offset), (28, 28), 8 / 224)
        for ours, theirs in zip((motion_boundary(moved[:1]), boundary, maps), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_repeated_runs_give_the_same_maps_to_the_last_bit(videos):
    rng = np.random.default_rng(0)
    expected, between = video_motion(videos["object under a pan"], MotionSettings()).maps, []
    for _ in range(20):
        between.append(np.empty(rng.integers(1, 200_000), np.uint8))
        np.testing.assert_array_equal(video_motion(videos["object under a pan"], MotionSettings()).maps, expected)


def test_the_number_of_threads_changes_nothing():
    program = (
        "import sys; import numpy as np; from vidssl.motion.block_grid import regularise;"
        "from vidssl.motion.extract import pooled; random = np.random.default_rng(0).random;"
        "flow = regularise(*random((2, 16, 3, 30, 40), np.float32));"
        "pool = pooled(random((240, 320), np.float32), (28, 28), 8 / 224);"
        "sys.stdout.buffer.write(flow.tobytes() + pool.tobytes())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert len(runs[0]) == 4 * (16 * 30 * 40 * 2 + 28 * 28)
    assert runs[0] == runs[1]
