"""Which packets `packets: some` reads, and how frames are counted beside those that it leaves out."""

import av
import motion_scenes as scenes
import numpy as np
import pytest
from numbered_videos import with_empty_packets

from vidssl.motion.extract import video_motion
from vidssl.motion.maps import block_means, spatial_motion
from vidssl.motion.settings import MotionSettings
from vidssl.video.decoders.shortcuts import MOST_EMPTY_BYTES
from vidssl.video.decoding import probe

ALL = MotionSettings(options={"packets": "all"})


def s_correlation(path):
    """Correlate S-motion on 7 x 7 cells of `packets: some` with that of `all`."""
    some, every = (video_motion(path, settings) for settings in (MotionSettings(), ALL))
    assert some.num_frames == every.num_frames == probe(path).num_frames
    means = [block_means(spatial_motion(motion.maps)[None], 7, 7).ravel() for motion in (some, every)]
    return np.corrcoef(*means)[0, 1]


@pytest.mark.parametrize("repeats", [2, 3, 4, 8])
def test_frames_that_repeat_others_do_not_hide_the_motion(tmp_path, repeats):
    """Whichever place the frames that move have among the packets."""
    moving = scenes.pan(96 // repeats + 2, (1, 0), object_speed=(1, -0.5))
    for phase in range(repeats):
        frames = [moving[(number + phase) // repeats] for number in range(96)]
        assert s_correlation(scenes.encode(tmp_path / f"{phase}.avi", frames)) >= 0.8, f"phase {phase}"


def test_real_frames_as_small_as_empty_ones_are_counted(tmp_path):
    still = scenes.textured(32, 32)
    path = scenes.encode(tmp_path / "still.avi", [still] * 40)
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert sum(size < 16 for size in sizes) > 10
    assert video_motion(path, MotionSettings()).num_frames == video_motion(path, ALL).num_frames == 40


def test_real_frames_of_few_bytes_are_told_from_packets_without_a_frame(tmp_path):
    still = scenes.textured(32, 32)
    path = scenes.encode(tmp_path / "still.avi", [still] * 40)
    path = with_empty_packets(path, tmp_path / "empty.avi", {3, 4, 9, 20, 21, 22, 33})
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert len(sizes) == 47
    assert sum(size <= MOST_EMPTY_BYTES for size in sizes) > 40  # vop_coded tells them apart, not their size
    assert video_motion(path, MotionSettings()).num_frames == video_motion(path, ALL).num_frames == 40


def test_motion_and_numbers_beside_an_empty_packet(real_videos):
    assert s_correlation(real_videos / "ucf101_subset/YoYo/v_YoYo_g11_c04.avi") >= 0.8


@pytest.mark.slow
def test_three_of_eight_agree_with_all_on_real_videos(real_videos):
    paths = [*real_videos.glob("ucf101_subset/*/*.avi"), *real_videos.glob("weizmann/**/*.avi")]
    assert len(paths) > 150
    assert [path.name for path in paths if s_correlation(path) < 0.8] == []
