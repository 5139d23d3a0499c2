"""Videos to pack."""

from dataclasses import asdict

import pytest
from numbered_videos import encode
from packing_jobs import work_here

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.video.decoding import probe

NAMES = ["walk/a.1.avi", "walk/a.1.mp4", "run/b.mp4", "run/c d (1)'!.mp4", "run/é.mp4"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Catalog:
    """Five short videos with traps in their names, labels, groups and two splits."""
    folder = tmp_path_factory.mktemp("sources")
    rows = []
    for number, name in enumerate(NAMES):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        encode(file, "libx264" if name.endswith("mp4") else "mpeg4", num_frames=8 + number)
        info, state = probe(file), FileState.of(file)
        rows.append(VideoRow(name, number % 2, number % 3 - 1, **asdict(info), **asdict(state)))
    write_catalog(
        folder / "x.catalog", rows, classes=["run", "walk"], group_names=["anna", "bea"],
        splits={"train": [0, 2, 4], "test": [1, 3]}, root=".", source={"kind": "csv"}, bad=[("z.avi", "empty")],
    )  # fmt: skip
    return Catalog.open(folder / "x.catalog")


@pytest.fixture
def here(monkeypatch):
    """Work in this process: starting others takes a second each."""

    work_here(monkeypatch)
