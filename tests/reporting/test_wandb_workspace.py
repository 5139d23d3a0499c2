"""The workspace that is sent to wandb, against what runs have logged; without network."""

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml
from run_folders import write_run

from vidssl.errors import VidsslError
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.wandb import RUN_ID_FILE, STEP_AXIS
from vidssl.reporting.wandb_workspace import WorkspaceSpec, build_workspace, metric_names, wandb_ids
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
    (tmp_path / "run" / RUN_ID_FILE).write_text("abc123\n")
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


# --- the runs of a comparison alone, and its report ---


@pytest.fixture
def two_methods(tmp_path):
    """Runs of two methods that were logged to wandb."""
    folders = [write_run(tmp_path / name, objective=name, top1=top1) for name, top1 in (("CVRL", 0.5), ("MCL", 0.6))]
    for folder in folders:
        config = yaml.safe_load((folder / "config.yaml").read_text()) | {"wandb": {"project": "methods"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / RUN_ID_FILE).write_text(f"id-{folder.name}\n")
    return folders


def test_a_workspace_shows_the_runs_of_a_comparison_alone_in_the_colours_of_its_page(two_methods):
    pytest.importorskip("wandb_workspaces")
    runs = read_runs(two_methods)
    spec = WorkspaceSpec("team", "methods", run_ids=wandb_ids(runs))
    settings = build_workspace(spec, metric_names(runs)).runset_settings
    assert "id-CVRL" in str(settings.filters)
    assert "id-MCL" in str(settings.filters)
    assert settings.group_colors["MCL"] == "#d55e00"
    assert not build_workspace(WorkspaceSpec("team", "methods"), metric_names(runs)).runset_settings.filters


def test_runs_that_were_not_logged_to_wandb_are_named(two_methods, tool, capsys):
    (two_methods[0] / RUN_ID_FILE).unlink()
    assert tool.main([*map(str, two_methods), "--entity", "team", "--dry-run"]) == 2
    assert f"not logged to wandb (they have no {RUN_ID_FILE}): {two_methods[0]}" in capsys.readouterr().err


def test_a_report_holds_the_tables_of_compare_and_curves_that_the_runs_have_logged(two_methods, tool, capsys):
    pytest.importorskip("wandb_workspaces")
    assert tool.main([*map(str, two_methods), "--entity", "team", "--report", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "Methods side by side: team/methods\nCVRL, MCL\n" in told
    assert "| MCL | 1 | **60.0** |" in told
    assert "model.class_path" in told
    curves = [line.removeprefix("LinePlot: ") for line in told.splitlines() if line.startswith("LinePlot: ")]
    assert curves == ["eval/toy/knn/top1", "train/loss"]
    assert set(curves) <= set(metric_names(read_runs(two_methods)))
