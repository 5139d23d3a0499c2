"""How far a run has got: in a log, on a terminal, and whose bar it is."""

import io
import json
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from run_folders import record

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.reporting.console import progress
from vidssl.reporting.console.progress import TrainingProgress
from vidssl.reporting.console.standing import Standing, last_evaluation

STEPS_OF_AN_EPOCH = 5


class FakeTrainer(SimpleNamespace):
    """As much of a trainer as is asked."""

    def __init__(self, folder, **changes):
        values = {"default_root_dir": str(folder), "global_step": 0, "current_epoch": 0, "max_epochs": 2}
        values |= {"estimated_stepping_batches": 10, "world_size": 2, "callback_metrics": {}}
        values |= {"lightning_module": SimpleNamespace(automatic_optimization=True)}
        super().__init__(**values | {"sanity_checking": False} | changes)


def train(callback, trainer, steps, after_step=lambda: None):
    """Train with the hooks in Lightning's order."""
    callback.on_train_start(trainer, None)
    for step in range(steps):
        if step % STEPS_OF_AN_EPOCH == 0:
            trainer.current_epoch = step // STEPS_OF_AN_EPOCH
            callback.on_train_epoch_start(trainer, None)
        trainer.global_step = step + 1
        trainer.callback_metrics = {
            "train/loss": torch.tensor(2.0 - 0.1 * step),
            "train/contrastive_accuracy": torch.tensor(0.05 * step),
        }
        callback.on_train_batch_end(trainer, None, None, range(16), step)
        after_step()


def test_a_log_gets_a_line_after_the_first_step_and_one_at_the_end(tmp_path, capsys):
    callback, trainer = TrainingProgress(), FakeTrainer(tmp_path)
    train(callback, trainer, 10)
    (tmp_path / "evaluations.jsonl").write_text(json.dumps(record(0.5, step=10)) + "\n")
    callback.on_train_end(trainer, None)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1 of 2, step 1 of 10, loss 2.000, contrastive accuracy 0.0 %")
    assert last.startswith("epoch 2 of 2, step 10 of 10, loss 1.100, contrastive accuracy 45.0 %, ")
    assert last.endswith("videos/s, knn 50.0 %")


def test_a_log_gets_a_line_a_minute(tmp_path, capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)

    def wait():
        clock.now += 15

    train(TrainingProgress(), FakeTrainer(tmp_path), 10, after_step=wait)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[1].split()[1] for line in lines] == ["1", "5", "9"]
    assert lines[1].endswith("2 videos/s, 1 min left")  # 32 videos in 15 s; 5 steps to go


def test_the_bar_is_gone_when_training_ends(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **kept: Console(file=screen, force_terminal=True, width=80, **kept))
    callback, trainer = TrainingProgress(), FakeTrainer(tmp_path)
    callback.on_sanity_check_start(trainer, None)
    assert "evaluating the network before training" in screen.getvalue()
    train(callback, trainer, 6)
    callback.on_validation_start(trainer, None)
    callback.on_validation_end(trainer, None)
    callback.on_train_end(trainer, None)
    shown = screen.getvalue()
    assert "epoch 1 of 2, step 0 of 10" in shown
    assert shown.endswith("\x1b[2K")  # the last thing that happens is that its lines are erased


def test_processes_beside_the_first_show_nothing(tmp_path, capsys):
    callback = TrainingProgress()
    callback.disable()
    trainer = FakeTrainer(tmp_path)
    train(callback, trainer, 10)
    callback.on_train_end(trainer, None)
    assert capsys.readouterr().out == ""


def test_what_is_not_known_is_left_out():
    standing = Standing(3, None, 1200, None, None, None, None, None, "")
    assert standing.line == "epoch 3, step 1,200"


def test_the_last_evaluation_is_that_of_the_newest_step_by_every_protocol(tmp_path):
    assert last_evaluation(tmp_path) == ""
    records = [record(0.1, step=0), record(0.4, step=10), record(0.5, step=10, name="other")]
    (tmp_path / "evaluations.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    assert last_evaluation(tmp_path) == "toy/knn 40.0 %, other/knn 50.0 %"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--trainer.enable_progress_bar", "true"], "TrainingProgress"),
        (["--trainer.enable_progress_bar", "true", "--trainer.callbacks+=TQDMProgressBar"], "TQDMProgressBar"),
        (["--trainer.enable_progress_bar", "false"], None),
    ],
)
def test_a_configuration_may_choose_another_bar_or_none(small_config, flags, name):
    cli = VidsslCLI("fit", ["--config", str(small_config), "--wandb.mode", "disabled", *flags])
    bars = [type(found).__name__ for found in cli.trainer.callbacks if isinstance(found, ProgressBar)]
    assert bars == ([] if name is None else [name])
