"""``vidssl check catalog`` and ``vidssl check motion``: whether files are as they were written."""

import shutil

import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.cli.main import main


@pytest.fixture
def catalog(synthetic_catalog, tmp_path):
    shutil.copytree(synthetic_catalog.parent, tmp_path / "videos")
    return Catalog.open(tmp_path / "videos" / synthetic_catalog.name)


def flip(file, place):
    contents = bytearray(file.read_bytes())
    contents[place] ^= 4
    file.write_bytes(contents)


def test_a_whole_catalog(catalog, capsys):
    assert main(["check", "catalog", str(catalog.file)]) == 0
    told = capsys.readouterr().out
    assert "columns as they were written" in told
    assert "48 of 48 videos are as they were prepared" in told


def test_videos_that_changed_or_are_gone_or_are_copies_are_named(catalog, capsys):
    damaged, copy, gone, source = (catalog.path(row) for row in (3, 5, 7, 9))
    flip(catalog.root / damaged, 1000)
    (catalog.root / gone).unlink()
    shutil.copy(catalog.root / source, catalog.root / copy)
    assert main(["check", "catalog", str(catalog.file)]) == 1
    told = capsys.readouterr().out
    assert "45 of 48 videos are as they were prepared" in told
    assert f"    {damaged}: its contents have changed since it was prepared\n" in told
    assert f"    {gone}: not there\n" in told
    assert f"    {copy}: it has " in told


def test_a_damaged_column_is_named(catalog, capsys):
    flip(catalog.file, -100)
    assert main(["check", "catalog", str(catalog.file)]) == 2
    assert "synthetic.catalog is damaged: the column '" in capsys.readouterr().err


def test_stored_motion(catalog, capsys, tmp_path):
    output = tmp_path / "x.motion"
    assert main(["motion", "--data.catalog", str(catalog.file), "--output", str(output), "--workers", "1"]) == 0
    assert main(["check", "motion", str(output)]) == 0
    assert "the motion of 48 videos, columns as they were written" in capsys.readouterr().out
    flip(output, -500)
    assert main(["check", "motion", str(output)]) == 2
    assert "x.motion is damaged: the column 'maps'" in capsys.readouterr().err


def test_files_take_no_settings(catalog, capsys):
    assert main(["check", "catalog", str(catalog.file), "--model.width", "3"]) == 2
    assert "vidssl check catalog takes a file, not '--model.width'" in capsys.readouterr().err
