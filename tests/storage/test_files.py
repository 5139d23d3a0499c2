"""Files that are whole or not there, however many write them."""

import os
import subprocess
import sys

import pytest

from vidssl.storage.files import replacing
from vidssl.storage.locks import machine_tag


def test_two_writers_of_one_path_do_not_mix(tmp_path):
    file = tmp_path / "file"
    with replacing(file) as first, replacing(file) as second:
        assert first != second
        assert {file.name.partition("-")[0] for file in (first, second)} == {f"file.{machine_tag()}"}
        first.write_text("first")
        second.write_text("the second")
    assert file.read_text() == "first"  # it ended last
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    file = tmp_path / "file"
    code = (
        "import os, sys; from vidssl.storage.files import replacing\n"
        "with replacing(sys.argv[1]) as passing:\n"
        "    passing.write_text('half of it and much longer')\n"
        "    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)]).returncode == -9
    assert len(list(tmp_path.glob("file.*.partial"))) == 1
    not_ours = tmp_path / "notes.partial"
    not_ours.touch()
    with replacing(file) as passing:
        passing.write_text("whole")
    assert file.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [file, not_ours]


def test_what_another_machine_writes_stays_for_a_day(tmp_path):
    new, old = (tmp_path / f"file.0badcafe-{number}-1.partial" for number in (1, 2))
    for file in (new, old):
        file.touch()
    os.utime(old, (0, 0))
    with replacing(tmp_path / ("x" * 240)) as passing:  # a long name does not become too long
        passing.write_text("")
    assert new.exists()
    assert not old.exists()


def test_a_failure_leaves_what_was_there(tmp_path):
    file = tmp_path / "file"
    file.write_text("before")
    with pytest.raises(FileNotFoundError), replacing(file) as passing:
        passing.unlink()  # so that it cannot take the place
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
