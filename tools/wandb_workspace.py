"""Make a wandb workspace or report of a comparison, from the folders of its runs.

    python tools/wandb_workspace.py runs/* --entity TEAM            # a workspace; needs an API key; prints the address
    python tools/wandb_workspace.py runs/* --entity TEAM --report   # a report: the tables of vidssl compare, and curves
    python tools/wandb_workspace.py runs/* --entity TEAM --dry-run  # says what it would hold; needs no network

The folders say which metrics there are, which runs are shown, and the project (`wandb.project`). Needs the package
wandb-workspaces: pip install 'vidssl[workspace]'.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vidssl.errors import VidsslError
from vidssl.reporting.compare.methods import group_runs
from vidssl.reporting.compare.runs import Run, read_runs
from vidssl.reporting.compare.table import compare
from vidssl.reporting.wandb_report import build_report, described_report
from vidssl.reporting.wandb_workspace import WorkspaceSpec, build_workspace, described, metric_names, wandb_ids


def project_of(runs: list[Run]) -> str:
    """Return the project that the runs were logged to.

    Raises:
        VidsslError: they were logged to several, or do not say.
    """
    projects = {(run.config.get("wandb") or {}).get("project") for run in runs} - {None}
    if len(projects) != 1:
        told = f"went to several projects ({', '.join(sorted(projects))})" if projects else "name no wandb project"
        raise VidsslError(f"The runs {told}: give --project.")
    return projects.pop()


def main(words: list[str] | None = None) -> int:
    """Build the workspace, and send it unless told not to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--entity", required=True, help="wandb user or team")
    parser.add_argument("--project", help="wandb project (that of the runs)")
    parser.add_argument("--name", default=WorkspaceSpec.name, help="title (%(default)s)")
    parser.add_argument(
        "--group-by",
        default=WorkspaceSpec.group_by,
        help="key of the configuration whose values are the methods, or Group (%(default)s)",
    )
    parser.add_argument("--all-runs", action="store_true", help="show every run of the project, not these alone")
    parser.add_argument("--report", action="store_true", help="make a report: tables from the folders, live curves")
    parser.add_argument("--metrics", nargs="+", default=[], help="of the report, as vidssl compare takes them")
    parser.add_argument("--baseline", help="of the report, as vidssl compare takes it")
    parser.add_argument("--dry-run", action="store_true", help="say what it would hold, send nothing")
    options = parser.parse_args(words)
    try:
        runs = read_runs(options.runs)
        ids = () if options.all_runs else tuple(wandb_ids(runs))
        project = options.project or project_of(runs)
        spec = WorkspaceSpec(options.entity, project, options.name, options.group_by, ids)
        if options.report:
            made = build_report(spec, compare(group_runs(runs), options.metrics, options.baseline))
        else:
            made = build_workspace(spec, metric_names(runs))
    except VidsslError as error:
        print(f"wandb_workspace: error: {error}", file=sys.stderr)
        return 2
    if options.dry_run:
        print(described_report(made) if options.report else described(made))
    else:
        print(made.save().url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
