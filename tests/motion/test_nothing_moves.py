"""Noise is no motion, however large the flow that an estimator finds in it; what moves in noise is."""

import motion_scenes as scenes
import numpy as np
import pytest

from vidssl.data.augmentation import AugmentationRecipe, MotionCrop
from vidssl.data.crops import draw_crop, draw_motion_crop
from vidssl.data.motion_sampling import MotionSampler
from vidssl.motion.extract import video_motion
from vidssl.motion.flow import video_flows
from vidssl.motion.settings import MotionSettings

NUM_FRAMES = 24
ESTIMATORS = ["codec", "dis", "farneback"]
ENCODERS = {
    "mpeg4": ("mpeg4", ".avi", None, "yuv420p"),
    "h264": ("libx264", ".mp4", {"crf": "18"}, "yuv420p"),
    "mjpeg": ("mjpeg", ".avi", {"qscale": "3"}, "yuvj420p"),  # without vectors: codec falls back
}
EMPTY = {
    "flat": ([np.full((scenes.HEIGHT, scenes.WIDTH), 110)], 5),
    "very noisy": ([np.full((scenes.HEIGHT, scenes.WIDTH), 110)], 10),
    "dark": ([np.full((scenes.HEIGHT, scenes.WIDTH), 20)], 3),
    "textured": (scenes.pan(1, (0, 0)), 4),
    "faint": ([110 + 0.1 * (scenes.pan(1, (0, 0))[0] - 128.0)], 3),
}


def encoded(folder, frames, encoder):
    codec, suffix, options, pixel_format = ENCODERS[encoder]
    return scenes.encode(folder / f"video{suffix}", frames, codec, options=options, pixel_format=pixel_format)


def with_a_square(background, texture, speed=2):
    """A textured square of 40 pixels that crosses a still background."""
    frames = []
    for number in range(NUM_FRAMES):
        frame = np.array(background, float)
        frame[50:90, 20 + speed * number : 60 + speed * number] = texture
        frames.append(frame)
    return frames


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("scene", EMPTY)
def test_nothing_moves_in_an_empty_or_still_scene(tmp_path, scene, encoder):
    picture, deviation = EMPTY[scene]
    path = encoded(tmp_path, scenes.noisy(picture * NUM_FRAMES, deviation), encoder)
    for estimator in ESTIMATORS:
        assert not video_motion(path, MotionSettings(estimator=estimator)).maps.any(), estimator


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("brightness", "deviation"), [(1.0, 4), (0.3, 2)])
@pytest.mark.parametrize("estimator", ["dis", "farneback"])
def test_a_lone_thing_before_a_noisy_flat_background_is_what_moves(tmp_path, estimator, brightness, deviation, encoder):
    background = np.full((scenes.HEIGHT, scenes.WIDTH), 60 * brightness)
    frames = with_a_square(background, brightness * scenes.textured(40, 40, seed=1))
    path = encoded(tmp_path, scenes.noisy(frames, deviation), encoder)
    rows = video_motion(path, MotionSettings(estimator=estimator)).maps.mean(axis=(0, 2))
    assert rows[8:19].mean() > 3 * rows[[*range(2, 5), *range(23, 26)]].mean()  # the square's, of 28


@pytest.mark.parametrize("encoder", ENCODERS)
def test_codec_maps_of_a_thing_before_noise_are_kept(tmp_path, encoder):
    frames = with_a_square(scenes.pan(1, (0, 0))[0], scenes.textured(40, 40, seed=1))
    assert video_motion(encoded(tmp_path, scenes.noisy(frames, 4), encoder), MotionSettings()).maps.any()


@pytest.mark.parametrize("estimator", ["dis", "farneback"])
def test_a_shake_of_the_whole_picture_is_not_noise(tmp_path, estimator):
    """Flow that turns at every frame, as of a strobing fight, does not last, but explains what changes."""
    there, back = scenes.pan(2, (3, 0), object_speed=(-4, 0))
    path = scenes.encode(tmp_path / "shake.avi", scenes.noisy([there, back] * 8, 2))
    assert video_motion(path, MotionSettings(estimator=estimator, pool="magnitude")).maps.any()


def test_noise_in_a_flat_area_counts_less_with_the_mask(tmp_path):
    frames = with_a_square(np.full((scenes.HEIGHT, scenes.WIDTH), 60), scenes.textured(40, 40, seed=1))
    path = encoded(tmp_path, scenes.noisy(frames, 4), "mjpeg")
    below = {}
    for mask in (True, False):
        flows = list(video_flows(path, MotionSettings(estimator="dis", options={"mask": mask})))
        below[mask] = np.abs([flow[-flow.shape[0] // 6 :] for flow in flows]).mean()
    assert below[True] < 0.3 * below[False]


def test_clips_and_crops_of_a_still_video_are_drawn_anywhere(tmp_path):
    path = encoded(tmp_path, scenes.noisy(EMPTY["flat"][0] * NUM_FRAMES, 5), "mjpeg")
    motion = video_motion(path, MotionSettings())
    sampler = MotionSampler(num_frames=4, stride=1)
    for ours, every in zip(sampler.focused_starts(NUM_FRAMES, motion), sampler.start_ranges(NUM_FRAMES), strict=True):
        np.testing.assert_array_equal(ours, every)
    recipe = AugmentationRecipe(motion_crop=MotionCrop())
    crops = [draw_motion_crop(recipe, np.random.default_rng(seed), 144, 192, motion.maps[1]) for seed in range(9)]
    assert crops == [draw_crop(recipe, np.random.default_rng(seed), 144, 192) for seed in range(9)]
