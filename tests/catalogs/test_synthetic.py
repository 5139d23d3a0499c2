import json
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.synthetic import texture as textures
from vidssl.catalogs.synthetic.contact_sheet import contact_sheet
from vidssl.catalogs.synthetic.spec import SyntheticSpec
from vidssl.catalogs.synthetic.spec import described as described_spec
from vidssl.catalogs.synthetic.videos import (
    CATALOG_NAME,
    SHARED_TEXTURES,
    draw_appearance,
    draw_video,
    video_label,
    write_synthetic,
)
from vidssl.cli.prepare import run_prepare
from vidssl.errors import VidsslError
from vidssl.evaluation.classifiers.linear import LogisticRegression
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.motion.maps import block_means

SMALL = SyntheticSpec(num_train=16, num_test=8, num_frames=12, height=48, width=64)
CLASSES = SMALL.classes


def decode(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    return Catalog.open(write_synthetic(tmp_path_factory.mktemp("synthetic") / "videos", SMALL))


def test_the_catalog_tells_the_truth_about_every_file(catalog):
    assert len(catalog) == 24
    for row in catalog:
        with av.open(str(catalog.root / row.path)) as container:
            assert container.streams.video[0].average_rate == row.fps == 25
        assert decode(catalog.root / row.path).shape == (row.num_frames, row.height, row.width, 3) == (12, 48, 64, 3)


def test_splits_are_balanced(catalog):
    assert list(catalog.classes) == list(CLASSES)
    assert np.bincount(catalog.labels[catalog.split("train")]).tolist() == [2] * 8
    assert np.bincount(catalog.labels[catalog.split("test")]).tolist() == [1] * 8


def test_files_show_what_was_drawn(catalog):
    for split in ("train", "test"):
        row = catalog[int(catalog.split(split)[3])]
        error = decode(catalog.root / row.path).astype(float) - draw_video(SMALL, split, 3)
        assert np.sqrt(np.mean(error**2)) < 12  # of 255: the colour subsampling and the coding of a small file


def test_a_video_depends_on_seed_split_and_index_only():
    video = draw_video(SMALL, "train", 5)
    assert np.array_equal(video, draw_video(replace(SMALL, num_train=99, num_test=9, fps=30), "train", 5))
    for other in (
        draw_video(replace(SMALL, seed=1), "train", 5),
        draw_video(SMALL, "test", 5),
        draw_video(SMALL, "train", 5 + len(CLASSES)),
    ):
        assert not np.array_equal(video, other)


def test_writing_again_does_nothing_and_another_specification_is_refused(tmp_path):
    folder = tmp_path / "videos"
    first = write_synthetic(folder, SMALL)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_synthetic(folder, SMALL) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    with pytest.raises(VidsslError, match=r"already holds other synthetic videos \(seed is 0, not 7\)"):
        write_synthetic(folder, replace(SMALL, seed=7))


def test_an_interrupted_run_is_completed(tmp_path):
    first = write_synthetic(tmp_path / "whole", SMALL)
    again = write_synthetic(tmp_path / "cut", SMALL)
    digest = Catalog.open(again).digest
    again.unlink()
    video = next((tmp_path / "cut").rglob("*.mp4"))
    video.write_bytes(b"cut off")
    assert Catalog.open(write_synthetic(tmp_path / "cut", SMALL)).digest == digest
    same = (tmp_path / "whole") / video.relative_to(tmp_path / "cut")
    assert video.read_bytes() == same.read_bytes()
    assert first.is_file()


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(VidsslError, match=r"is not empty and holds no spec\.json"):
        write_synthetic(tmp_path, SMALL)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(VidsslError, match="not readable as JSON"):
        write_synthetic(tmp_path, SMALL)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VidsslError, match=r"Cannot write the synthetic videos to .*file.*Choose another folder"):
        write_synthetic(tmp_path / "file" / "below", SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"appearance": "own"}, "Unknown appearance 'own'; choose from shared, unique, background"),
        ({"placement": "off-center"}, "Unknown placement 'off-center'; .* Did you mean 'off-centre'"),
        ({"activity": "some"}, "Unknown activity 'some'; choose from full, partial"),
        ({"labels": "orders"}, "Unknown labels 'orders'; .* Did you mean 'order'"),
        ({"num_test": 7}, "num_test is 7"),
        ({"width": 81}, "width is 81: it must be even"),
        ({"height": 8}, "height is 8"),
        ({"num_frames": 1}, "num_frames is 1"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_specifications_are_refused(change, message):
    with pytest.raises(VidsslError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize("kind", textures.TEXTURES)
def test_textures_repeat_without_a_seam(kind):
    style = textures.TextureStyle((kind,), repeats=(6, 10), hue=(0, 360), saturation=0.5, brightness=(0.2, 1.0))
    texture = textures.draw_texture(style, np.random.default_rng(1), 128).astype(float)
    steps = np.abs(np.diff(texture, axis=0)).mean(axis=(1, 2))
    assert np.abs(texture[0] - texture[-1]).mean() <= steps.max() + 1e-9
    assert texture.std() > 20


def test_shared_textures_come_from_a_small_pool_and_unique_ones_do_not():
    def count(appearance: str, layer: str) -> int:
        spec, drawn = replace(SMALL, appearance=appearance), range(40)
        rngs = [np.random.default_rng(index) for index in drawn]
        return len({getattr(draw_appearance(spec, rng), layer).tobytes() for rng in rngs})

    for layer in ("background", "foreground"):
        assert count("shared", layer) == SHARED_TEXTURES
        assert count("unique", layer) == 40
    assert count("background", "background") == 40
    assert count("background", "foreground") == SHARED_TEXTURES


# What version 0.1 drew: the means of the quarters of the last of 12 frames, red, green and blue.
DRAWN_BEFORE = {
    ("shared", "train", 7): [60.7, 107.8, 58.9, 67.6, 84.5, 96.6, 83.3, 85.3, 98.8, 81.5, 97.6, 93.8],
    ("shared", "test", 2): [57.4, 58.0, 73.9, 59.3, 82.0, 82.5, 87.4, 83.2, 95.2, 96.2, 91.8, 96.7],
    ("unique", "train", 7): [57.3, 55.9, 57.2, 57.4, 69.7, 71.2, 69.8, 84.2, 95.6, 101.5, 95.8, 136.4],
    ("unique", "test", 2): [59.9, 56.7, 70.7, 57.3, 71.5, 67.0, 66.7, 67.0, 99.9, 94.5, 100.6, 94.9],
}


@pytest.mark.parametrize(("appearance", "split", "index"), DRAWN_BEFORE)
def test_the_same_specification_gives_the_videos_of_earlier_versions(appearance, split, index):
    last = draw_video(replace(SMALL, appearance=appearance), split, index)[-1]
    quarters = block_means(np.moveaxis(last, -1, 0), 2, 2).ravel()
    np.testing.assert_allclose(quarters, DRAWN_BEFORE[appearance, split, index], atol=0.1)


def test_what_earlier_versions_could_draw_is_described_as_they_did():
    keys = ["num_train", "num_test", "num_frames", "height", "width", "fps", "appearance", "seed", "drawing_version"]
    assert list(described_spec(SMALL)) == keys
    told = described_spec(replace(SMALL, placement="off-centre", labels="order"))
    assert (told["placement"], told["labels"]) == ("off-centre", "order")
    assert "activity" not in told


def test_textures_grow_with_the_frame_and_never_repeat_inside_it():
    small, large = (replace(SMALL, appearance="background", height=side, width=side) for side in (80, 160))
    sizes = [draw_appearance(spec, np.random.default_rng(0)) for spec in (small, large)]
    assert [len(one.background) for one in sizes] == [128, 256]
    assert [one.sprite_size for one in sizes] == [64, 128]
    # the textures of the pool, a plain pattern, are the same picture at both sizes
    pictures = [cv2.resize(one.foreground, (128, 128), interpolation=cv2.INTER_AREA).astype(float) for one in sizes]
    assert np.abs(pictures[0] - pictures[1]).mean() < 8


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    spec = SyntheticSpec(num_frames=24)
    counts = {"train": 240, "test": 120}
    return {
        split: (
            [draw_video(spec, split, i) for i in range(count)],
            np.array([video_label(spec, i) for i in range(count)]),
        )
        for split, count in counts.items()
    }


def probe(drawn, describe) -> float:
    gallery, query = (described(*drawn[split], describe) for split in ("train", "test"))
    return LogisticRegression(c=1.0, normalisation="standard")(gallery, query).metrics["top1"]


def described(videos, labels, describe) -> VideoFeatures:
    features = np.stack([describe(video) for video in videos]).astype(np.float32)
    return VideoFeatures(features[:, None], labels, np.full(len(labels), -1), np.arange(len(labels)))


def one_frame(video: np.ndarray) -> np.ndarray:
    return cv2.resize(video[0], (8, 8), interpolation=cv2.INTER_AREA).ravel()


def mean_colour(video: np.ndarray) -> np.ndarray:
    return video.mean(axis=(0, 1, 2))


def colour_histogram(video: np.ndarray) -> np.ndarray:
    return np.concatenate([np.histogram(video[..., c], bins=16, range=(0, 256))[0] for c in range(3)]) / video.size


def track(video: np.ndarray) -> np.ndarray:
    """Follow the shape, which is brighter than the background, and describe its path, its growth and its turning."""
    inside = video.max(axis=3) > 134
    area = np.maximum(1, inside.sum(axis=(1, 2)))
    row, column = np.indices(inside.shape[1:])
    x, y = (inside * column).sum(axis=(1, 2)) / area, (inside * row).sum(axis=(1, 2)) / area
    side = np.log(area) * 10
    path = np.stack([x, y, side, (x + y), (x - y)])
    change = np.abs(np.diff(video.astype(float), axis=0)).mean()
    spread, steps = path.std(axis=1), np.diff(path, axis=1).std(axis=1)
    return np.log(np.concatenate([1 + spread, 1 + steps, [change]]))


# Chance is 0.125, give or take 0.03 for 120 videos. One frame gives a little away: how far from the middle the shape
# is, and a zoomed shape's size.
@pytest.mark.parametrize(("describe", "bound"), [(one_frame, 0.33), (mean_colour, 0.23), (colour_histogram, 0.23)])
def test_appearance_does_not_tell_the_class(drawn, describe, bound):
    assert probe(drawn, describe) < bound


def test_motion_tells_the_class(drawn):
    assert probe(drawn, track) > 0.9


def test_command_line_and_contact_sheet(tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    arguments = ["--output", str(tmp_path / "videos"), "--num-train", "8", "--num-test", "8", "--num-frames", "10"]
    arguments += ["--height", "32", "--width", "48", "--appearance", "unique", "--seed", "3"]
    assert run_prepare(["synthetic", *arguments, "--contact-sheet", str(sheet)]) == 0
    assert "8 training and 8 test videos" in capsys.readouterr().out
    written = json.loads((tmp_path / "videos" / "spec.json").read_text())
    assert (written["appearance"], written["seed"], written["width"]) == ("unique", 3, 48)
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] > 600
    assert picture.std() > 20
    assert contact_sheet(Catalog.open(tmp_path / "videos" / CATALOG_NAME), sheet) == sheet
