"""What the variants of the embedded videos are there to show: where, when, and in which order things move."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.synthetic import patterns
from vidssl.catalogs.synthetic.patterns import LABELS, ORDERS, Motion
from vidssl.catalogs.synthetic.rendering import flow_from
from vidssl.catalogs.synthetic.spec import SyntheticSpec
from vidssl.catalogs.synthetic.videos import draw_scene, draw_video, video_label, write_synthetic
from vidssl.cli.prepare import run_prepare
from vidssl.data.crops import draw_crop
from vidssl.data.plan import AugmentationRecipe
from vidssl.errors import VidsslError
from vidssl.evaluation.classifiers.linear import LogisticRegression
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.motion.boundary import boundary_of_each
from vidssl.motion.maps import block_means, coverage, moving_region

OFF_CENTRE = SyntheticSpec(placement="off-centre")
PARTIAL = SyntheticSpec(activity="partial")
ORDER = SyntheticSpec(labels="order")


def boundaries(spec, index):
    """Exact motion boundaries between the frames of a training video, T-1 x h x w."""
    scene = draw_scene(spec, "train", index)
    return boundary_of_each(np.stack([flow_from(scene, t) for t in range(spec.num_frames - 1)]))


# --- where ---


def share_covered(spec, num_videos=24):
    """The share of random crops that show at least 0.8 of where a clip moves."""
    recipe = AugmentationRecipe(crop_size=32, crop_area=(0.2, 1.0), crop_aspect=(3 / 4, 4 / 3))
    rng, covered = np.random.default_rng(0), []
    for index in range(num_videos):
        s_motion = boundaries(replace(spec, num_frames=16), index).mean(axis=0)
        region = moving_region(block_means(s_motion, 7, 7))
        crops = [draw_crop(recipe, rng, spec.height, spec.width) for _ in range(40)]
        covered += [coverage(region, tuple(7 * side / spec.height for side in crop)) >= 0.8 for crop in crops]
    return np.mean(covered)


def test_crops_often_miss_a_shape_that_is_off_centre():
    assert 0.5 < share_covered(OFF_CENTRE) < 0.7
    assert share_covered(SyntheticSpec()) > 0.75


@pytest.mark.parametrize("size", [(80, 80), (64, 96)])
def test_a_shape_that_is_off_centre_is_anywhere_and_stays_inside(size):
    spec = replace(OFF_CENTRE, num_frames=16, height=size[0], width=size[1])
    centres = []
    for index in range(60):
        placement = draw_scene(spec, "train", index).placement
        centres.append(placement.centre)
        assert 0.08 <= placement.radius <= 0.11
        if index < 16:
            moves = boundaries(spec, index)
            edge = [moves[..., 0, :], moves[..., -1, :], moves[..., 0], moves[..., -1]]
            assert max(line.max() for line in edge) < 0.1 * moves.max()
    assert (np.abs(centres).max(axis=0) > 0.2).all()


# --- when ---


def test_a_shape_with_partial_activity_rests_about_half_of_the_time():
    still, spreads = [], {}
    for spec in (PARTIAL, SyntheticSpec()):
        of_videos = []
        for index in range(8):
            poses = draw_scene(spec, "train", index).poses
            steps = np.abs(np.diff([poses.x, poses.y, poses.stretch_x, poses.stretch_y, poses.angle])).max(axis=0)
            if spec is PARTIAL:
                still.append(np.mean(steps == 0))
            t_motion = boundaries(spec, index).mean(axis=(1, 2))
            clips = np.convolve(t_motion, np.ones(14) / 14, mode="valid")
            of_videos.append(clips.max() / clips.min())
        spreads[spec.activity] = np.median(of_videos)
    assert np.mean(still) == pytest.approx(0.5, abs=0.1)
    assert spreads["partial"] > 2 > spreads["full"]


def test_rests_are_as_likely_at_any_time_and_in_reverse():
    rng = np.random.default_rng(0)
    moves = np.array([np.diff(patterns.draw_moments(48, "partial", rng)) for _ in range(4000)])
    assert set(np.unique(moves)) == {0, 1}
    assert np.ptp(moves.mean(axis=0)) < 0.08
    begins, ends = (np.diff(moves, axis=1) == step for step in (1, -1))
    assert begins.mean() == pytest.approx(ends.mean(), rel=0.05)


# --- in which order ---


def poses_of(name, motion, num_frames):
    rng = np.random.default_rng(0)
    poses = patterns.draw_poses(ORDERS[name], motion, np.arange(num_frames), rng)
    return np.stack([poses.x, poses.y, poses.stretch_x, poses.stretch_y, poses.angle], axis=1)


def test_every_order_shows_the_same_poses_equally_often():
    # moments that lie symmetrically in each quarter of the period, as a uniform phase does on average
    motion = Motion(period_frames=80.0, phase=1 / 160, amplitude=0.2, sense=1)
    first, *others = (np.round(poses_of(name, motion, 80), 9) for name in ORDERS)
    for other in others:
        assert sorted(map(tuple, first)) == sorted(map(tuple, other))
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("pair", [("rises_large", "falls_large"), ("leaves_large", "returns_large")])
def test_a_clip_of_one_class_reversed_is_a_clip_of_its_pair(pair):
    rng = np.random.default_rng(1)
    for _ in range(20):
        motion = patterns.draw_motion(rng, "order")
        forward = poses_of(pair[0], motion, 15)[::2]
        # begun where the other ends, on the other side of rest
        phase = 0.5 - motion.phase - 14 / motion.period_frames
        backward = poses_of(pair[1], replace(motion, phase=phase), 15)[::2]
        np.testing.assert_allclose(forward, backward[::-1], atol=1e-9)


def test_the_pan_of_ordered_videos_is_anywhere_in_every_frame():
    places = np.array([draw_scene(replace(ORDER, num_frames=40), "train", i).pan for i in range(400)])
    wrapped = places[:, [0, 39]] % (128 / 80)
    counts = [np.histogram(column, bins=4, range=(0, 1.6))[0] for column in wrapped.reshape(400, 4).T]
    assert np.abs(np.array(counts) - 100).max() < 40


@pytest.fixture(scope="module")
def ordered():
    """Frames of training and test videos, one clip of 8 frames at stride 2 each."""
    spec, counts = replace(ORDER, num_frames=15, height=48, width=48), {"train": 240, "test": 120}
    return {
        split: (
            np.stack([draw_video(spec, split, i)[::2] for i in range(count)]),
            np.array([video_label(spec, i) for i in range(count)]),
        )
        for split, count in counts.items()
    }


def accuracy(ordered, describe):
    gallery, query = (
        VideoFeatures(describe(clips)[:, None], labels, np.full(len(labels), -1), np.arange(len(labels)))
        for clips, labels in ordered.values()
    )
    return LogisticRegression(c=1.0, normalisation="standard")(gallery, query).metrics["top1"]


def bag_of_frames(clips):
    """Colours and the picture in 6 x 6 cells, averaged over frames, and how they vary, in any order of the frames."""
    cells = block_means(np.moveaxis(clips, -1, 2), 6, 6).reshape(*clips.shape[:2], -1)
    return np.concatenate([cells.mean(axis=1), cells.std(axis=1)], axis=1).astype(np.float32)


def growth_along_the_way(clips):
    """Whether the shape, which is brighter than the background, is large while it rises, and while it leaves."""
    inside = clips.max(axis=-1) > 134
    area = np.maximum(1, inside.sum(axis=(2, 3)))
    height = (inside * np.arange(inside.shape[2])[:, None]).sum(axis=(2, 3)) / area
    size = np.log((area[:, 1:] + area[:, :-1]) / 2)
    size -= size.mean(axis=1, keepdims=True)
    rise, leave = (-np.diff(way, axis=1) for way in (height, -np.abs(height - height.mean(axis=1, keepdims=True))))
    return np.stack([(size * rise).mean(axis=1), (size * leave).mean(axis=1)], axis=1).astype(np.float32)


def test_only_the_order_of_frames_tells_the_order(ordered):
    # chance is 0.25, give or take 0.04 for 120 videos
    assert accuracy(ordered, bag_of_frames) < 0.37
    assert accuracy(ordered, growth_along_the_way) > 0.9


# --- together ---


def test_variants_combine_and_are_written_down(tmp_path, capsys):
    flags = ["--appearance", "background", "--placement", "off-centre", "--activity", "partial", "--labels", "order"]
    sizes = ["--num-train", "4", "--num-test", "4", "--num-frames", "10", "--height", "96", "--width", "112"]
    sheet = tmp_path / "sheet.png"
    arguments = ["synthetic", "--output", str(tmp_path / "videos"), *sizes, *flags, "--contact-sheet", str(sheet)]
    assert run_prepare(arguments) == 0
    assert "4 training and 4 test videos, 4 classes" in capsys.readouterr().out
    assert sheet.is_file()
    written = json.loads((tmp_path / "videos" / "spec.json").read_text())
    assert [written[key] for key in ("placement", "activity", "labels")] == ["off-centre", "partial", "order"]
    catalog = Catalog.open(tmp_path / "videos" / "synthetic.catalog")
    assert list(catalog.classes) == list(LABELS["order"])
    spec = replace(ORDER, num_train=4, num_test=4, num_frames=10, height=96, width=112)
    spec = replace(spec, appearance="background", placement="off-centre")
    with pytest.raises(VidsslError, match=r"\(activity is 'partial', not 'full'\)"):
        write_synthetic(tmp_path / "videos", spec)
