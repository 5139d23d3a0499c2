"""Checkpoints that are written while training goes on: whole, in order, and no error is lost."""

import errno
import os
import shutil
import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from evaluation_setup import BARE
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from vidssl.errors import VidsslError
from vidssl.runs.background_checkpoints import BackgroundCheckpointIO, follow_writer, snapshot
from vidssl.runs.checkpoint_io import AtomicCheckpointIO
from vidssl.runs.interruption import END, Interrupted, Interruption
from vidssl.runs.run_directory import resolve_checkpoint
from vidssl.storage.links import write_link

SECONDS = 20


class Gate:
    """Holds back the thread that writes, and counts what it has written."""

    def __init__(self, monkeypatch):
        self.open, self.written = threading.Event(), []
        write = AtomicCheckpointIO.save_checkpoint

        def gated(writer, checkpoint, path, storage_options=None):
            assert self.open.wait(SECONDS)
            write(writer, checkpoint, path, storage_options)
            self.written.append(os.path.basename(path))

        monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", gated)


@pytest.fixture
def gate(monkeypatch):
    return Gate(monkeypatch)


@pytest.fixture
def writer():
    writer = BackgroundCheckpointIO()
    yield writer
    writer.teardown()


def read(file):
    return torch.load(file, weights_only=True)


def test_later_steps_do_not_change_what_is_written(gate, writer, tmp_path):
    weight, steps = torch.nn.Parameter(torch.ones(3)), [1]
    state = OrderedDict(weight=weight)
    state._metadata = {"": {"version": 2}}
    writer.save_checkpoint({"state_dict": state, "loops": {"steps": steps, "pair": (weight, 1)}}, tmp_path / "a.ckpt")
    with torch.no_grad():
        weight.zero_()
    steps[0] = 2
    gate.open.set()
    found = writer.load_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert found["state_dict"]["weight"].tolist() == [1, 1, 1]
    assert found["loops"]["steps"] == [1]
    assert found["loops"]["pair"][0].tolist() == [1, 1, 1]
    assert found["state_dict"]._metadata == state._metadata


def test_a_snapshot_shares_no_memory():
    tensor = torch.arange(6.0).view(2, 3).T  # not contiguous
    copied = snapshot({"deep": [{"tensor": tensor}]})["deep"][0]["tensor"]
    assert copied.data_ptr() != tensor.data_ptr()
    assert torch.equal(copied, tensor)


def test_the_next_checkpoint_waits_for_the_one_before(gate, writer, tmp_path):
    writer.save_checkpoint({"step": 1}, tmp_path / "1.ckpt")
    second = threading.Thread(target=writer.save_checkpoint, args=({"step": 2}, tmp_path / "2.ckpt"))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    assert list(tmp_path.iterdir()) == []
    gate.open.set()
    second.join(SECONDS)
    writer.wait()
    assert gate.written == ["1.ckpt", "2.ckpt"]


def test_the_one_before_is_removed_and_the_link_is_set_when_the_new_one_is_there(gate, writer, tmp_path):
    gate.open.set()
    last = tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, tmp_path / "1.ckpt")
    writer.link_checkpoint(tmp_path / "1.ckpt", last)
    writer.wait()
    gate.open.clear()
    writer.save_checkpoint({"step": 2}, tmp_path / "2.ckpt")
    writer.remove_checkpoint(tmp_path / "1.ckpt")
    writer.link_checkpoint(tmp_path / "2.ckpt", last)
    assert read(last) == {"step": 1}
    assert [writer.will_exist(tmp_path / f"{step}.ckpt") for step in (1, 2, 3)] == [False, True, None]
    gate.open.set()
    writer.wait()
    assert read(last) == {"step": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2.ckpt", "last.ckpt"]


@pytest.mark.parametrize("where", ["save", "load", "teardown"])
def test_an_error_is_raised_once_and_what_was_there_stays(writer, tmp_path, monkeypatch, where):
    last = tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, tmp_path / "1.ckpt")
    writer.link_checkpoint(tmp_path / "1.ckpt", last)
    writer.wait()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("vidssl.storage.files.os.fsync", full)
        writer.save_checkpoint({"step": 2}, tmp_path / "2.ckpt")
        writer.remove_checkpoint(tmp_path / "1.ckpt")
        writer.link_checkpoint(tmp_path / "2.ckpt", last)
        with pytest.raises(OSError, match="No space left"):
            {
                "save": lambda: writer.save_checkpoint({"step": 3}, tmp_path / "3.ckpt"),
                "load": lambda: writer.load_checkpoint(last),
                "teardown": writer.teardown,
            }[where]()
    assert read(last) == {"step": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1.ckpt", "last.ckpt"]
    writer.save_checkpoint({"step": 4}, tmp_path / "4.ckpt")  # there is room again
    writer.wait()
    assert read(tmp_path / "4.ckpt") == {"step": 4}


def test_a_link_to_an_earlier_checkpoint_than_the_last_is_not_set(writer, tmp_path):
    last = tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, tmp_path / "newest.ckpt")
    writer.link_checkpoint(tmp_path / "newest.ckpt", last)
    writer.save_checkpoint({"step": 2}, last)  # a signal's
    writer.link_checkpoint(tmp_path / "newest.ckpt", last)
    writer.wait()
    assert (read(last), read(tmp_path / "newest.ckpt")) == ({"step": 2}, {"step": 1})
    assert not last.is_symlink()


@pytest.mark.parametrize("before", ["nothing", "file", "link", "broken link"])
def test_a_link_takes_the_place_of_what_is_there(tmp_path, before):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    link, file = folder / "last.ckpt", folder / "newest.ckpt"
    (folder / "other.ckpt").write_text("other")
    file.write_text("newest")
    if before == "file":
        link.write_text("old")
    elif before != "nothing":
        link.symlink_to("gone.ckpt" if before == "broken link" else "other.ckpt")
    write_link(link, file)
    assert (link.read_text(), os.readlink(link)) == ("newest", "newest.ckpt")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert (tmp_path / "moved" / "checkpoints" / "last.ckpt").read_text() == "newest"
    assert len(list((tmp_path / "moved" / "checkpoints").iterdir())) == 3


def test_it_is_a_copy_where_a_disk_has_no_links(tmp_path, monkeypatch):
    def refuse(target, link):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.symlink", refuse)
    (tmp_path / "newest.ckpt").write_text("newest")
    write_link(tmp_path / "last.ckpt", tmp_path / "newest.ckpt")
    assert not (tmp_path / "last.ckpt").is_symlink()
    assert (tmp_path / "last.ckpt").read_text() == "newest"


def test_a_link_that_leads_nowhere_is_no_checkpoint(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").touch()
    (tmp_path / "run" / "checkpoints" / "last.ckpt").symlink_to("newest.ckpt")
    assert resolve_checkpoint(str(tmp_path / "run"), "auto") is None
    for given in ("last", str(tmp_path / "run" / "checkpoints" / "last.ckpt")):
        with pytest.raises(VidsslError, match=r"last.ckpt: it is a link to newest.ckpt, which is not there"):
            resolve_checkpoint(str(tmp_path / "run"), given)


# --- under a trainer ---


class Network(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return (self.weight - 1).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class AtTheEnd(Callback):
    """Notes which checkpoints are there when the marks of a finished run are set."""

    def on_fit_end(self, trainer, pl_module):
        self.found = sorted(file.name for file in Path(trainer.default_root_dir, "checkpoints").iterdir())


def train(folder, callbacks, batches=2, model=None, **settings):
    trainer = Trainer(
        **BARE | {"enable_checkpointing": True, "max_epochs": 2, "num_sanity_val_steps": 0} | settings,
        default_root_dir=folder,
        callbacks=callbacks,
        plugins=[BackgroundCheckpointIO()],
    )
    follow_writer(trainer)
    trainer.fit(model or Network(), DataLoader(torch.zeros(batches, 1)))


def test_all_is_written_before_the_marks_of_the_end(tmp_path, gate):
    at_end = AtTheEnd()
    threading.Timer(0.5, gate.open.set).start()
    train(tmp_path, [at_end, ModelCheckpoint(filename="{step}", save_last="link")])
    assert at_end.found == ["last.ckpt", "step=4.ckpt"]
    assert os.readlink(tmp_path / "checkpoints" / "last.ckpt") == "step=4.ckpt"
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 4


class Best(ModelCheckpoint):
    """Of another name: Lightning takes callbacks that differ only in a few settings for one and the same."""


def test_two_callbacks_do_not_take_the_same_name(tmp_path):
    train(tmp_path, [ModelCheckpoint(filename="{epoch}"), Best(filename="{epoch}", save_top_k=-1)])
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["epoch=0-v1.ckpt", "epoch=1-v1.ckpt", "epoch=1.ckpt"]


def test_checkpoints_of_a_callback_that_the_model_brings_are_linked_when_they_are_written(tmp_path, gate):
    class Bringing(Network):
        def configure_callbacks(self):
            return [ModelCheckpoint(filename="{step}", save_last="link")]

    def look(trainer, *args):
        if trainer.current_epoch == 1:
            assert not os.path.lexists(tmp_path / "checkpoints" / "last.ckpt")
            gate.open.set()

    callback = Callback()
    callback.on_train_epoch_start = look
    train(tmp_path, [callback, Interruption(tmp_path)], model=Bringing())
    assert os.readlink(tmp_path / "checkpoints" / "last.ckpt") == "step=4.ckpt"


class WishInStep(Callback):
    """A signal comes in the step that follows `step` others."""

    def __init__(self, interruption, step):
        self.interruption, self.step = interruption, step

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            self.interruption._wish = END


def test_a_signal_at_the_end_of_an_epoch_keeps_the_last_step(tmp_path, gate):
    interruption = Interruption(tmp_path)
    newest = ModelCheckpoint(filename="newest", save_last="link", every_n_train_steps=2, enable_version_counter=False)
    threading.Timer(0.5, gate.open.set).start()
    with pytest.raises(Interrupted, match=r"ended the run after 3 steps\. It continues with"):
        train(tmp_path, [newest, interruption, WishInStep(interruption, 2)], batches=3)
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 3


def test_a_signal_on_a_full_disk_ends_with_the_error_of_the_disk(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    interruption = Interruption(tmp_path)
    monkeypatch.setattr("vidssl.storage.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"), interruption.listening():
        train(tmp_path, [interruption, WishInStep(interruption, 1)], batches=3)
