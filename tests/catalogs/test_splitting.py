import numpy as np
import pytest

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.splitting import draw_split, split_by_names, write_with_splits
from vidssl.errors import VidsslError

NUM_CLASSES = 4
PER_CLASS = 10
GROUPS = ["anna", "bea", "carl", "dora", "emil"]


def rows(num_groups):
    places = [(label, number) for label in range(NUM_CLASSES) for number in range(PER_CLASS)]
    return [
        VideoRow(f"{label}/{number}.avi", label, number % num_groups if num_groups else -1, 30, 25.0, 80, 80, 1.2)
        for label, number in places
    ]


def catalog(folder, num_groups=5, root="videos"):
    write_catalog(
        folder / "x.catalog",
        rows(num_groups),
        classes=list("abcd"),
        group_names=GROUPS[:num_groups],
        splits={"train2": [0, 1], "test2": [5]},
        root=root,
        source={"kind": "flat"},
        bad=[("broken.avi", "no frame decodes")],
    )
    return Catalog.open(folder / "x.catalog")


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_a_share_of_the_videos_is_drawn_of_each_class(tmp_path, share):
    videos = catalog(tmp_path)
    split = draw_split(videos, share, "video", np.random.default_rng(0))
    assert sorted([*split.train, *split.test]) == list(range(len(videos)))
    assert np.bincount(videos.labels[split.test]).tolist() == [round(share * PER_CLASS)] * NUM_CLASSES


def test_every_class_of_two_videos_is_in_both(tmp_path):
    videos = catalog(tmp_path)
    for share in (0.001, 0.999):
        split = draw_split(videos, share, "video", np.random.default_rng(0))
        assert set(videos.labels[split.test]) == set(videos.labels[split.train]) == set(range(NUM_CLASSES))


def test_groups_stay_whole(tmp_path):
    videos = catalog(tmp_path)
    tested = set()
    for seed in range(20):
        split = draw_split(videos, 0.4, "group", np.random.default_rng(seed))
        assert not set(videos.groups[split.train]) & set(videos.groups[split.test])
        assert len(split.test) == 0.4 * len(videos)
        tested |= set(videos.groups[split.test])
    assert tested == set(range(len(GROUPS)))


def test_the_same_seed_draws_the_same(tmp_path):
    videos = catalog(tmp_path)
    first, same, other = (draw_split(videos, 0.3, "video", np.random.default_rng(seed)).test for seed in (1, 1, 2))
    assert first.tolist() == same.tolist() != other.tolist()


def test_groups_by_name(tmp_path):
    videos = catalog(tmp_path)
    split = split_by_names(videos, ["bea", "emil"])
    assert set(videos.groups[split.test]) == {1, 4}
    with pytest.raises(VidsslError, match=r"has no group 'bee'\. Did you mean 'bea'\? It has: anna, bea"):
        split_by_names(videos, ["bee"])


def test_the_catalog_is_written_with_all_that_it_had(tmp_path):
    videos = catalog(tmp_path)
    split = draw_split(videos, 0.3, "video", np.random.default_rng(0))
    (tmp_path / "deep").mkdir()
    write_with_splits(videos, tmp_path / "deep" / "y.catalog", {"train": split.train, "test": split.test})
    written = Catalog.open(tmp_path / "deep" / "y.catalog")
    assert list(written) == list(videos)
    assert written.split_names == ["train2", "test2", "train", "test"]
    assert written.split("test").tolist() == split.test.tolist()
    assert (written.bad, written.source, written.group_names) == (videos.bad, videos.source, videos.group_names)
    assert written.root == videos.root
    assert written.digest != videos.digest
    with pytest.raises(VidsslError, match="has a split 'train2' already"):
        write_with_splits(videos, tmp_path / "z.catalog", {"train2": split.train})


def test_an_absolute_folder_stays_absolute(tmp_path):
    videos = catalog(tmp_path, root="/videos")
    write_with_splits(videos, videos.file, {"train": np.array([0])})
    assert Catalog.open(videos.file).root_is_absolute


@pytest.mark.parametrize(
    ("share", "by", "num_groups", "message"),
    [
        (0.0, "video", 5, "above 0 and below 1, got 0"),
        (1.5, "video", 5, "above 0 and below 1, got 1.5"),
        (0.5, "grop", 5, "Did you mean 'group'"),
        (0.5, "group", 0, "40 of 40 videos in .* have no group, such as 0/0.avi; prepare it with --group-pattern"),
        (0.5, "group", 1, "would be empty"),
    ],
)
def test_what_cannot_be_split_is_refused(tmp_path, share, by, num_groups, message):
    with pytest.raises(VidsslError, match=message):
        draw_split(catalog(tmp_path, num_groups), share, by, np.random.default_rng(0))
