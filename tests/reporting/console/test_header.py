"""The first thing a run prints."""

from pathlib import Path

import pytest
from rich.console import Console

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.reporting.console.header import count_text, print_header
from vidssl.runs.run_record import identify

FACTS = {
    "objective": "MCL",
    "backbone": "p3d_a_r50",
    "backbone_parameters": 27_300_000,
    "trainable_parameters": 35_600_000,
    "catalog": {"name": "kinetics400", "train_split": "train", "train_videos": 240_000},
    "batch_size": 512,
    "steps_per_epoch": 468,
    "devices": 8,
    "num_nodes": 2,
    "accelerator": "cuda",
    "precision": "bf16-mixed",
    "max_epochs": 400,
    "max_steps": -1,
}


def printed(capsys, **changes):
    print_header(Path("runs/[mine]"), FACTS | changes, console=Console(highlight=False, width=40))
    return capsys.readouterr().out


def test_it_says_what_is_trained_on_what_where_and_for_how_long(capsys):
    assert printed(capsys) == (
        "Run folder: runs/[mine]\n"
        "  method   MCL, 35.6 M trainable parameters\n"
        "  network  p3d_a_r50, 27.3 M parameters\n"
        "  data     kinetics400, split train: 240,000 videos, 512 per step\n"
        "  devices  2 hosts with 8 CUDA devices each, precision bf16-mixed\n"
        "  length   400 epochs of 468 steps\n"
    )


@pytest.mark.parametrize(
    ("epochs", "steps", "told"),
    [(1, -1, "1 epoch of 468 steps"), (2, 9, "2 epochs of 468 steps, at most 9 steps"), (-1, 4000, "4,000 steps")],
)
def test_the_length_is_what_ends_the_run(capsys, epochs, steps, told):
    assert printed(capsys, max_epochs=epochs, max_steps=steps).endswith(f"  length   {told}\n")


def test_numbers_of_parameters():
    assert [count_text(count) for count in (488_368, 33_166_785, None)] == ["0.49 M", "33.2 M", "an unknown number of"]


def test_the_facts_are_those_of_the_run(small_config, capsys):
    flags = ["--wandb.mode=disabled", "--trainer.limit_train_batches=0.8", "--trainer.accumulate_grad_batches=2"]
    built = VidsslCLI("fit", ["--config", str(small_config), *flags])
    facts = identify(built.trainer, built.model, built.datamodule)
    print_header(Path("here"), facts, continued_from="there/last.ckpt")
    told = capsys.readouterr().out
    assert "Run folder: here, continued from there/last.ckpt\n" in told
    assert "CVRL, 0.49 M trainable parameters" in told
    assert "synthetic, split train: 32 videos, 8 per step" in told
    assert "1 CPU device, precision 32-true" in told
    assert "2 epochs of 2 steps" in told  # three of four batches, two to a step
    assert built.trainer.callbacks
    assert not any("ModelSummary" in type(callback).__name__ for callback in built.trainer.callbacks)
