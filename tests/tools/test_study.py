import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOOLS = Path(__file__).resolve().parents[2] / "tools"
STUDY = {
    "config": "configs/quickstart.yaml",
    "arguments": "--wandb.mode disabled",
    "seeds": 2,
    "data": {"Shared": "--data.name shared", "unique": "--data.name unique"},
    "rows": {"CVRL": "", "CVRL, warmer": {"arguments": "--model.temperature 0.2", "seeds": 1, "data": ["unique"]}},
}


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("study")


@pytest.fixture
def study_file(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return file


def test_every_row_runs_on_its_data_with_its_seeds(study, study_file, tmp_path):
    jobs = study.jobs_of(study.read_study(study_file), tmp_path / "out")
    names = [job.name for job in jobs]
    assert names == [
        "Shared: CVRL, seed 0",
        "unique: CVRL, seed 0",
        "unique: CVRL, warmer, seed 0",
        "Shared: CVRL, seed 1",
        "unique: CVRL, seed 1",
    ]
    assert jobs[2].folder == tmp_path / "out" / "unique" / "cvrl_warmer" / "0"
    line = " ".join(jobs[2].command)
    assert line.startswith("fit --config configs/quickstart.yaml --wandb.mode disabled --data.name unique")
    assert line.endswith(f"--model.temperature 0.2 --seed_everything 0 --run_dir {jobs[2].folder} --ckpt_path auto")
    assert len({job.folder for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 3}, "unknown key 'seed'"),
        ({"rows": {"CVRL": {"argument": ""}}}, "row 'CVRL': unknown key 'argument'"),
        ({"rows": {"CVRL": {"data": ["other"]}}}, "row 'CVRL': no data set 'other'"),
        ({"rows": {"a b": "", "a-b": ""}}, "'a b' and 'a-b'"),
        ({"baselines": ["SimCLR"]}, "no row 'SimCLR'"),
    ],
)
def test_a_wrong_study_names_what_is_wrong(study, study_file, change, said):
    study_file.write_text(yaml.safe_dump(STUDY | change))
    with pytest.raises(SystemExit, match=re.escape(said)):
        study.read_study(study_file)


def test_completed_runs_are_not_started_again_and_failures_are_reported(study_file, tmp_path):
    """The configuration names no file that exists, so that whatever starts fails at once."""
    study_file.write_text(yaml.safe_dump(STUDY | {"config": str(tmp_path / "missing.yaml")}))
    done = tmp_path / "out" / "shared" / "cvrl" / "0"
    done.mkdir(parents=True)
    (done / "run.json").write_text(json.dumps({"ended": "completed"}))
    command = [sys.executable, TOOLS / "study.py", study_file, "--output", tmp_path / "out", "--only", "^Shared"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "2 runs, 1 of them completed before" in run.stdout
    assert "1 of 2 runs failed: Shared: CVRL, seed 1" in run.stderr
    assert not (tmp_path / "out" / "shared" / "cvrl" / "0.log").exists()
    assert "missing.yaml" in (tmp_path / "out" / "shared" / "cvrl" / "1.log").read_text()
