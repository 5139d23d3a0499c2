"""Files that are whole or not there, however many write them."""

import subprocess
import sys

import pytest

from vidssl.storage.files import replacing


def test_two_writers_of_one_path_do_not_mix(tmp_path):
    file = tmp_path / "file"
    with replacing(file) as first, replacing(file) as second:
        assert (first.name, second.name) == ("file.partial", "file.2.partial")
        first.write_text("first")
        second.write_text("the second")
    assert file.read_text() == "first"  # it ended last
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_writer_left_is_written_over(tmp_path):
    file = tmp_path / "file"
    code = (
        "import os, sys; from vidssl.storage.files import replacing\n"
        "with replacing(sys.argv[1]) as passing:\n"
        "    passing.write_text('half of it and much longer')\n"
        "    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)]).returncode == -9
    assert [left.name for left in tmp_path.iterdir()] == ["file.partial"]
    with replacing(file) as passing:
        passing.write_text("whole")
    assert file.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failure_leaves_what_was_there(tmp_path):
    file = tmp_path / "file"
    file.write_text("before")
    with pytest.raises(FileNotFoundError), replacing(file) as passing:
        passing.unlink()  # so that it cannot take the place
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
