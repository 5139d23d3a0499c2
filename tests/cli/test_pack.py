"""The verb pack: what it says, where it writes, what it refuses."""

import shlex

import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.cli.main import main
from vidssl.cli.pack import parse_size, run_pack
from vidssl.errors import VidsslError
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore


@pytest.fixture
def command(synthetic_catalog, tmp_path):
    return ["--catalog", str(synthetic_catalog), "--output", str(tmp_path / "p"), "--workers", "1"]


def test_packs_tells_and_has_nothing_to_do_again(command, tmp_path, capsys):
    assert run_pack([*command, "--preset", "keep", "--shards", "60kB"]) == 0
    told = capsys.readouterr().out
    assert "48 videos, 0." in told
    assert "files as they are, byte for byte; into 9 tar shards" in told
    assert "still to be written" in told
    assert "core-hours" in told
    assert "preset keep, of catalog" in told
    assert "Next: vidssl fit" in told
    assert len(list((tmp_path / "p").glob("shard-*.tar"))) == 9
    assert run_pack([*command, "--preset", "keep"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["pack", *command, "--preset", "fast"]) == 2
    assert "for another catalog or preset" in capsys.readouterr().err


def test_shares_end_with_one_catalog(command, tmp_path, capsys):
    assert run_pack([*command, "--preset", "keep", "--shards", "60kB", "--share", "1/2"]) == 0
    assert "The last share to end writes the catalog" in capsys.readouterr().out
    assert run_pack([*command, "--preset", "keep", "--shards", "60kB", "--share", "0/2"]) == 0
    assert len(Catalog.open(next((tmp_path / "p").glob("*.catalog")))) == 48


def test_what_is_there_is_not_overwritten(command, tmp_path, synthetic_catalog):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "precious.mp4").write_bytes(b"")
    with pytest.raises(VidsslError, match=r"is not empty, and what is in there is not overwritten"):
        run_pack(command)
    with pytest.raises(VidsslError, match=r"is not empty|already exists"):
        run_pack(["--catalog", str(synthetic_catalog), "--output", str(synthetic_catalog.parent)])


def test_it_must_fit_the_disk(command, monkeypatch):
    monkeypatch.setattr("vidssl.cli.pack.free_bytes", lambda _: 1000)
    with pytest.raises(VidsslError, match=r"will not fit into .*take --preset small"):
        run_pack(command)


@pytest.mark.parametrize(("text", "size"), [("500MB", 5 * 10**8), ("1.5 gb", 15 * 10**8), ("7", 7), ("2T", 2 * 10**12)])
def test_sizes(text, size):
    assert parse_size(text) == size


def test_mistakes_are_told(command, capsys, tmp_path):
    with pytest.raises(VidsslError, match=r"--shards is a size, such as 500MB or 1GB; got 'large'"):
        run_pack([*command, "--shards", "large"])
    with pytest.raises(SystemExit):
        run_pack([*command, "--preset", "fats"])
    assert "Did you mean 'fast'" in capsys.readouterr().err
    with pytest.raises(VidsslError, match="There is no folder"):
        run_pack([*command, "--root", str(tmp_path / "nowhere")])


def test_motion_is_computed_in_the_same_go(command, tmp_path, capsys):
    flags = [*command, "--motion", "--data.motion.settings.grid", "[4, 4]"]
    assert run_pack(flags) == 0
    told = capsys.readouterr().out
    assert "motion     by codec: 0.00 MB and about 0.0 core-hours more" in told
    assert "motion of  48 of 48 videos" in told
    store = next((tmp_path / "p").glob("*.motion"))
    following = f"vidssl fit --config FILE {shlex.join(flags[-2:])} --data.catalog {store.with_suffix('.catalog')}"
    assert told.endswith(f"\nNext: {following} --data.motion.store {store}\n")
    catalog = Catalog.open(next((tmp_path / "p").glob("*.catalog")))
    assert len(MotionStore.open(store, catalog, MotionSettings(grid=(4, 4)))) == 48
    assert run_pack(flags) == 0
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(VidsslError, match=r"grid is \[4, 4\] there, \[28, 28\] here"):
        run_pack([*command, "--motion"])
    store.unlink()
    with pytest.raises(VidsslError, match=r"already exists, packed without motion\. Compute it with `vidssl motion"):
        run_pack(flags)


def test_flags_of_motion_are_for_motion(command, capsys):
    assert main(["pack", *command, "--motion", "--data.motion.settings.grdi", "[4, 4]"]) == 2
    assert "Did you mean 'settings.grid'" in capsys.readouterr().err
    for flags, message in [
        (["--data.motion.settings.stride", "4"], "unrecognized arguments: --data.motion.settings.stride"),
        (["--config", "x.yaml"], "--config is for --motion"),
        (["--shard", "1GB"], "unrecognized arguments: --shard. Did you mean '--shards'"),
    ]:
        with pytest.raises(SystemExit):
            run_pack([*command, *flags])
        assert message in capsys.readouterr().err
