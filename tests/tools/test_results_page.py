"""The page of results: rows of runs, what they depend on, and the papers' numbers beside ours."""

import importlib
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    return importlib.import_module("results_page")


def run(folder, method, seed, accuracies, ended="completed"):
    folder.mkdir(parents=True)
    facts = {
        "objective": method,
        "seed": seed,
        "ended": ended,
        "steps": 300,
        "max_epochs": 20,
        "commit": "0123456789",
        "backbone": "small",
        "backbone_parameters": 10,
        "precision": "32-true",
        "devices": 1,
        "accelerator": "cpu",
        "catalog": {"name": "synthetic", "digest": "abcd", "videos": 720},
    }
    (folder / "run.json").write_text(json.dumps(facts))
    # measured apart from training: of no step, and in no table
    lines = [json.dumps({"step": None, "protocol": {"name": "linear", "version": 2}, "metrics": {"top1": 0.0}})]
    for step, accuracy in zip((0, 300), accuracies, strict=True):
        for protocol, metric in (("linear", "top1"), ("knn", "top1"), ("retrieval/mean", "recall_at_1")):
            told = {"step": step, "protocol": {"name": protocol, "version": 2}, "metrics": {metric: accuracy}}
            lines.append(json.dumps(told))
    (folder / "evaluations.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_rows_have_means_over_seeds_and_what_they_depend_on(tool, tmp_path, monkeypatch, capsys):
    runs = [
        run(tmp_path / "a0", "CVRL", 0, (0.4, 0.9)),
        run(tmp_path / "a1", "CVRL", 1, (0.5, 0.7)),
        run(tmp_path / "b0", "MoCo", 0, (0.4, 0.95)),
        run(tmp_path / "b1", "MoCo", 1, (0.5, 0.1), ended="stopped: SIGTERM at step 5"),
    ]
    monkeypatch.setattr("sys.argv", ["results_page.py", *map(str, runs), "--output", str(tmp_path / "docs")])
    tool.main()
    assert "left out, not complete" in capsys.readouterr().out
    page = (tmp_path / "docs" / "results.md").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "| untrained network | 2 | 0 | 45.0 ± 7.1 | 45.0 ± 7.1 | 45.0 ± 7.1 | |" in page
    cvrl = next(line for line in page.splitlines() if line.startswith("| [CVRL]"))
    assert "| 2 | 300 | 80.0 ± 14.1 | 80.0 ± 14.1 | 80.0 ± 14.1 | `cvrl_small_synthetic` |" in cvrl
    assert page.index("| [MoCo]") < page.index("| [CVRL]")  # the most accurate first
    assert "`linear` version 2" in page
    assert "abcd, 720 videos" in page
    papers = json.loads((REPOSITORY / "docs" / "results" / "papers.json").read_text())
    for row in papers:
        assert (REPOSITORY / row["configuration"]).is_file()
        assert f"| {row['accuracy']:.1f} ({row['source']}) | not run by us |" in page
    assert (tmp_path / "docs" / "results" / "curves.svg").stat().st_size > 1000
