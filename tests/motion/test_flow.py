import cv2
import motion_scenes as scenes
import numpy as np
import pytest

from vidssl.errors import VidsslError
from vidssl.motion import FLOW_ESTIMATORS
from vidssl.motion.codec import displayed
from vidssl.motion.flow import video_flows
from vidssl.motion.image_flow import DISFlow
from vidssl.motion.settings import MotionSettings
from vidssl.motion.stream import FrameStream
from vidssl.video.decoding import DecodingError, probe

IMAGE_ESTIMATORS = [
    pytest.param("tvl1", marks=pytest.mark.skipif(not hasattr(cv2, "optflow"), reason="needs opencv-contrib-python")),
    "dis",
    "farneback",
]


@pytest.mark.parametrize(
    ("mask", "short_side", "shape"),
    [(True, None, (18, 24, 2)), (True, 72, (18, 24, 2)), (False, None, (144, 192, 2)), (False, 72, (72, 96, 2))],
)
@pytest.mark.parametrize("estimator", IMAGE_ESTIMATORS)
def test_a_pan_is_recovered_in_pixels_of_the_video_whatever_the_resolution(
    tmp_path, estimator, mask, short_side, shape
):
    path = scenes.encode(tmp_path / "pan.avi", scenes.pan(3, (2, -1)))
    settings = MotionSettings(estimator=estimator, short_side=short_side, options={"mask": mask})
    flows = list(video_flows(path, settings))
    assert len(flows) == 2
    assert flows[0].shape == shape
    assert flows[0].dtype == np.float32
    border = flows[0].shape[0] // 8
    inner = np.stack(flows)[:, border:-border, border:-border]
    np.testing.assert_allclose(np.median(inner, axis=(1, 2)), [[-2, 1], [-2, 1]], atol=0.25)


def test_flow_is_clipped(tmp_path):
    path = scenes.encode(tmp_path / "pan.avi", scenes.pan(3, (6, 0)))
    settings = MotionSettings(estimator="farneback", options={"max_speed": 1.5})
    assert max(np.abs(flow).max() for flow in video_flows(path, settings)) == 1.5


def test_tvl1_without_its_module_names_the_package(monkeypatch):
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(VidsslError, match="opencv-contrib-python"):
        next(video_flows("any.avi", MotionSettings(estimator="tvl1")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "fats"}, r"no preset 'fats'.*Did you mean 'fast'"),
        ({"speed": 3}, r"data\.motion\.settings\.options: the flow estimator 'dis' got an unexpected .*'speed'"),
        ({"max_speed": 0}, r"max_speed must be above 0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(VidsslError, match=message):
        next(video_flows("any.avi", MotionSettings(estimator="dis", options=options)))


def test_every_estimator_is_listed_without_loading_it():
    assert set(FLOW_ESTIMATORS.names()) >= {"tvl1", "dis", "farneback", "codec"}
    assert all(FLOW_ESTIMATORS.summaries().values())
    assert FLOW_ESTIMATORS.get("dis") is DISFlow


@pytest.mark.parametrize("quarter_turns", range(4))
def test_vectors_turn_with_the_picture(quarter_turns):
    estimator = FLOW_ESTIMATORS.get("farneback")()
    first, second = scenes.pan(2, (2, -1), object_speed=(1, 2))
    first, second = first[:, :144], second[:, :144]  # square: the estimator's windows turn too
    turned = np.ascontiguousarray(np.rot90(first, quarter_turns)), np.ascontiguousarray(np.rot90(second, quarter_turns))
    (ours,) = displayed(estimator.between(first, second)[None], quarter_turns)
    np.testing.assert_allclose(ours[20:-20, 20:-20], estimator.between(*turned)[20:-20, 20:-20], atol=0.05)


# --- real files ---


@pytest.mark.parametrize("estimator", ["codec", "farneback"])
def test_rotated_videos_give_flow_as_displayed(real_videos, estimator):
    for quarter_turns, path in enumerate(["video_0.mov", "video_90.mov", "video_180.mov", "video_270.mov"]):
        file = real_videos / "edge" / "decord" / path
        info = probe(file)
        flow = next(video_flows(file, MotionSettings(estimator=estimator, short_side=None)))
        assert (flow.shape[0] > flow.shape[1]) == (info.height > info.width), quarter_turns


def test_damaged_and_odd_files_give_flow_or_a_decoding_error(real_videos):
    files = sorted([*(real_videos / "edge" / "derived").iterdir(), *(real_videos / "edge" / "codecs").iterdir()])
    outcomes = {file.name: outcome(file) for file in files}
    refused = {name for name, found in outcomes.items() if isinstance(found, str)}
    assert refused == {
        "audio_only.mp4",
        "kinetics_truncated_no_moov.mp4",
        "not_a_video.mp4",
        "sine_mono_s16.wav",
        "zero_byte.mp4",
    }
    for name, num_flows in outcomes.items():
        if name not in refused:
            path = next(file for file in files if file.name == name)
            assert num_flows == probe(path).num_frames - 1, name


def outcome(file):
    settings = MotionSettings(fallback_options={"preset": "ultrafast"}, short_side=64)
    try:
        return sum(1 for flow in video_flows(file, settings) if np.isfinite(flow).all())
    except DecodingError as error:
        return error.reason


def test_a_stream_knows_its_displayed_size(real_videos):
    file = real_videos / "edge" / "decord" / "video_90.mov"
    stream = FrameStream(str(file))
    next(stream.frames())
    info = probe(file)
    assert (stream.height, stream.width) == (info.height, info.width)
    stream.close()
