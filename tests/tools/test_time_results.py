import argparse
import importlib
import json
from pathlib import Path

import pytest
from run_folders import record, write_run

from vidssl.errors import VidsslError

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("time_results")


def measured_run(tool, folder, *, seed, value):
    """A run that both protocols have measured, all of its accuracies the same."""
    write_run(folder, seed=seed)
    with (folder / "evaluations.jsonl").open("a") as lines:
        for protocol in tool.PROTOCOLS:
            made = record(value, step=20)
            made["protocol"] |= {"name": protocol, "measure": {"name": "ChangedClips"}}
            made["metrics"] = dict.fromkeys(tool.METRICS, value)
            made["intervals"] = {metric: [value - 0.1, value + 0.1] for metric in tool.METRICS}
            lines.write(json.dumps(made) + "\n")
    return folder


def test_several_seeds_have_a_spread_and_one_an_interval(tool, tmp_path, capsys):
    runs = [measured_run(tool, tmp_path / str(seed), seed=seed, value=0.4 + 0.2 * seed) for seed in (0, 1)]
    content = tool.measure(argparse.Namespace(runs=runs, protocols=tool.PROTOCOLS))
    assert content["temporal/both"]["CVRL"]["shuffled_linear"] == [50.0, 14.1, None, None]
    content = tool.measure(argparse.Namespace(runs=runs[:1], protocols=tool.PROTOCOLS))
    assert content["temporal/queries"]["CVRL"]["reversed_linear"] == [40.0, None, 30.0, 50.0]
    tool.print_table(content)
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("| protocol | | `unchanged` | `shuffled` |")
    assert lines == [f"| `{name}` | CVRL |" + " 40.0 [30.0, 50.0] |" * 6 for name in tool.PROTOCOLS]


def test_a_run_that_was_not_measured_is_named(tool, tmp_path):
    with pytest.raises(VidsslError, match=r"0 was not measured by temporal/queries: vidssl evaluate --checkpoint"):
        tool.measure(argparse.Namespace(runs=[write_run(tmp_path / "0")], protocols=tool.PROTOCOLS))
