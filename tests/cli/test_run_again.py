"""The same command again, with `--ckpt_path auto`."""

import shutil

import pytest

from vidssl.cli.main import main
from vidssl.evaluation.protocols.records import read_records
from vidssl.runs.metrics_file import read_metrics
from vidssl.runs.run_file import read_run, write_run


@pytest.fixture
def again(small_config):
    """Start or continue a run of two steps; the folder of the run comes too."""
    run_dir = small_config.parent / "runs" / "small"

    def fit(*flags):
        line = ["fit", "--config", str(small_config), "--ckpt_path", "auto", "--wandb.mode", "disabled"]
        assert main([*line, "--trainer.max_epochs=-1", "--trainer.max_steps=2", *flags]) == 0

    return fit, run_dir


def contents(run_dir):
    return {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file()}


def test_a_complete_run_is_left_as_it_is_and_trains_on_to_a_later_end(again, capsys):
    fit, run_dir = again
    fit()
    before = contents(run_dir)
    fit()
    told = capsys.readouterr().out
    assert f"The run in {run_dir} is complete; nothing is trained or measured." in told
    fit("--ckpt_path=last")
    assert contents(run_dir) == before
    fit("--trainer.max_steps=3")
    assert (read_run(run_dir)["steps"], read_run(run_dir)["ended"]) == (3, "completed")
    assert [row["step"] for row in read_metrics(run_dir)] == [0, 0, 1, 2]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again_in_its_folder(again):
    fit, run_dir = again
    fit()
    rows, records = read_metrics(run_dir), read_records(run_dir / "evaluations.jsonl")
    shutil.rmtree(run_dir / "checkpoints")
    write_run(run_dir, read_run(run_dir) | {"ended": None, "finished": False})
    fit()
    assert [folder.name for folder in run_dir.parent.iterdir()] == ["small"]
    assert read_run(run_dir)["starts"] == 2
    assert [row["train/loss"] for row in read_metrics(run_dir)[1:]] == [row["train/loss"] for row in rows[1:]]
    assert len(read_metrics(run_dir)) == len(rows)
    assert read_records(run_dir / "evaluations.jsonl") == records  # measured again, recorded once


@pytest.mark.parametrize("length", [("--trainer.max_steps=2",), ("--trainer.max_steps=-1", "--trainer.max_epochs=1")])
def test_a_run_that_was_killed_before_its_end_was_noted_notes_it_and_measures_nothing_again(again, length):
    fit, run_dir = again
    workers = "--data.loading.num_workers=2"
    fit(workers, *length)
    rows, records = read_metrics(run_dir), read_records(run_dir / "evaluations.jsonl")
    write_run(run_dir, read_run(run_dir) | {"ended": None, "finished": False})
    fit(workers, *length)
    assert read_run(run_dir)["ended"] == "completed"
    assert [row["step"] for row in read_metrics(run_dir)] == [row["step"] for row in rows]
    assert read_metrics(run_dir) == rows
    assert read_records(run_dir / "evaluations.jsonl") == records
