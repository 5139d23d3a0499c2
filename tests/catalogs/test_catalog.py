import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.layout import KIND
from vidssl.errors import UnknownNameError, VidsslError
from vidssl.video.decoding import DecodingError

ROWS = [
    VideoRow("walk/anna (1)+'!.avi", 1, 0, 47, 25.0, 320, 240, 1.88),
    VideoRow("run/bört.avi", 0, 1, 120, 29.97, 180, 144, 4.004),
    VideoRow("loose \udcff.mp4", -1, -1, 1, 30.0, 128, 96, 1 / 30),
]


def write(path, rows=ROWS, **changes):
    contents = {
        "classes": ["run", "walk"],
        "group_names": ["anna", "bört"],
        "splits": {"train": [0, 2], "test": np.array([1]), "empty": []},
        "root": "videos",
        "source": {"kind": "csv", "listed": 4, "found": 3},
        "bad": [("broken.avi", "no frame decodes")],
    }
    write_catalog(path, rows, **(contents | changes))
    return path


def test_everything_written_is_read_again(tmp_path):
    catalog = Catalog.open(write(tmp_path / "some" / "x.catalog"))
    assert len(catalog) == 3
    assert list(catalog) == ROWS
    assert catalog[-1] == ROWS[2]
    assert catalog.path(1) == "run/bört.avi"
    assert catalog.labels.tolist() == [1, 0, -1]
    assert catalog.groups.tolist() == [0, 1, -1]
    assert catalog.num_frames.tolist() == [47, 120, 1]
    assert catalog.labels.dtype == catalog.groups.dtype == catalog.num_frames.dtype == np.int32
    assert catalog.fps.dtype == catalog.durations_seconds.dtype == np.float64
    assert (catalog.widths.tolist(), catalog.heights.tolist()) == ([320, 180, 128], [240, 144, 96])
    assert catalog.classes == ["run", "walk"]
    assert catalog.group_names == ["anna", "bört"]
    assert catalog.bad == [("broken.avi", "no frame decodes")]
    assert catalog.source == {"kind": "csv", "listed": 4, "found": 3}
    with pytest.raises(IndexError):
        catalog[3]


def test_splits(tmp_path):
    catalog = Catalog.open(write(tmp_path / "x.catalog"))
    assert catalog.split_names == ["train", "test", "empty"]
    assert catalog.split("train").tolist() == [0, 2]
    assert catalog.split("empty").tolist() == []
    assert catalog.split("all").tolist() == [0, 1, 2]
    assert {catalog.split(name).dtype for name in ("train", "empty", "all")} == {np.dtype(np.int64)}
    with pytest.raises(UnknownNameError, match=r"no split 'trian'. Did you mean 'train'\? It has: all, train, test"):
        catalog.split("trian")


def test_relative_roots_move_with_the_catalog_and_can_be_overridden(tmp_path):
    path = write(tmp_path / "x.catalog", root="../videos")
    assert Catalog.open(path).root == tmp_path.parent / "videos"
    assert Catalog.open(path, root=tmp_path / "elsewhere").root == tmp_path / "elsewhere"
    assert Catalog.open(write(tmp_path / "y.catalog", root="/some/where")).root.as_posix() == "/some/where"


def test_the_digest_follows_the_contents_not_the_place(tmp_path):
    digest = Catalog.open(write(tmp_path / "a")).digest
    assert len(digest) == 16
    assert Catalog.open(write(tmp_path / "b", root="other", bad=[])).digest == digest
    assert Catalog.open(write(tmp_path / "c", splits={"train": [0]})).digest != digest
    assert Catalog.open(write(tmp_path / "d", rows=[replace(ROWS[0], label=0), *ROWS[1:]])).digest != digest


def test_the_arrays_are_mapped_and_read_only(tmp_path):
    catalog = Catalog.open(write(tmp_path / "x.catalog"))
    with pytest.raises(ValueError, match="read-only"):
        catalog.labels[0] = 5


def test_a_pickled_catalog_is_a_name_not_its_contents(tmp_path):
    rows = [replace(ROWS[0], path=f"walk/{number:06d}.avi") for number in range(20_000)]
    path = write(tmp_path / "x.catalog", rows=rows)
    catalog = Catalog.open(path, root=tmp_path / "moved")
    assert catalog.classes  # cached names do not travel either
    pickled = pickle.dumps(catalog)
    assert len(pickled) < 500
    again = pickle.loads(pickled)
    assert (again.root, again.digest, len(again)) == (catalog.root, catalog.digest, 20_000)
    assert again[19_999] == rows[19_999]

    write(path)
    with pytest.raises(VidsslError, match=r"x.catalog was replaced while it was in use"):
        pickle.loads(pickled)


def _sum_of_labels(catalog):
    return int(catalog.labels.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_the_same_catalog(tmp_path, method):
    catalog = Catalog.open(write(tmp_path / "x.catalog"))
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_sum_of_labels, (catalog,)) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [ROWS[0], ROWS[0]]}, "twice"),
        ({"rows": [replace(ROWS[0], num_frames=0)]}, "has 0 frames"),
        ({"classes": ["run"]}, "has label 1, but there are 1 classes"),
        ({"group_names": []}, "has group 0, but there are 0 groups"),
        ({"splits": {"train": [3]}}, "'train' holds row numbers outside of 0 to 2"),
        ({"splits": {"all": [0]}}, "may not be called 'all'"),
    ],
)
def test_contradictions_are_refused(tmp_path, changes, message):
    with pytest.raises(VidsslError, match=message):
        write(tmp_path / "x.catalog", **changes)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_catalogs(tmp_path):
    with pytest.raises(VidsslError, match=r"There is no catalog .*absent.catalog; make one with `vidssl prepare`"):
        Catalog.open(tmp_path / "absent.catalog")
    with pytest.raises(VidsslError, match="cannot be read: Is a directory"):
        Catalog.open(tmp_path)
    for name, contents in {"empty": b"", "text": b"path,label\n" * 9, "list": b"\x02" + bytes(7) + b"[]"}.items():
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(VidsslError, match=f"{name} is not a catalog"):
            Catalog.open(tmp_path / name)
    save_file({"weight": np.zeros(3, dtype=np.float16)}, tmp_path / "model.safetensors")
    with pytest.raises(VidsslError, match=r"model.safetensors is not a catalog"):
        Catalog.open(tmp_path / "model.safetensors")


def test_cut_short_and_newer_catalogs_say_so(tmp_path, monkeypatch):
    whole = write(tmp_path / "x.catalog").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-10])
    with pytest.raises(VidsslError, match="cut is cut short"):
        Catalog.open(tmp_path / "cut")
    monkeypatch.setattr("vidssl.catalogs.writing.OLDEST_WITHOUT", 9)
    write(tmp_path / "newer")
    with pytest.raises(VidsslError, match="of version 9, this vidssl reads up to 2; upgrade"):
        Catalog.open(tmp_path / "newer")


def test_a_failed_write_leaves_the_old_catalog_and_no_litter(tmp_path, monkeypatch):
    path = write(tmp_path / "x.catalog")
    before = path.read_bytes()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(VidsslError, match=r"Cannot write .*x.catalog: No space left on device"):
        write(path, root="new")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VidsslError, match=r"Cannot write .*x.catalog: .*choose another output folder"):
        write(tmp_path / "file" / "x.catalog")


def test_a_bit_that_flips_in_a_catalog_is_found_when_it_is_opened(tmp_path):
    path = write(tmp_path / "x.catalog")
    whole = path.read_bytes()
    for bit in np.random.default_rng(0).permutation(8 * len(whole))[:400].tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(VidsslError, match=r"damaged|cut short"):
            Catalog.open(path)


def test_a_catalog_of_version_0_1_opens(tmp_path):
    """It has no checksums, and nothing of the videos' files."""
    arrays, header = KIND.read(write(tmp_path / "x.catalog"))
    save_file(arrays, tmp_path / "old.catalog", KIND.metadata(header))
    catalog = Catalog.open(tmp_path / "old.catalog", verify="whole")
    assert list(catalog) == ROWS
    assert catalog.contents.tolist() == [-1, -1, -1]
    assert catalog.unchanged(catalog[0]) == str(tmp_path / "videos" / ROWS[0].path)


def test_the_digest_follows_what_is_in_the_files_not_when_they_were_copied(tmp_path):
    def digest(name, **state):
        return Catalog.open(write(tmp_path / name, rows=[replace(ROWS[0], **state)], splits={})).digest

    known = digest("a", num_bytes=5, changed_ns=1, content=7)
    assert digest("b", num_bytes=5, changed_ns=2, content=7) == known
    assert digest("c", num_bytes=5, changed_ns=1, content=8) != known


def test_a_file_that_is_another_is_told_by_size_and_contents(tmp_path):
    file = tmp_path / "videos" / "a.avi"
    file.parent.mkdir()
    contents = np.random.default_rng(0).bytes(500_000)
    file.write_bytes(contents)
    row = replace(ROWS[0], path="a.avi", **asdict(FileState.of(file)))
    catalog = Catalog.open(write(tmp_path / "x.catalog", rows=[row], splits={}))
    assert catalog.unchanged(catalog[0]) == str(file)
    os.utime(file, (1, 1))  # as a copy without times has it
    assert catalog.unchanged(catalog[0]) == str(file)
    for place in (0, 250_000, 499_999):
        file.write_bytes(contents[:place] + b"?" + contents[place + 1 :])
        os.utime(file, (2, 2))
        with pytest.raises(DecodingError, match=r"its contents have changed since it was prepared; prepare"):
            catalog.unchanged(catalog[0])
    file.write_bytes(contents[:-1])
    with pytest.raises(DecodingError, match=r"it has 499,999 bytes and had 500,000 when it was prepared"):
        catalog.unchanged(catalog[0])
    file.unlink()
    assert catalog.unchanged(catalog[0]) == str(file)  # whoever opens it has the words


def test_reading_a_catalog_needs_no_torch():
    code = "import sys, vidssl.catalogs.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_owns_next_to_nothing_of_a_large_catalog(tmp_path):
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this system does not tell how much memory a process owns")
    tool = Path(__file__).resolve().parents[2] / "tools" / "bench_catalog.py"
    figures = tmp_path / "figures.json"
    subprocess.run([sys.executable, tool, "--videos", "50000", "--json", figures], check=True, capture_output=True)
    measured = json.loads(figures.read_text())
    assert measured["catalog"]["pickled_bytes"] < 500
    for method in ("fork", "spawn"):
        assert measured["catalog"][method]["own_memory_mib"] < 1
    assert measured["list"]["spawn"]["own_memory_mib"] > 10  # the measurement sees memory where there is some
