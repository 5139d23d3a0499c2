import gc
import logging

import av
import motion_scenes as scenes
import numpy as np
import pytest

from vidssl.errors import VidsslError
from vidssl.motion import flow as flow_module
from vidssl.motion.block_grid import BlockGrid, reduced, regularise, splat, texture
from vidssl.motion.coded import packets as packets_module
from vidssl.motion.coded.vectors import VectorStream
from vidssl.motion.extract import video_motion
from vidssl.motion.flow import video_flows
from vidssl.motion.maps import VideoMotion
from vidssl.motion.settings import MotionSettings
from vidssl.video.decoders.kept_frames import KeptFrames
from vidssl.video.decoding import DecodingError, frames_to_keep, probe, read_frames

X264 = {"crf": "12", "preset": "medium", "refs": "1", "b-pyramid": "none"}
KINDS = {
    "mpeg4": {"codec": "mpeg4"},
    "mpeg4 with B-frames": {"codec": "mpeg4", "b_frames": 2},
    "mpeg1 with B-frames": {"codec": "mpeg1video", "b_frames": 2, "options": {"b": "8000000"}},
    "mpeg2 with B-frames": {"codec": "mpeg2video", "b_frames": 2, "options": {"b": "8000000"}},
    "h264": {"codec": "libx264", "options": {**X264, "bf": "0"}},
    "h264 with B-frames": {"codec": "libx264", "b_frames": 2, "options": {**X264, "bf": "2", "b-adapt": "0"}},
}


def named(name, kind):
    ending = {"h264": "mp4", "mpeg1": "mpg", "mpeg2": "mpg"}.get(kind.split()[0], "avi")
    return f"{name}.{ending}"


@pytest.mark.parametrize("packets", ["all", "some"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("speed", [(3, 0), (-2, 1), (0, -4)])
def test_a_pan_is_recovered_in_pixels_a_frame(tmp_path, kind, speed, packets):
    """Over 24 frames with key frames in between, whatever the distance to the frames that vectors refer to."""
    path = scenes.encode(tmp_path / named("pan", kind), scenes.pan(24, speed), **KINDS[kind])
    flows = list(video_flows(path, MotionSettings(options={"packets": packets})))
    assert len(flows) == 23
    assert flows[0].shape == (18, 24, 2)
    assert flows[0].dtype == np.float32
    inner = np.stack(flows)[1:, 3:-3, 3:-3]  # what comes in at the edges has no past
    np.testing.assert_allclose(np.median(inner, axis=(1, 2)), np.broadcast_to(np.negative(speed), (22, 2)), atol=0.3)


@pytest.mark.parametrize("kind", ["mpeg1 with B-frames", "mpeg2 with B-frames", "h264 with B-frames"])
def test_b_frames_count_by_their_own_vectors(tmp_path, kind):
    """Some of which point to the future, unlike those of the P-frame that would stand in for them."""
    path = scenes.encode(tmp_path / named("pan", kind), scenes.pan(12, (2, 0)), **KINDS[kind])
    stream = VectorStream(str(path), packets="all")
    vectors = {coded.number: coded.vectors for coded in stream.frames()}
    stream.close()
    for number in (1, 2, 4, 5):
        assert (vectors[number]["source"] > 0).any()


def test_an_object_moves_where_it_is(tmp_path):
    path = scenes.encode(tmp_path / "object.avi", scenes.pan(12, (0, 0), object_speed=(2, 0)))
    flow = list(video_flows(path, MotionSettings()))[5]
    assert np.median(flow[7:11, 11:15, 0]) == pytest.approx(2, abs=0.5)  # what stands still around it pulls
    assert np.abs(flow[:4]).max() < 0.5


@pytest.mark.parametrize(
    ("kind", "most_read"), [("mpeg4", 13), ("mpeg4 with B-frames", 30), ("h264 with B-frames", 14)]
)
def test_leaving_packets_out_changes_no_vector_and_no_number(tmp_path, kind, most_read):
    frames = scenes.pan(30, (2, 1), object_speed=(1, -1))
    path = scenes.encode(tmp_path / named("pan", kind), frames, **KINDS[kind])
    whole, part = (as_read(path, packets) for packets in ("all", "some"))
    assert list(whole) == list(range(30))
    read = [number for number, vectors in part.items() if vectors is not None]
    assert 7 <= len(read) <= most_read
    for number in read:
        np.testing.assert_array_equal(part[number], whole[number])


def as_read(path, packets):
    stream = VectorStream(str(path), packets=packets)
    vectors = {coded.number: coded.vectors for coded, _ in stream._read()}
    stream.close()
    assert stream.num_frames == 30
    return vectors


def test_where_frames_cannot_be_told_apart_all_are_read(tmp_path, monkeypatch):
    path = scenes.encode(tmp_path / "pan.avi", scenes.pan(30, (2, 1)))
    whole = video_motion(path, MotionSettings(options={"packets": "all"}))
    decoded = packets_module._decoded
    calls = iter(range(100))
    monkeypatch.setattr(packets_module, "_decoded", lambda *given: decoded(*given) if next(calls) < 9 else [])
    motion = video_motion(path, MotionSettings())
    assert motion.num_frames == 30
    np.testing.assert_allclose(motion.maps[-2:], whole.maps[-2:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("codec", ["mjpeg", "libvpx-vp9"])
def test_streams_without_vectors_fall_back_and_say_so_once(tmp_path, caplog, codec):
    flow_module._tell_fallback.cache_clear()
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = scenes.encode(tmp_path / "still.mkv", scenes.pan(6, (1, 0)), codec=codec, pixel_format=pixels)
    settings = MotionSettings(fallback="farneback")
    with caplog.at_level(logging.WARNING, "vidssl.motion"):
        motions = [video_motion(path, settings) for _ in range(2)]
    wanted = video_motion(path, MotionSettings(estimator="farneback"))
    assert [record.getMessage() for record in caplog.records] == [caplog.records[0].getMessage()]
    assert "'codec' takes 'farneback'" in caplog.text
    for motion in motions:
        np.testing.assert_array_equal(motion.maps, wanted.maps)


def test_key_frames_alone_are_no_motion_vectors(tmp_path):
    frames = scenes.pan(6, (1, 0))
    path = scenes.encode(tmp_path / "intra.avi", frames, codec="libx264", options={"g": "1", "crf": "20"})
    motion = video_motion(path, MotionSettings(fallback="farneback"))
    np.testing.assert_array_equal(motion.maps, video_motion(path, MotionSettings(estimator="farneback")).maps)


def test_unknown_packets_are_refused():
    with pytest.raises(VidsslError, match=r"settings\.options: packets is one of some, all, got 'third'"):
        list(video_flows("any.avi", MotionSettings(options={"packets": "third"})))


# --- the grid ---


def one_block(x, y, w, h, motion, source=-1, scale=2):
    names = ["source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale"]
    block = np.zeros(1, [(name, np.int32) for name in names])
    block[0] = (source, w, h, x, y, *motion, scale)
    return block


def test_a_block_fills_the_cells_that_it_covers():
    grid = BlockGrid(64, 80)
    factors = np.array([[-1.0, 0.5]])
    plane = np.array([0])
    sums = splat(grid, [one_block(24, 8, 16, 16, (6, -2))], factors, plane, max_speed=20.0)[0]
    expected = np.zeros((3, 8, 10))
    expected[:, 0:2, 2:4] = np.reshape([-3, 1, 1], (3, 1, 1))
    np.testing.assert_allclose(sums, expected)
    small = splat(grid, [one_block(20, 12, 8, 8, (6, -2), source=1)], factors, plane, max_speed=20.0)[0]
    assert small[:, 1, 2] == pytest.approx([1.5, -0.5, 1])
    assert np.count_nonzero(small) == 3


def test_frames_of_a_plane_are_added_up_and_speed_is_clipped():
    grid = BlockGrid(64, 80)
    factors = np.broadcast_to([-1.0, 1.0], (3, 2))
    blocks = [one_block(8, 8, 16, 16, (horizontal, 0)) for horizontal in (-2, -4, -200)]
    sums = splat(grid, blocks, factors, np.array([0, 0, 2]), max_speed=20.0)
    assert sums.shape == (3, 3, 8, 10)
    assert sums[:, :, 0, 0].tolist() == [[3, 0, 2], [0, 0, 0], [20, 0, 1]]


def test_vectors_in_flat_areas_and_along_edges_give_way_to_their_surroundings():
    grid = BlockGrid(128, 128)
    picture = scenes.textured(128, 128)
    picture[32:96, 32:96] = 100  # flat
    picture[60:68, 32:96] = 200  # but for a bar across
    sums = np.zeros((1, 3, *grid.shape), np.float32)
    sums[:, 0], sums[:, 2] = 2.0, 1.0
    sums[0, :2, 5, 5] = 9, 9  # flat
    sums[0, :2, 7, 8] = 9, -5  # on the edge of the bar: only v can be seen
    flow = regularise(sums, texture(grid, reduced(grid, picture))[None])[0]
    assert flow[5, 5] == pytest.approx([2, 0], abs=0.8)
    assert flow[7, 8, 0] == pytest.approx(2, abs=1)
    assert flow[7, 8, 1] == pytest.approx(-5, abs=1)
    assert flow[1, 1] == pytest.approx([2, 0], abs=0.05)


def test_cells_without_vectors_are_filled_and_nothing_at_all_is_no_motion():
    grid = BlockGrid(128, 128)
    look = texture(grid, reduced(grid, scenes.textured(128, 128)))[None]
    sums = np.zeros((1, 3, *grid.shape), np.float32)
    assert not regularise(sums, look).any()
    sums[:, 0], sums[:, 2] = 3.0, 1.0
    sums[:, :, 6:9, 6:9] = 0  # coded without vectors
    assert regularise(sums, look)[0, ..., 0] == pytest.approx(np.full(grid.shape, 3), abs=0.1)


# --- real files ---


def test_every_frame_counts_however_a_real_video_was_coded(real_videos):
    paths = [*real_videos.glob("singles/ucf101/*.avi"), *real_videos.glob("singles/kinetics/*1pWA.mp4")]
    paths += [real_videos / "weizmann" / "walk" / "daria_walk.avi"]
    for path in paths:
        motion = video_motion(path, MotionSettings())
        assert isinstance(motion, VideoMotion)
        assert motion.num_frames == probe(path).num_frames
        assert np.isfinite(motion.maps).all()
        assert motion.maps.max() > 0


# --- frames kept on the way ---


@pytest.mark.parametrize("kind", ["h264", "h264 with B-frames"])
def test_frames_decoded_for_their_vectors_are_those_that_reading_gives(tmp_path, kind):
    path = scenes.encode(tmp_path / named("pan", kind), scenes.pan(30, (2, 1), object_speed=(1, -1)), **KINDS[kind])
    indices = [29, 3, 3, 0, 14, 15, 16]
    whole, frames = video_motion(path, MotionSettings()), read_frames(path, indices)
    with frames_to_keep("auto") as kept:
        motion = video_motion(path, MotionSettings(), kept)
        np.testing.assert_array_equal(motion.maps, whole.maps)
        assert kept.are_complete
        path.unlink()
        np.testing.assert_array_equal(read_frames(path, indices, kept=kept), frames)
        with pytest.raises(DecodingError, match="frame 30 was asked for, but only 30 frames decode"):
            read_frames(path, [30], kept=kept)
    assert not kept.are_complete


def test_frames_are_not_kept_where_that_is_dearer_or_too_large(tmp_path):
    frames = scenes.pan(30, (2, 1))
    mpeg4 = scenes.encode(tmp_path / "pan.avi", frames)
    h264 = scenes.encode(tmp_path / "pan.mp4", frames, **KINDS["h264 with B-frames"])
    unannounced = scenes.encode(tmp_path / "pan.mkv", frames, **KINDS["h264 with B-frames"])  # no frame count
    few_bytes = 20 * frames[0].shape[0] * frames[0].shape[1] * 3 // 2
    cases = [(mpeg4, KeptFrames()), (h264, KeptFrames(few_bytes)), (unannounced, KeptFrames(few_bytes))]
    for path, kept in [*cases, (h264, frames_to_keep("opencv")), (unannounced, frames_to_keep("opencv"))]:
        with kept:
            motion = video_motion(path, MotionSettings(), kept)
            assert gc.isenabled()
            assert not kept.are_complete
            assert len(kept) == 0
            assert len(read_frames(path, [29], kept=kept)) == 1
        np.testing.assert_array_equal(motion.maps, video_motion(path, MotionSettings()).maps)


def test_when_all_is_read_anew_the_frames_kept_are_too(tmp_path, monkeypatch):
    path = scenes.encode(tmp_path / "pan.mp4", scenes.pan(30, (2, 1)), **KINDS["h264 with B-frames"])
    frames = read_frames(path, range(30))
    decoded = packets_module._decoded
    calls = iter(range(100))
    monkeypatch.setattr(packets_module, "_decoded", lambda *given: fail_at(next(calls) == 9, decoded(*given)))
    with KeptFrames() as kept:
        assert video_motion(path, MotionSettings(), kept).num_frames == 30
        assert next(calls) == 10
        assert len(kept) == 30
        np.testing.assert_array_equal(read_frames(path, range(30), kept=kept), frames)


def fail_at(now, frames):
    if now:
        raise packets_module.Inexact
    return frames


def test_no_frame_outlives_the_video_it_was_kept_for(tmp_path):
    """Not even those that refer to themselves, without a full collection."""
    path = scenes.encode(tmp_path / "pan.mp4", scenes.pan(30, (2, 1)), **KINDS["h264 with B-frames"])
    gc.collect()
    gc.freeze()
    try:
        with KeptFrames() as kept:
            video_motion(path, MotionSettings(), kept)
            assert sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()) == 30
        assert not any(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
        assert gc.isenabled()
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("name", ["R6llTwEh07w.mp4", "decord_flipping_a_pancake.mkv"])
def test_frames_kept_of_real_videos_are_those_that_reading_gives(real_videos, name):
    path = real_videos / "singles" / "kinetics" / name
    with frames_to_keep("pyav") as kept:
        motion = video_motion(path, MotionSettings(), kept)
        assert kept.are_complete
        indices = np.random.default_rng(0).integers(0, motion.num_frames, 24)
        np.testing.assert_array_equal(read_frames(path, indices, kept=kept), read_frames(path, indices))
