"""A wandb workspace that compares methods: the same panels for every method, grouped over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vidssl.errors import VidsslError
from vidssl.reporting.compare.runs import EVALUATION_PREFIX, Run
from vidssl.reporting.method_colours import SHIPPED, colour_on_light
from vidssl.reporting.wandb import RUN_ID_FILE, STEP_AXIS
from vidssl.reporting.wandb_records import METHOD_KEY, PER_CLASS

MAX_RUNS = 100
PICTURES = ("pictures/views", "pictures/curves")
PINNED = ("config:catalog.digest", "config:code.version", "config:seed_everything")


@dataclass(frozen=True)
class WorkspaceSpec:
    """Where the workspace goes and how runs are grouped.

    Attributes:
        entity: wandb user or team.
        project: wandb project.
        name: of the workspace.
        group_by: key of the configuration whose values are the methods; ``Group`` takes the runs' wandb group.
        run_ids: of the runs that are shown; all runs of the project where there are none.
    """

    entity: str
    project: str
    name: str = "Methods side by side"
    group_by: str = METHOD_KEY
    run_ids: Sequence[str] = ()


def wandb_ids(runs: Sequence[Run]) -> list[str]:
    """Return the ids that the runs have on wandb.

    Raises:
        VidsslError: a run has none; the message names it.
    """
    files = [run.folder / RUN_ID_FILE for run in runs]
    missing = [str(file.parent) for file in files if not file.is_file()]
    if missing:
        raise VidsslError(f"These runs were not logged to wandb (they have no {RUN_ID_FILE}): {', '.join(missing)}.")
    return [file.read_text().strip() for file in files]


def metric_names(runs: Iterable[Run]) -> list[str]:
    """Return the names of all metrics that the runs logged, sorted."""
    return sorted({name for run in runs for row in run.rows for name in row} - {"step", "epoch"})


def build_workspace(spec: WorkspaceSpec, names: Sequence[str]) -> Any:
    """Build the workspace, which is not sent yet; needs no network.

    A section a data set holds, for each protocol, curves (mean and standard deviation over the runs of a method) and
    bars of the last values; sections on training and on time, tables of the classes and pictures follow.

    Args:
        spec: where it goes.
        names: metrics to show, see `metric_names`.

    Returns:
        ``wandb_workspaces.workspaces.Workspace``; its `save` sends it.

    Raises:
        VidsslError: the package wandb-workspaces is not installed, or there is nothing to show.
    """
    if not names:
        raise VidsslError("The runs have logged nothing that a workspace could show.")
    try:
        import wandb_workspaces.reports.v2.interface as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise VidsslError(f"{error}. Install it with: pip install 'vidssl[workspace]'.") from error
    by_group = spec.group_by == "Group"
    panels = Panels(reports, spec.group_by)
    grouped_runs = workspaces.Metric("Group") if by_group else workspaces.Config(spec.group_by)
    evaluated = [name.split("/") for name in names if name.startswith(EVALUATION_PREFIX)]
    sections = []
    for data, members in itertools.groupby(evaluated, key=lambda parts: parts[1]):
        found = [panel for parts in members for panel in panels.evaluation("/".join(parts))]
        sections.append(workspaces.Section(name=f"Evaluation on {data}", panels=found, is_open=True, pinned=True))
    for title, prefix in (("Training", "train/"), ("Time", "time/"), ("Data", "data/")):
        found = [panels.curve(name) for name in names if name.startswith(prefix)]
        if found:
            sections.append(workspaces.Section(name=title, panels=found, is_open=prefix == "train/"))
    protocols = dict.fromkeys("/".join(parts[1:-1]) for parts in evaluated)
    classes = workspaces.Section(
        name="Classes",
        panels=[reports.WeavePanelSummaryTable(table_name=f"{PER_CLASS}/{protocol}") for protocol in protocols],
    )
    pictures = workspaces.Section(
        name="Pictures", panels=[reports.MediaBrowser(media_keys=[key], num_columns=2) for key in PICTURES]
    )
    pinned = [f"summary:protocol/{protocol}" for protocol in protocols]
    return workspaces.Workspace(
        entity=spec.entity,
        project=spec.project,
        name=spec.name,
        sections=[*sections, classes, pictures],
        settings=workspaces.WorkspaceSettings(x_axis=STEP_AXIS, max_runs=MAX_RUNS),
        runset_settings=workspaces.RunsetSettings(
            filters=[workspaces.Metric("ID").isin(list(spec.run_ids))] if spec.run_ids else [],
            groupby=[grouped_runs],
            group_colors={label: colour_on_light(label) for label in SHIPPED} if spec.group_by == METHOD_KEY else {},
            pinned_columns=[*pinned, *PINNED],
        ),
    )


class Panels:
    """Panels in which the runs of a method are one line or one bar.

    Args:
        reports: the module ``wandb_workspaces.reports.v2.interface``.
        group_by: see `WorkspaceSpec`.
    """

    def __init__(self, reports: Any, group_by: str) -> None:
        self._reports = reports
        grouping = reports.Metric("Group") if group_by == "Group" else reports.Config(group_by)
        self._together = {"groupby": grouping, "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}

    def curve(self, name: str) -> Any:
        """A metric over optimiser steps."""
        axis = self._reports.Metric(STEP_AXIS)
        return self._reports.LinePlot(title=name, x=axis, y=[name], title_x="optimiser step", **self._together)

    def evaluation(self, name: str) -> list[Any]:
        """A metric of a protocol over steps, and its last value."""
        last = f"{name}.last"  # the summary holds the best one beside it, as .max
        return [self.curve(name), self._reports.BarPlot(title=f"{name}, at the end", metrics=[last], **self._together)]


def described(workspace: Any) -> str:
    """Say in lines what a workspace holds."""
    lines = [f"{workspace.name}: {workspace.entity}/{workspace.project}"]
    for section in workspace.sections:
        lines.append(f"  {section.name}")
        for panel in section.panels:
            shown = getattr(panel, "title", None) or getattr(panel, "table_name", None) or ", ".join(panel.media_keys)
            lines.append(f"    {type(panel).__name__}: {shown}")
    return "\n".join(lines)
