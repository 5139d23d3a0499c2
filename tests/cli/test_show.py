import cv2
import numpy as np
import pytest
import yaml

from vidssl.catalogs.catalog import Catalog
from vidssl.cli import main as cli
from vidssl.data.operations import Operation
from vidssl.data.plan import FramePlan
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.motion.maps import VideoMotion
from vidssl.motion.settings import MotionSettings
from vidssl.motion.whole_catalog import MotionJob, compute_share, merge
from vidssl.reporting.contact_sheet import plan_in_words
from vidssl.reporting.contact_sheet.views import tiled

MOTION_KEYS = """
data:
  sampler: {class_path: MotionSampler, init_args: {num_frames: 4, stride: 2}}
  augmentations:
    - &view {crop_size: 32, crop_area: [0.3, 1.0], flip_probability: 0.5, motion_crop: {}}
    - *view
    - *view
    - *view
  motion: {store: STORE, settings: {grid: [7, 7]}, target_shape: [2, 7, 7]}
"""


def made_up_motion(path, settings):
    rng = np.random.default_rng(len(path))
    return VideoMotion(rng.random((24 // settings.stride, *settings.grid), np.float32), settings.stride, 24)


@pytest.fixture
def motion_config(synthetic_catalog, tmp_path):
    """Overrides for the small configuration: four views by stored motion."""
    job = MotionJob(Catalog.open(synthetic_catalog), MotionSettings(grid=(7, 7)), tmp_path / "x.motion")
    compute_share(job, Share(), Processes(1, 60.0), extract=made_up_motion)
    merge(job)
    file = tmp_path / "motion.yaml"
    file.write_text(MOTION_KEYS.replace("STORE", str(job.output)))
    return file


def pictures(folder):
    return {file.name: cv2.imread(str(file)) for file in sorted(folder.glob("*.png"))}


def test_a_configuration_without_motion_shows_its_views(small_config, tmp_path, capsys):
    assert cli.main(["show", "--config", str(small_config), "--videos", "2", "--output", str(tmp_path / "out")]) == 0
    drawn = pictures(tmp_path / "out")
    assert [name[:6] for name in drawn] == ["000000", "000016"]
    assert all(picture.shape[1] == 1500 and picture.std() > 20 for picture in drawn.values())
    assert [line.rsplit(".")[-1] for line in capsys.readouterr().out.splitlines()] == ["png", "png", "html"]


def test_two_views_use_the_page_as_four_do(small_config, tmp_path):
    assert cli.main(["show", "--config", str(small_config), "--rows", "3", "--output", str(tmp_path / "out")]) == 0
    (picture,) = pictures(tmp_path / "out").values()
    columns = (picture.min(axis=2) < 200).any(axis=0)  # with something in them
    gaps = np.diff(np.flatnonzero(columns))
    assert gaps.max() < 60  # pixels of 1500: no part of the page is empty


@pytest.mark.parametrize(("frames", "shape"), [(4, (2, 2)), (8, (3, 3)), (1, (1, 1)), (64, (3, 3))])
def test_frames_are_laid_out_as_large_as_they_can_be(frames, shape):
    clip = np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, 40, 40, 3), np.uint8)
    sheet = tiled(clip, (3.75, 3.75))
    assert (sheet.shape[0] // 41, sheet.shape[1] // 41) == shape
    assert tiled(clip, (3.75, 1.25)).shape[0] == 41  # a strip
    assert sheet[0, 0, 0] == 0


def test_dark_videos_are_shown_brighter_on_request(small_config, tmp_path):
    catalog = Catalog.open(yaml.safe_load(small_config.read_text())["data"]["catalog"])
    (dark := tmp_path / "dark").mkdir()
    writer = cv2.VideoWriter(str(dark / "night.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (48, 48))
    noise = np.random.default_rng(0).integers(0, 30, (48, 48, 3), np.uint8)
    for _ in range(24):
        writer.write(noise)
    writer.release()
    assert len(catalog) == 48
    assert cli.main(["prepare", "flat", "--videos", str(dark), "--output", str(tmp_path / "dark.catalog")]) == 0
    words = ["show", "--config", str(small_config), "--data.catalog", str(tmp_path / "dark.catalog")]
    words += ["--data.train_split", "all", "--rows", "0", "--output"]
    assert cli.main([*words, str(tmp_path / "as_it_is")]) == 0
    assert cli.main([*words, str(tmp_path / "brighter"), "--brighten"]) == 0
    (plain,), (brighter,) = (pictures(tmp_path / name).values() for name in ("as_it_is", "brighter"))
    assert brighter[300:].mean() > plain[300:].mean() + 10


def test_motion_is_drawn_where_there_is_any(small_config, motion_config, tmp_path):
    words = ["show", "--config", str(small_config), "--config", str(motion_config), "--rows", "3", "--output"]
    assert cli.main([*words, str(tmp_path / "a")]) == 0
    assert cli.main([*words, str(tmp_path / "b")]) == 0
    assert cli.main([*words, str(tmp_path / "c"), "--epoch", "1"]) == 0
    first, again, later = (next(iter(pictures(tmp_path / name).values())) for name in "abc")
    assert first.shape[0] > 1000  # with the curve and the target
    np.testing.assert_array_equal(first, again)
    assert first.shape != later.shape or (first != later).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows", "999"], "--rows: the catalog has rows 0 to 47, not 999"),
        (["--videos", "0"], "--videos must be at least 1"),
        (["--data.batchsize", "3"], "Did you mean 'data.batch_size'"),
        (["--data.train_split", "trian"], "Did you mean 'train'"),
        (["--data.root", "gone"], "data.root: there is no folder"),
    ],
)
def test_mistakes_end_in_a_message(small_config, capsys, words, message):
    assert cli.main(["show", "--config", str(small_config), *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_a_video_that_cannot_be_read_costs_its_own_page(small_config, synthetic_catalog, tmp_path, capsys):
    catalog = Catalog.open(synthetic_catalog)
    for row in (0, 1):  # a folder of links, one of them broken
        link = tmp_path / "videos" / catalog.path(row)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(catalog.root / catalog.path(row) if row else tmp_path / "gone")
    words = ["show", "--config", str(small_config), "--data.root", str(tmp_path / "videos"), "--rows", "0", "1"]
    assert cli.main([*words, "--output", str(tmp_path / "out")]) == 0
    assert [name[:6] for name in pictures(tmp_path / "out")] == ["000001"]
    assert "not drawn, row 0" in capsys.readouterr().err


class Fog(Operation):
    """An operation that somebody else wrote."""

    def draw(self, rng, size):
        return {"density": 0.5}

    @staticmethod
    def apply(frames, **drawn):
        frames[...] = 255


def test_a_plan_in_words():
    jitter = ("vidssl.data.operations.shipped:Jitter", (("hue", -0.05), ("contrast", 1.2)))
    blur = ("vidssl.data.operations.shipped:Blur", (("sigma", 1.26),))
    plan = FramePlan((0, 0, 8, 8), (4, 4), flip=True, operations=(jitter, blur, ("test_show:Fog", (("density", 0.5),))))
    assert plan_in_words(plan) == "flipped, hue -0.05, contrast x1.20,\nblur 1.3, Fog density 0.50"
    assert plan_in_words(FramePlan((0, 0, 8, 8), (4, 4))) == "no change but the crop"
