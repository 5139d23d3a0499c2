"""A wandb report of a comparison: its tables as text, and the curves of its runs as live panels."""

from __future__ import annotations

from typing import Any

from vidssl.errors import VidsslError
from vidssl.reporting.compare.comparison import Comparison
from vidssl.reporting.compare.files import to_markdown
from vidssl.reporting.compare.methods import differing_settings
from vidssl.reporting.foreign_text import markdown_code, markdown_text
from vidssl.reporting.wandb_workspace import Panels, WorkspaceSpec

LOSS = "train/loss"


def build_report(spec: WorkspaceSpec, comparison: Comparison) -> Any:
    """Build the report, which is not sent yet; needs no network.

    The tables are those of ``vidssl compare --markdown``, made of the run folders. Panels show the runs as they are on
    wandb, those of `spec.run_ids` alone.

    Args:
        spec: where it goes, its title, which runs, and how panels group them.
        comparison: what it reports.

    Returns:
        ``wandb_workspaces.reports.v2.Report``; its `save` sends it.

    Raises:
        VidsslError: the package wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.expr as expressions
        import wandb_workspaces.reports.v2.interface as reports
    except ImportError as error:
        raise VidsslError(f"{error}. Install it with: pip install 'vidssl[workspace]'.") from error
    panels = Panels(reports, spec.group_by)
    titles = list(dict.fromkeys(heading.column.title for heading in comparison.headings))
    runset = reports.Runset(
        entity=spec.entity,
        project=spec.project,
        name="the runs of the tables",
        filters=[expressions.Metric("ID").isin(list(spec.run_ids))] if spec.run_ids else [],
        groupby=["Group" if spec.group_by == "Group" else f"config.{spec.group_by}"],
    )
    shown = [panel for title in titles for panel in panels.evaluation(f"eval/{title}")]
    blocks = [
        reports.H2("Results"),
        reports.MarkdownBlock(to_markdown(comparison)),
        *_settings(reports, comparison),
        reports.H2("Learning curves"),
        reports.PanelGrid(runsets=[runset], panels=[*shown, panels.curve(LOSS)]),
    ]
    words = ", ".join(method.label for method in comparison.methods)
    return reports.Report(
        entity=spec.entity, project=spec.project, title=spec.name, description=words, blocks=blocks, width="fluid"
    )


def _settings(reports: Any, comparison: Comparison) -> list[Any]:
    """The settings that differ as a table; empty if none differ."""
    rows = differing_settings(comparison.methods)
    if not rows:
        return []
    labels = [markdown_text(method.label) for method in comparison.methods]
    lines = [f"| | {' | '.join(labels)} |", "|---" * (1 + len(labels)) + "|"]
    lines += [f"| {markdown_code(key)} | {' | '.join(map(markdown_text, values))} |" for key, values in rows.items()]
    return [reports.H2("Settings that differ"), reports.MarkdownBlock("\n".join(lines))]


def described_report(report: Any) -> str:
    """Say in lines what a report holds: headings, tables, and the titles of its panels."""
    lines = [f"{report.title}: {report.entity}/{report.project}", report.description]
    for block in report.blocks:
        kind = type(block).__name__
        if kind == "PanelGrid":
            lines += [f"{type(panel).__name__}: {panel.title}" for panel in block.panels]
        else:
            lines += ["", block.text if kind == "MarkdownBlock" else f"## {block.text}"]
    return "\n".join(lines)
