"""Claims a folder for one run at a time, until the process of the run ends."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from vidssl.storage.locks import SILENT_SECONDS, Held, hold

CLAIM_FILE = ".claim"
SECONDS_BETWEEN_TRIES = 0.2

logger = logging.getLogger(__name__)

_held: dict[Path, Held] = {}


def claim(folder: Path, patience_seconds: float = 0.0) -> str | None:
    """Claim a folder, which is made if it does not exist, for the processes that were started together with this one.

    Args:
        folder: of the run.
        patience_seconds: how long to wait for a process that has it: one that was killed may take seconds to end. With
            any patience, one of another machine is waited for until it shows that it works or is taken for ended, in
            minutes: the machine may be lost, and this run may be what SLURM or torchrun starts in its place.

    Returns:
        None where the folder is now ours, else who has it: ``process 12 on host``.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, launch = folder / CLAIM_FILE, _launch()
    deadline = time.monotonic() + patience_seconds
    first_beat, has_warned = None, False
    while not isinstance(found := hold(file, launch), Held):
        if launch and found.about == launch:
            return None
        first_beat = first_beat or (found.token, _changed(file))
        if time.monotonic() >= deadline:
            is_silent = found.is_elsewhere and first_beat == (found.token, _changed(file))
            if patience_seconds == 0 or not is_silent:
                return str(found)
            if not has_warned:
                logger.warning(
                    "%s belongs to %s: waiting for a sign of it, %d s at most.", folder, found, SILENT_SECONDS
                )
                has_warned = True
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


def _changed(file: Path) -> int:
    """Return when a file was changed last; 0 where it is gone."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


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
