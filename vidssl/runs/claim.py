"""Claims a folder for one run at a time, until the process of the run ends."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from vidssl.storage.locks import Held, hold

CLAIM_FILE = ".claim"
SECONDS_BETWEEN_TRIES = 0.1

_held: dict[Path, Held] = {}


def claim(folder: Path, patience_seconds: float = 0.0) -> str | None:
    """Claim a folder, which is made if it does not exist, for the processes that were started together with this one.

    Args:
        folder: of the run.
        patience_seconds: how long to wait for a process that has it: one that was killed may take seconds to end.

    Returns:
        None where the folder is now ours, else who has it: ``process 12 on host``.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_seconds
    launch = _launch()
    while not isinstance(found := hold(folder / CLAIM_FILE, launch), Held):
        if launch and found.about == launch:
            return None
        if time.monotonic() >= deadline:
            return str(found)
        time.sleep(SECONDS_BETWEEN_TRIES)
    _held[folder.absolute()] = found
    return None


def release(folder: Path) -> None:
    """Give up a folder if this process claimed it; one that is left empty, by a start that failed, is removed."""
    held = _held.pop(folder.absolute(), None)
    if held is None:
        return
    held.release()
    with suppress(OSError):
        folder.rmdir()  # only an empty one can be


def _launch() -> str:
    """What processes that SLURM or torchrun start together have in common; nothing for one that started alone."""
    values = os.environ
    if int(values.get("SLURM_NTASKS", 1)) > 1 and "SLURM_STEP_ID" in values:
        return " ".join(values.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID", "RESTART_COUNT"))
    if int(values.get("WORLD_SIZE", 1)) > 1 and "MASTER_PORT" in values:
        on_one_host = values.get("LOCAL_WORLD_SIZE") == values["WORLD_SIZE"]
        names = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
        return " ".join([socket.gethostname() if on_one_host else "", *(values.get(name, "") for name in names)])
    return ""
