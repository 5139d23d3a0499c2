"""Packing onto a disk that is full, or that cannot be written: reported, nothing lost, and the same command goes on."""

import pytest
from packing_jobs import work_here, written
from small_disk import mounted

from vidssl.catalogs.catalog import Catalog
from vidssl.cli.main import main


@pytest.fixture
def pack(synthetic_catalog, monkeypatch):
    """Run the verb in this process; the disk looks large before."""
    work_here(monkeypatch)
    monkeypatch.setattr("vidssl.cli.pack.free_bytes", lambda _: 10**12)

    def run(output, *flags):
        common = ["--catalog", str(synthetic_catalog), "--workers", "1", "--preset", "keep"]
        return main(["pack", *common, *flags, "--output", str(output)])

    return run


@pytest.mark.parametrize("flags", [[], ["--shards", "100kB"], ["--shards", "100kB", "--motion"]])
def test_a_disk_that_fills_up(pack, tmp_path, capsys, flags):
    assert pack(tmp_path / "whole", *flags) == 0
    with mounted(tmp_path / "disk", "240k") as remount:
        assert pack(tmp_path / "disk" / "p", *flags) == 2
        assert "No space left on device. Free space there, or choose another output" in capsys.readouterr().err
        assert not list((tmp_path / "disk").glob("p/*.catalog"))
        assert remount("size=8m")
        assert pack(tmp_path / "disk" / "p", *flags) == 0
        assert written(tmp_path / "disk" / "p") == written(tmp_path / "whole")
        assert not Catalog.open(next((tmp_path / "disk" / "p").glob("*.catalog"))).bad


@pytest.mark.parametrize("flags", [[], ["--motion"]])
def test_a_disk_that_cannot_be_written(pack, tmp_path, capsys, flags):
    with mounted(tmp_path / "disk", "8m") as remount:
        assert remount("ro")
        assert pack(tmp_path / "disk" / "p", *flags) == 2
        assert "Read-only file system" in capsys.readouterr().err
        assert list((tmp_path / "disk").iterdir()) == []
