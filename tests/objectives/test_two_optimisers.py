"""A method that steps two optimisers by itself, as docs/objectives.md writes it: checked, trained, continued."""

import re
from pathlib import Path

import pytest
import torch

from vidssl.cli.main import main
from vidssl.runs.metrics_file import read_metrics
from vidssl.runs.run_file import read_run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "objectives.md"

pytestmark = pytest.mark.usefixtures("no_plugins_left")


@pytest.fixture
def example(tmp_path):
    """The page's class with two optimisers, as the file two_speeds.py."""
    code = next(code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "TwoSpeeds" in code)
    (tmp_path / "two_speeds.py").write_text(code)
    return ["--plugin", str(tmp_path / "two_speeds.py")]


def test_it_keeps_the_contract(example, capsys):
    assert main(["check", "objective", "TwoSpeeds", *example, "--size", "16"]) == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    assert "2 optimisers change all" in told
    assert re.search(r"passed +resuming", told)


def test_a_run_that_is_continued_ends_like_one_that_was_not(example, small_config, tmp_path, capsys):
    run = ["fit", "--config", str(small_config), *example, "--objective", "TwoSpeeds", "--wandb.mode", "disabled"]
    quick = [
        "--trainer.limit_train_batches",
        "2",
        "--trainer.num_sanity_val_steps",
        "0",
        "--trainer.limit_val_batches",
        "0",
    ]
    runs = tmp_path / "runs"
    assert main([*run, *quick, "--run_dir", str(runs / "whole")]) == 0
    assert main([*run, *quick, "--run_dir", str(runs / "parts"), "--trainer.max_epochs", "1"]) == 0
    last = str(runs / "parts" / "checkpoints" / "last.ckpt")
    assert main([*run, *quick, "--run_dir", str(runs / "parts"), "--ckpt_path", last]) == 0
    states = []
    for folder in (runs / "whole", runs / "parts"):
        states.append(torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True))
        assert read_run(folder)["steps"] == 4  # not 8: two optimisers, one step
        rows = read_metrics(folder)
        assert [row["step"] for row in rows] == [0, 1, 2, 3]
        assert rows[-1]["train/learning_rate"] == pytest.approx(0.05)
        assert rows[-1]["train/learning_rate_2"] == pytest.approx(0.001)
    whole, parts = states
    assert whole["state_dict"].keys() == parts["state_dict"].keys()
    assert all(torch.equal(value, parts["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert len(parts["optimizer_states"]) == 2
    capsys.readouterr()
    assert main([*run, *quick, "--run_dir", str(runs / "parts"), "--ckpt_path", "last"]) == 0
    assert "is complete; nothing is trained" in capsys.readouterr().out
