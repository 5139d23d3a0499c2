"""Reading what wandb wrote offline."""

import json
import os
import subprocess
import sys

import pytest


def wandb_records(file):
    """The records of a .wandb file in their order, as wandb's own inspector tells them: dicts with a `type`."""
    environment = {**os.environ, "WANDB_MODE": "offline", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    if done.returncode and "No such command" in done.stderr:
        pytest.skip("this wandb has no inspector of its files: wandb leet inspect")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def history(records):
    """What was logged, an item a call of log: name -> value, without wandb's own."""
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [{name: value for name, value in item.items() if not name.startswith("_")} for item in items]


def summary(records):
    """The summary as it stood at the end."""
    merged = {}
    for record in records:
        if record["type"] == "summary":
            merged.update(record["summary"].get("update", {}))
    return merged


def config(records):
    """The run's configuration as it stood at the end."""
    merged = {}
    for record in records:
        if record["type"] in ("run", "config"):
            told = record["run"]["config"] if record["type"] == "run" else record["config"]
            merged.update(told.get("update", {}))
    return merged


def metric_definitions(records):
    """Name -> definition of every metric."""
    found = [record["metric"] for record in records if record["type"] == "metric"]
    return {metric["name"]: metric for metric in found if "name" in metric}
