"""Claims a folder for one run at a time, until the process of the run ends."""

from __future__ import annotations

import os
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path

from vidssl.storage.locks import open_locked

CLAIM_FILE = ".claim"
SECONDS_UNTIL_WRITTEN = 1.0
SECONDS_BETWEEN_TRIES = 0.1

_held: dict[Path, int] = {}


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
    file = folder / CLAIM_FILE
    deadline = time.monotonic() + patience_seconds
    while (descriptor := open_locked(file)) is None:
        launch, owner = _read(file)
        if launch == _launch():
            return None
        if time.monotonic() >= deadline:
            return owner
        time.sleep(SECONDS_BETWEEN_TRIES)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{_launch() or uuid.uuid4()}\nprocess {os.getpid()} on {socket.gethostname()}\n".encode())
    os.fsync(descriptor)
    _held[folder.absolute()] = descriptor
    return None


def release(folder: Path) -> None:
    """Give up a folder if this process claimed it; one that is left empty, by a start that failed, is removed."""
    descriptor = _held.pop(folder.absolute(), None)
    if descriptor is None:
        return
    with suppress(OSError):  # a disk that can no longer be written; the lock ends all the same
        (folder / CLAIM_FILE).unlink(missing_ok=True)
        folder.rmdir()  # only an empty one can be
    os.close(descriptor)


def _read(file: Path) -> tuple[str, str]:
    """Return the launch and the process that a claim names; its owner may just be writing them."""
    deadline = time.monotonic() + SECONDS_UNTIL_WRITTEN
    while time.monotonic() < deadline:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return lines[0], lines[1]
        time.sleep(0.01)
    return "", "another process"


def _launch() -> str | None:
    """What processes that SLURM or torchrun start together have in common; None for a process that started alone."""
    values = os.environ
    if int(values.get("SLURM_NTASKS", 1)) > 1 and "SLURM_STEP_ID" in values:
        return " ".join(values.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID", "RESTART_COUNT"))
    if int(values.get("WORLD_SIZE", 1)) > 1 and "MASTER_PORT" in values:
        on_one_host = values.get("LOCAL_WORLD_SIZE") == values["WORLD_SIZE"]
        names = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
        return " ".join([socket.gethostname() if on_one_host else "", *(values.get(name, "") for name in names)])
    return None
