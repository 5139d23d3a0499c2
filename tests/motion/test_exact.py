"""The flow that the renderer of the embedded videos knows."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.synthetic.rendering import flow_from, render
from vidssl.catalogs.synthetic.spec import SyntheticSpec
from vidssl.catalogs.synthetic.videos import draw_scene, write_synthetic
from vidssl.cli.motion import run_motion
from vidssl.data.augmentation import MCL_VIEW
from vidssl.data.datamodule import Loading, VideoDataModule
from vidssl.data.motion_sampling import MotionSampler
from vidssl.data.motion_source import MotionData, MotionSource
from vidssl.errors import VidsslError
from vidssl.motion.extract import video_motion
from vidssl.motion.flow import video_flows
from vidssl.motion.settings import MotionSettings

SPEC = SyntheticSpec(num_train=8, num_test=8, num_frames=16, height=80, width=96, appearance="background")
CLASSES = SPEC.classes
EXACT = MotionSettings(estimator="exact")


@pytest.mark.parametrize("index", range(len(CLASSES)), ids=CLASSES)
def test_taking_each_pixel_back_along_the_flow_gives_the_frame_before(index):
    scene = draw_scene(replace(SPEC, height=160, width=160), "train", index)
    frames = render(scene).astype(np.float32)
    y, x = np.indices(frames.shape[1:3], np.float32)
    for t in range(0, 15, 5):
        flow = flow_from(scene, t)
        taken_back = cv2.remap(frames[t + 1], x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        is_inside = (
            (x + flow[..., 0] > 1) & (x + flow[..., 0] < 158) & (y + flow[..., 1] > 1) & (y + flow[..., 1] < 158)
        )
        error = np.abs(taken_back - frames[t]).mean(axis=-1)[is_inside]
        # all but the outline of the shape, and what it uncovers: much where it jumps
        assert np.median(error) < 2.5
        assert np.mean(error > 12) < (0.25 if CLASSES[index] == "shake" else 0.12)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return Catalog.open(write_synthetic(tmp_path_factory.mktemp("exact") / "videos", SPEC))


def test_flow_is_a_vector_a_pixel_of_every_pair_of_frames_and_clipped(catalog):
    path = catalog.root / catalog.path(2)
    flows = np.stack(list(video_flows(path, EXACT)))
    assert flows.shape == (15, 80, 96, 2)
    assert flows.dtype == np.float32
    np.testing.assert_array_equal(flows[4], np.clip(flow_from(draw_scene(SPEC, "train", 2), 4), -20, 20))
    slow = np.stack(list(video_flows(path, replace(EXACT, options={"max_speed": 1.5}))))
    np.testing.assert_array_equal(slow, np.clip(flows, -1.5, 1.5))


def test_on_cells_it_is_the_mean_of_their_pixels(catalog):
    path = catalog.root / catalog.path(2)
    fine, coarse = (next(video_flows(path, replace(EXACT, options=options))) for options in ({}, {"cell": 8}))
    assert coarse.shape == (10, 12, 2)
    np.testing.assert_allclose(coarse[3, 4], fine[24:32, 32:40].mean(axis=(0, 1)), atol=1e-5)
    with pytest.raises(VidsslError, match="cell is a number of pixels, at least 1, got 0"):
        next(video_flows(path, replace(EXACT, options={"cell": 0})))


@pytest.mark.parametrize("estimator", ["exact", "codec"])
def test_a_floor_takes_the_weak_part_of_each_map_away(catalog, estimator):
    path = catalog.root / catalog.path(2)
    whole, above = (video_motion(path, MotionSettings(estimator=estimator, floor=floor)).maps for floor in (0.0, 0.75))
    level = np.quantile(whole, 0.75, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(above, np.where(whole > level, whole - level, 0), rtol=1e-5, atol=1e-6)
    assert (above > 0).mean() <= 0.25


def test_maps_are_where_the_shape_is_and_never_taken_for_noise(catalog):
    for row in range(len(catalog)):
        motion = video_motion(catalog.root / catalog.path(row), EXACT)
        assert motion.maps.shape == (2, 28, 28)
        assert motion.maps.any()
    scene = draw_scene(SPEC, "train", 4)  # turns on the spot
    s_motion = video_motion(catalog.root / catalog.path(4), EXACT).maps.mean(axis=0)
    row, column = np.indices(s_motion.shape)
    x, y = ((s_motion * place).sum() / s_motion.sum() for place in (column, row))
    assert x + 0.5 == pytest.approx(28 * (0.5 + scene.placement.centre[0] * 80 / 96), abs=1.5)
    assert y + 0.5 == pytest.approx(28 * (0.5 + scene.placement.centre[1]), abs=1.5)


def test_stored_and_computed_by_the_workers_are_the_same(catalog, tmp_path, capsys):
    store = str(tmp_path / "exact.motion")
    arguments = ["--data.catalog", str(catalog.file), "--data.motion.settings.estimator", "exact", "--workers", "1"]
    assert run_motion([*arguments, "--output", store, "--dtype", "float16"]) == 0
    assert "16 by exact" in capsys.readouterr().out
    stored, computed = (MotionSource(catalog, MotionData(EXACT, file)) for file in (store, None))
    np.testing.assert_allclose(stored(9).maps, computed(9).maps, rtol=1e-3, atol=1e-4)
    module = VideoDataModule(
        str(catalog.file),
        batch_size=4,
        sampler=MotionSampler(num_frames=4, stride=1),
        augmentations=[replace(MCL_VIEW, crop_size=32)] * 4,
        motion=MotionData(EXACT, target_shape=(2, 7, 7)),
        loading=Loading(num_workers=1),
    )
    batch = next(iter(module.train_dataloader()))
    assert batch.motion.shape == (4, 2, 7, 7)
    assert (batch.motion.flatten(1).amax(dim=1) > 0).all()


def test_other_videos_are_refused_with_what_is_missing(catalog, tmp_path):
    video = catalog.root / catalog.path(0)
    lone = tmp_path / "holiday.mp4"
    shutil.copy(video, lone)
    with pytest.raises(
        VidsslError, match=r"'exact' knows the embedded videos only.*no spec\.json in .*'codec' or 'dis'"
    ):
        next(video_flows(lone, EXACT))
    copied = tmp_path / "copy" / "train" / "left_right"
    copied.mkdir(parents=True)
    shutil.copy(catalog.root / "spec.json", tmp_path / "copy")
    for name, message in [("holiday.mp4", "is not a video of the spec"), ("00001.mp4", "is not a video of the spec")]:
        shutil.copy(video, copied / name)
        with pytest.raises(VidsslError, match=message):
            next(video_flows(copied / name, EXACT))
    shutil.copy(video, copied / "00000.mp4")
    assert next(video_flows(copied / "00000.mp4", EXACT)).shape == (80, 96, 2)
    (tmp_path / "copy" / "spec.json").write_text('{"drawing_version": 1}')
    with pytest.raises(VidsslError, match="is of drawing version 1"):
        next(video_flows(copied / "00000.mp4", EXACT))
