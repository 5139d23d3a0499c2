"""`vidssl split`: what it writes, says and refuses."""

import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.cli.split import run_split
from vidssl.errors import VidsslError


def test_a_share_is_split_off_and_the_next_command_uses_it(synthetic_catalog, tmp_path, capsys):
    output = tmp_path / "split.catalog"
    args = [str(synthetic_catalog), "--test-share", "0.5", "--number", "3", "--output", str(output)]
    assert run_split(args) == 0
    written = Catalog.open(output)
    assert len(written.split("train3")) + len(written.split("test3")) == len(written)
    assert {"train", "test", "train3", "test3"} == set(written.split_names)
    assert f"--data.catalog {output}" in capsys.readouterr().out
    with pytest.raises(VidsslError, match=r"split.catalog already exists; choose another --output, or add --overwrite"):
        run_split(args)
    with pytest.raises(VidsslError, match="has a split 'train3' already; choose another --number"):
        run_split([str(output), *args[1:], "--overwrite"])


def test_groups_that_nobody_has_are_refused(synthetic_catalog, tmp_path):
    with pytest.raises(VidsslError, match=r"has no group 'anna'\. It has: none"):
        run_split([str(synthetic_catalog), "--test-groups", "anna", "--output", str(tmp_path / "split.catalog")])
