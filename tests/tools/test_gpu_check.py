"""What is checked on a GPU runs on a CPU too, with small sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "gpu_check.py"
ON_GPUS_ALONE = {"synchronisation", "memory", "transfer", "nccl"}


def check(tmp_path, *flags, code=0):
    line = [sys.executable, str(TOOL), "--device", "cpu", "--json", str(tmp_path / "found.json"), *flags]
    done = subprocess.run(line, capture_output=True, text=True, cwd=TOOL.parents[1])
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads((tmp_path / "found.json").read_text()), done.stdout


def test_a_part_that_takes_too_long_is_given_up_and_the_others_run(tmp_path):
    found, told = check(tmp_path, "--only", "transfer", "agreement", "--patience", "0.001", code=1)
    assert [part["outcome"] for part in found["parts"].values()] == ["timed out", "timed out"]
    assert "1  transfer          timed out" in told
    assert found["machine"]["device"]


@pytest.mark.slow
def test_all_parts_run_on_a_cpu(tmp_path):
    found, told = check(tmp_path, "--patience", "10")
    outcomes = {name: part["outcome"] for name, part in found["parts"].items()}
    assert {name for name, outcome in outcomes.items() if outcome == "left out"} == ON_GPUS_ALONE
    assert {outcome for name, outcome in outcomes.items() if name not in ON_GPUS_ALONE} == {"passed"}
    figures = {name: value for part in found["parts"].values() for name, value in part["figures"].items()}
    assert figures["CVRL float32: least cosine of a layer's gradient"] > 0.9999
    assert figures["largest relative difference of a loss"] == 0
    assert figures["steps"] == 12
    assert "needs a GPU" in told
