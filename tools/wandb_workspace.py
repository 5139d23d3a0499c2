"""Make a wandb workspace that lays the methods of a project side by side, from the folders of some of their runs.

    python tools/wandb_workspace.py runs/* --entity TEAM            # needs an API key; prints the address
    python tools/wandb_workspace.py runs/* --entity TEAM --dry-run  # says what it would hold; needs no network

The folders tell which metrics there are and the project (`wandb.project`); the workspace shows every run of it. Needs
the package wandb-workspaces: pip install 'vidssl[workspace]'.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vidssl.errors import VidsslError
from vidssl.reporting.compare.runs import Run, read_runs
from vidssl.reporting.wandb_workspace import WorkspaceSpec, build_workspace, described, metric_names


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
    parser.add_argument("--name", default=WorkspaceSpec.name, help="of the workspace (%(default)s)")
    parser.add_argument(
        "--group-by",
        default=WorkspaceSpec.group_by,
        help="key of the configuration whose values are the methods, or Group (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what the workspace would hold, send nothing")
    options = parser.parse_args(words)
    try:
        runs = read_runs(options.runs)
        spec = WorkspaceSpec(options.entity, options.project or project_of(runs), options.name, options.group_by)
        workspace = build_workspace(spec, metric_names(runs))
    except VidsslError as error:
        print(f"wandb_workspace: error: {error}", file=sys.stderr)
        return 2
    if options.dry_run:
        print(described(workspace))
    else:
        print(workspace.save().url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
