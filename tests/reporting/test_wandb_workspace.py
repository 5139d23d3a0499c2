"""The workspace that is sent to wandb, against what runs have logged; without network."""

import importlib.util
import sys
from pathlib import Path

import pytest

from vidssl.errors import VidsslError
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.wandb import STEP_AXIS
from vidssl.reporting.wandb_workspace import WorkspaceSpec, build_workspace, metric_names
from vidssl.runs.metrics_csv import MetricsCSV

NAMES = [
    "data/unreadable_videos",
    "eval/toy/knn/top1",
    "eval/toy/linear-svm/mcl/top1",
    "time/step_seconds",
    "train/loss",
]
TOOL = Path(__file__).parents[2] / "tools" / "wandb_workspace.py"


@pytest.fixture
def run_dir(tmp_path):
    log = MetricsCSV(str(tmp_path / "run"))
    log.log_metrics(dict.fromkeys(NAMES, 0.5) | {"epoch": 0}, step=0)
    (tmp_path / "run" / "config.yaml").write_text("wandb: {project: methods}\n")
    return tmp_path / "run"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("wandb_workspace_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def panels(workspace, kind):
    return [panel for section in workspace.sections for panel in section.panels if type(panel).__name__ == kind]


@pytest.mark.parametrize(("group_by", "grouped"), [("method", "Config"), ("Group", "Metric")])
def test_every_metric_is_a_curve_on_the_step_axis_and_methods_are_grouped(run_dir, group_by, grouped):
    pytest.importorskip("wandb_workspaces")
    names = metric_names(read_runs([run_dir]))
    assert names == NAMES
    workspace = build_workspace(WorkspaceSpec("team", "methods", group_by=group_by), names)
    curves = panels(workspace, "LinePlot")
    assert sorted(name for curve in curves for name in curve.y) == NAMES
    assert {curve.x.name for curve in curves} == {STEP_AXIS}
    assert {(type(curve.groupby).__name__, curve.groupby.name) for curve in curves} == {(grouped, group_by)}
    bars = [metric for bar in panels(workspace, "BarPlot") for metric in bar.metrics]
    assert bars == [f"{name}.last" for name in NAMES if name.startswith("eval/")]  # what the summary calls them
    assert [section.name for section in workspace.sections] == [
        *("Evaluation on toy", "Training", "Time", "Data", "Classes", "Pictures"),
    ]
    tables = [panel.table_name for panel in panels(workspace, "WeavePanelSummaryTable")]
    assert tables == ["per_class/toy/knn", "per_class/toy/linear-svm/mcl"]
    assert "summary:protocol/toy/linear-svm/mcl" in workspace.runset_settings.pinned_columns


def test_the_tool_says_what_it_would_send(run_dir, tool, capsys):
    pytest.importorskip("wandb_workspaces")
    assert tool.main([str(run_dir), "--entity", "team", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "Methods side by side: team/methods" in told
    assert "LinePlot: train/loss" in told


def test_a_missing_package_and_runs_of_no_project_are_told(run_dir, tool, monkeypatch, capsys):
    (run_dir / "config.yaml").write_text("model: {}\n")
    assert tool.main([str(run_dir), "--entity", "team", "--dry-run"]) == 2
    assert "name no wandb project: give --project" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(VidsslError, match=r"pip install 'vidssl\[workspace\]'"):
        build_workspace(WorkspaceSpec("team", "methods"), NAMES)
    with pytest.raises(VidsslError, match="nothing that a workspace could show"):
        build_workspace(WorkspaceSpec("team", "methods"), [])
