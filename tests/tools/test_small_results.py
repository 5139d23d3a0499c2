import argparse
import importlib
import json
from pathlib import Path

import pytest
from run_folders import write_run

from vidssl.errors import VidsslError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("small_results")


@pytest.fixture
def of_neighbours(tool, monkeypatch):
    """The tool, on runs that measured k-NN alone."""
    monkeypatch.setattr(tool, "METRICS", {"knn": "k-NN"})
    monkeypatch.setattr(tool, "SHOWN", "knn")
    return tool


def measured(tool, runs):
    return tool.measure(argparse.Namespace(runs=runs))


def test_the_gain_of_a_seed_is_over_its_own_untrained_network(of_neighbours, tmp_path):
    runs = [
        write_run(tmp_path / f"{name}_{seed}", objective=name, seed=seed, untrained=before, top1=after)
        for name, values in {"SimSiam": ((0.4, 0.6), (0.5, 0.5)), "CVRL": ((0.4, 0.9),)}.items()
        for seed, (before, after) in enumerate(values)
    ]
    content = measured(of_neighbours, runs)
    assert list(content["methods"]) == ["CVRL", "SimSiam"], "the best one first"
    assert content["methods"]["SimSiam"] == {
        "seeds": [0, 1],
        "epochs": 2,
        "knn": {"untrained": [45.0, 7.1], "trained": [55.0, 7.1], "gain": [10.0, 14.1], "gains": [20.0, 0.0]},
    }
    assert content["methods"]["CVRL"]["knn"]["trained"] == [90.0, None], "one seed has no spread"
    assert of_neighbours.table(content)[2:] == [
        "| CVRL | 40.0 | 90.0 | +50.0 | +50.0 | 90.0 |",
        "| SimSiam | 45.0 ± 7.1 | 55.0 ± 7.1 | +10.0 | +20.0, +0.0 | 55.0 ± 7.1 |",
    ]


def test_runs_that_do_not_belong_together_are_refused(tool, of_neighbours, tmp_path):
    complete = write_run(tmp_path / "complete", seed=0)
    warmer = write_run(tmp_path / "warmer", seed=1, temperature=0.2)
    broken_off = write_run(tmp_path / "broken_off", seed=1, finished=False)
    with pytest.raises(VidsslError, match="did not reach their end: broken_off"):
        measured(tool, [complete, broken_off])
    with pytest.raises(VidsslError, match="CVRL have different settings"):
        measured(tool, [complete, warmer])


def test_a_metric_that_was_not_measured_is_named(tool, tmp_path):
    with pytest.raises(VidsslError, match="complete has no linear/top1 before and after training"):
        measured(tool, [write_run(tmp_path / "complete")])


def test_the_documentation_shows_what_the_site_shows(tool):
    content = json.loads((ROOT / "docs" / "results" / "embedded.json").read_text())
    page = (ROOT / "docs" / "measurements.md").read_text()
    assert "\n".join(tool.table(content)) in page, "put the table that tools/small_results.py prints there"


def test_every_small_configuration_learns_in_the_mean_of_three_seeds(tool):
    methods = json.loads((ROOT / "docs" / "results" / "embedded.json").read_text())["methods"]
    assert len(methods) == len(list((ROOT / "configs" / "small").glob("*.yaml")))
    for name, of_method in methods.items():
        assert of_method["seeds"] == [0, 1, 2], name
        assert of_method["linear"]["gain"][0] >= 10, name
