import os

import numpy as np
import pytest
import torch

from vidssl.errors import VidsslError
from vidssl.runs.claim import release
from vidssl.runs.run_directory import (
    CHOSEN_VARIABLE,
    check_writable,
    choose_run_dir,
    folder_of_verb,
    resolve_checkpoint,
    run_around,
    run_of,
)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.setenv(CHOSEN_VARIABLE, "set, so that it is removed again afterwards")
    monkeypatch.delenv(CHOSEN_VARIABLE)


def make_run(folder, checkpoint_time=None):
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    if checkpoint_time is not None:
        last = folder / "checkpoints" / "last.ckpt"
        last.write_bytes(b"")
        os.utime(last, (checkpoint_time, checkpoint_time))
    return folder


def test_a_taken_folder_is_numbered_and_an_unused_one_is_not(tmp_path, monkeypatch):
    wanted = tmp_path / "runs" / "mine"
    assert choose_run_dir(str(wanted), None) == wanted
    release(wanted)
    monkeypatch.delenv(CHOSEN_VARIABLE)
    make_run(wanted)
    make_run(tmp_path / "runs" / "mine-2")
    make_run(tmp_path / "runs" / "mine-other")
    assert choose_run_dir(str(wanted), None) == tmp_path / "runs" / "mine-3"
    # a process started for DDP repeats the command and must not count on
    assert choose_run_dir(str(wanted), None) == tmp_path / "runs" / "mine-3"
    release(tmp_path / "runs" / "mine-3")


def test_last_is_the_newest_checkpoint_of_the_runs_of_that_name(tmp_path):
    make_run(tmp_path / "mine", checkpoint_time=100)
    newest = make_run(tmp_path / "mine-2", checkpoint_time=300)
    make_run(tmp_path / "mine-3")
    make_run(tmp_path / "mine-too", checkpoint_time=900)
    found = resolve_checkpoint(str(tmp_path / "mine"), "last")
    assert found == str(newest / "checkpoints" / "last.ckpt")
    assert choose_run_dir(str(tmp_path / "mine"), found) == newest
    assert resolve_checkpoint(str(tmp_path / "mine"), None) is None
    with pytest.raises(VidsslError, match=r"ckpt_path last: no checkpoints/last\.ckpt below"):
        resolve_checkpoint(str(tmp_path / "other"), "last")


def write_checkpoint(file, time):
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {"weight": torch.full((3,), 1.5)}, "optimizer_states": [], "loops": {}}, file)
    os.utime(file, (time, time))
    return file


def test_auto_is_the_newest_whole_checkpoint_or_a_fresh_start(tmp_path):
    wanted = str(tmp_path / "mine")
    assert resolve_checkpoint(wanted, "auto") is None
    run, second = make_run(tmp_path / "mine"), make_run(tmp_path / "mine-2")
    assert resolve_checkpoint(wanted, "auto") is None
    last = write_checkpoint(run / "checkpoints" / "last.ckpt", 100)
    assert resolve_checkpoint(wanted, "auto") == str(last)
    requeued = write_checkpoint(run / "hpc_ckpt_1.ckpt", 200)
    assert resolve_checkpoint(wanted, "auto") == str(requeued)
    assert run_of(str(requeued), "wanted") == run
    newest = write_checkpoint(second / "checkpoints" / "newest.ckpt", 300)
    assert resolve_checkpoint(wanted, "auto") == str(newest)
    content = newest.read_bytes()
    position = content.index(np.full(3, 1.5, np.float32).tobytes())
    for broken in (content[:-40], content[:position] + b"\1" + content[position + 1 :], b""):
        newest.write_bytes(broken)
        os.utime(newest, (300, 300))
        assert resolve_checkpoint(wanted, "auto") == str(requeued)
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, newest)  # of save_weights_only
    assert resolve_checkpoint(wanted, "auto") == str(requeued)


def test_a_checkpoint_outside_a_run_belongs_to_no_run(tmp_path):
    run = make_run(tmp_path / "runs" / "mine", checkpoint_time=1)
    assert run_of(str(run / "checkpoints" / "last.ckpt"), "wanted") == run
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes(b"")
    assert str(run_of(str(alone), "wanted")) == "wanted"
    assert str(run_of(None, "wanted")) == "wanted"


def test_a_checkpoint_is_found_in_its_run_through_links(tmp_path):
    run = make_run(tmp_path / "runs" / "mine")
    (run / "checkpoints").rmdir()
    (tmp_path / "disk" / "kept").mkdir(parents=True)
    (run / "checkpoints").symlink_to(tmp_path / "disk" / "kept")
    (run / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "best.ckpt").symlink_to(run / "checkpoints" / "last.ckpt")
    assert run_around(run / "checkpoints" / "last.ckpt") == run
    assert run_around(tmp_path / "best.ckpt") is None  # the file lies on the other disk, and knows of no run
    real = make_run(tmp_path / "runs" / "real", checkpoint_time=1)
    (tmp_path / "real.ckpt").symlink_to(real / "checkpoints" / "last.ckpt")
    assert run_around(tmp_path / "real.ckpt") == real


def test_a_verb_writes_elsewhere_where_the_run_cannot_be_written_to(tmp_path):
    run = make_run(tmp_path / "runs" / "mine", checkpoint_time=1)
    last, elsewhere = str(run / "checkpoints" / "last.ckpt"), str(tmp_path / "elsewhere")
    assert folder_of_verb("validate", last, elsewhere) == run / "validate"
    (run / "test").touch()  # no folder of this name can be made
    assert folder_of_verb("test", last, elsewhere) == tmp_path / "elsewhere" / "test"
    with pytest.raises(VidsslError, match=r"cannot write to .*mine/test .*choose another run_dir"):
        folder_of_verb("test", last, str(run))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VidsslError, match=r"run_dir: cannot write to .*file/run .*choose another run_dir"):
        check_writable(tmp_path / "file" / "run")


def test_a_nearly_full_disk_is_told(tmp_path):
    check_writable(tmp_path, min_free_bytes=1)
    with pytest.raises(VidsslError, match=r"run_dir: only \d+ MB are free"):
        check_writable(tmp_path, min_free_bytes=1 << 62)


@pytest.mark.parametrize("other", ["0", "1-old", "seed-1", "10"])
def test_a_run_whose_name_is_a_number_is_not_taken_for_another(tmp_path, other):
    run = make_run(tmp_path / other)
    write_checkpoint(run / "checkpoints" / "last.ckpt", 100)
    wanted = str(tmp_path / "1")
    assert resolve_checkpoint(wanted, "auto") is None
    with pytest.raises(VidsslError, match=r"no checkpoints/last\.ckpt below"):
        resolve_checkpoint(wanted, "last")
