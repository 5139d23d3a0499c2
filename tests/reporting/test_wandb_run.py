"""The offline wandb run of a fit on two processes, before and after it was continued."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from run_folders import record
from wandb_files import config, history, metric_definitions, summary, wandb_records

from vidssl.reporting.wandb_records import protocol_line
from vidssl.runs.metrics_file import read_metrics
from vidssl.runs.run_file import read_run

COMMAND = Path(__file__).parents[1] / "vidssl_with_extras.py"
STEP_AXIS = "trainer/global_step"
TRAINED = ("train/loss", "train/learning_rate", "train/contrastive_accuracy", "train/entropy")
EVALUATED = ("eval/synthetic/knn/top1", "eval/synthetic/knn/nearest_top1")


def fit(*args):
    environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("WANDB_SERVICE", None)
    command = [sys.executable, str(COMMAND), "fit", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.fixture
def two_process_config(small_config):
    """Two epochs of two steps on two processes, k-NN alone."""
    values = yaml.safe_load(small_config.read_text())
    values["data"]["batch_size"] = 16
    values["trainer"] |= {"devices": 2, "strategy": "ddp"}
    callbacks = values["trainer"]["callbacks"]
    callbacks[0]["init_args"]["protocols"] = ["knn"]
    values["trainer"]["callbacks"] = [callback for callback in callbacks if callback["class_path"] != "RunSummary"]
    values["wandb"] = {"group": "pairs", "job_type": "test", "tags": ["two", "processes"]}
    small_config.write_text(yaml.safe_dump(values))
    return small_config


def logged(records, names):
    """(step, value) of each name, as it was logged."""
    items = history(records)
    return {name: [(item[STEP_AXIS], item[name]) for item in items if name in item] for name in names}


def test_a_fit_on_two_processes_is_one_wandb_run_on_one_axis_also_when_it_is_continued(two_process_config):
    run_dir = two_process_config.parent / "runs" / "small"
    fit("--config", two_process_config, "--trainer.max_epochs", "1")
    (first_file,) = run_dir.glob("wandb/offline-run-*/run-*.wandb")
    first = wandb_records(first_file)
    in_csv = read_metrics(run_dir)
    for name, points in logged(first, [*TRAINED, *EVALUATED]).items():
        assert points == [(row["step"], pytest.approx(row[name])) for row in in_csv if name in row], name
        assert points, name
    # every name that metrics.csv holds, and none of them on another axis
    assert {name for row in in_csv for name in row} - {"step"} <= {name for item in history(first) for name in item}
    assert all(STEP_AXIS in item for item in history(first))
    definitions = metric_definitions(first)
    for name in {name for row in in_csv for name in row} - {"step", STEP_AXIS}:
        assert definitions[name]["step_metric"] == STEP_AXIS, name
    (run,) = [record["run"] for record in first if record["type"] == "run"][:1]
    assert (run["run_group"], run["job_type"], run["tags"]) == ("pairs", "test", ["two", "processes"])
    told = config(first)
    assert told["model"]["class_path"].endswith("CVRL")
    assert told["code"]["version"]
    assert told["catalog"]["train_videos"] == 32
    assert len(told["catalog"]["digest"]) > 8
    # the protocol beside the numbers, whole and in a line
    protocol = told["protocols"]["synthetic/knn"]
    assert (protocol["protocol"]["name"], protocol["data"]["query_videos"]) == ("knn", 16)
    assert summary(first)["protocol/synthetic/knn"].startswith("knn v1; test of synthetic (16 videos), catalog ")

    before = read_run(run_dir)
    assert before["finished"] is True
    fit("--config", two_process_config, "--run_dir", run_dir, "--ckpt_path", "last", "--trainer.max_epochs", "2")
    files = sorted(run_dir.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2  # wandb sync sends both to one run: same id, the second continues the first
    assert len({file.name for file in files}) == 1
    second = wandb_records(files[1])
    assert [record["run"]["resume"] for record in second if record["type"] == "run"][:1] == [True]
    # last.ckpt is older than the evaluation after its step, which is made again: each step counts once
    joined = {
        name: list(dict(points + logged(second, [name])[name]).items())
        for name, points in logged(first, [*TRAINED, *EVALUATED]).items()
    }
    in_csv = read_metrics(run_dir)
    for name, points in joined.items():
        assert points == [(row["step"], pytest.approx(row[name])) for row in in_csv if name in row], name
        assert [step for step, _ in points] == sorted(step for step, _ in points), name
    # wandb knows the second file alone; the best values are those of the whole run
    for name in EVALUATED:
        values = [value for _, value in joined[name]]
        assert summary(second)[name]["max"] == pytest.approx(max(values))
        assert summary(second)[name]["last"] == pytest.approx(values[-1])
    assert summary(second)["train/loss"]["min"] == pytest.approx(min(value for _, value in joined["train/loss"]))

    after = read_run(run_dir)
    assert (after["starts"], after["steps"], after["videos_seen"]) == (2, 4, 64)
    assert after["wall_seconds"] > before["wall_seconds"] > 0
    assert after["device_hours"] == pytest.approx(2 * after["wall_seconds"] / 3600)


LOG_A_RECORD = """
import sys
import wandb
from run_folders import record
from vidssl.reporting.wandb_records import log_record
run = wandb.init(mode="offline", dir=sys.argv[1], project="test")
for step, value in ((0, 0.25), (10, 0.75)):
    log_record(run, record(value, step=step), step=step)
run.finish()
"""


def test_every_evaluation_sends_a_table_of_the_classes_and_its_protocol_once(tmp_path):
    helpers = str(Path(__file__).parents[1])
    paths = os.pathsep.join([helpers, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "WANDB_SILENT": "true", "PYTHONPATH": paths}
    environment.pop("WANDB_SERVICE", None)
    subprocess.run([sys.executable, "-c", LOG_A_RECORD, str(tmp_path)], env=environment, check=True, timeout=120)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    records = wandb_records(file)
    fields = ("_type", "ncols", "nrows")  # the inspector spells nested values out
    tables = [[item[STEP_AXIS], *(item[f"per_class/toy/knn.{field}"] for field in fields)] for item in history(records)]
    assert tables == [[0, "table-file", 3, 2], [10, "table-file", 3, 2]]
    contents = [json.loads(table.read_text()) for table in sorted(file.parent.rglob("*.table.json"))]
    assert {"columns": ["class", "videos", "accuracy"], "data": [["circle", 8, 0.25], ["zigzag", 8, 0.25]]} in [
        {key: content[key] for key in ("columns", "data")} for content in contents
    ]
    assert list(config(records)["protocols"]) == ["toy/knn"]
    assert summary(records)["protocol/toy/knn"] == "knn v1; test of toy (16 videos), catalog 01234567"


def test_a_line_tells_what_was_modified():
    told = protocol_line(record(0.5, step=None) | {"modified": {"num_frames": 16}})
    assert told == "knn v1, num_frames=16; test of toy (16 videos), catalog 01234567"
