"""``run.json``: what a run is and what it cost, in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidssl.errors import VidsslError
from vidssl.storage.files import replacing

RUN_FILE = "run.json"
COMPLETED = "completed"
"""What `ended` says about a run that reached the epoch or step that its configuration ends with."""
STOPPED, FAILED = "stopped: ", "failed: "
"""What it begins with for one that something else ended; the name of a signal, SIG..., may follow `STOPPED`."""


def is_broken_off(run: Mapping[str, Any]) -> bool:
    """Whether a run was killed, ended by a signal or by an error: it did not reach the end that its configuration sets.

    Args:
        run: what its file holds; empty for one that was killed before it wrote any.
    """
    ended = run.get("ended")
    return ended is None or ended.startswith((FAILED, f"{STOPPED}SIG"))


def read_run(run_dir: str | Path) -> dict[str, Any]:
    """Read a run's file; empty where there is none.

    Raises:
        VidsslError: the file cannot be read or is not ours.
    """
    file = Path(run_dir) / RUN_FILE
    if not file.exists():
        return {}
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise VidsslError(f"{file} cannot be read ({error}); remove it to continue without its contents.") from error
    if not isinstance(values, dict):
        raise VidsslError(f"{file} holds a {type(values).__name__} where the facts of a run should be; remove it.")
    return values


def write_run(run_dir: str | Path, values: dict[str, Any]) -> None:
    """Write a run's file, whole or not at all."""
    with replacing(Path(run_dir) / RUN_FILE) as passing:
        passing.write_text(json.dumps(values, indent=2) + "\n")
