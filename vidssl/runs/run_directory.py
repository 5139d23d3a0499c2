"""The folder of a run: found, numbered and checked before anything heavy starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from vidssl.errors import VidsslError

# Processes that Lightning starts for DDP repeat the command line; they must not count up to a folder of their own.
CHOSEN_VARIABLE = "VIDSSL_RUN_DIR"
CONFIG_FILE = "config.yaml"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
PICTURES_FOLDER = "pictures"
MIN_FREE_BYTES = 200_000_000


def choose_run_dir(wanted: str, ckpt_path: str | None) -> Path:
    """Return the folder a run writes to.

    Training on from a checkpoint continues in the folder that the checkpoint lies in. Otherwise it is the wanted
    folder, or, where that holds a run already, the next free one of ``wanted-2``, ``wanted-3``, ...: nothing is ever
    overwritten.

    Args:
        wanted: the configured `run_dir`.
        ckpt_path: checkpoint to train on from; ``last`` is the newest one below `wanted`.
    """
    if CHOSEN_VARIABLE in os.environ:
        return Path(os.environ[CHOSEN_VARIABLE])
    folder = _continued(Path(wanted), ckpt_path) if ckpt_path else _next_free(Path(wanted))
    os.environ[CHOSEN_VARIABLE] = str(folder)
    return folder


def resolve_checkpoint(wanted: str, ckpt_path: str | None) -> str | None:
    """Turn ``last`` into the newest checkpoint of the runs called `wanted`, and check that the file is there.

    Raises:
        VidsslError: there is no such file.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "last":
        found = [folder / LAST_CHECKPOINT for folder in _numbered(Path(wanted)) if (folder / LAST_CHECKPOINT).exists()]
        if not found:
            raise VidsslError(f"ckpt_path last: no {LAST_CHECKPOINT} below {wanted}; did that run save one?")
        return str(max(found, key=lambda file: file.stat().st_mtime))
    if not Path(ckpt_path).is_file():
        raise VidsslError(f"ckpt_path: there is no file {ckpt_path}.")
    return ckpt_path


def check_writable(folder: Path, min_free_bytes: int = MIN_FREE_BYTES) -> None:
    """Make the folder, and fail now rather than at the first checkpoint.

    Raises:
        VidsslError: the folder cannot be made or written to, or its disk is nearly full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"vidssl")
    except OSError as error:
        raise VidsslError(f"run_dir: cannot write to {folder} ({error.strerror}); choose another run_dir.") from error
    free = shutil.disk_usage(folder).free
    if free < min_free_bytes:
        raise VidsslError(
            f"run_dir: only {free / 1e6:.0f} MB are free where {folder} lies, a run needs at least "
            f"{min_free_bytes / 1e6:.0f} MB; make room or choose another run_dir."
        )


def run_of(ckpt_path: str | None, wanted: str) -> Path:
    """Return the folder of the run that a checkpoint belongs to; `wanted` for one that lies elsewhere, or none."""
    return (_run_around(ckpt_path) if ckpt_path else None) or Path(wanted)


def _continued(wanted: Path, ckpt_path: str) -> Path:
    return _run_around(ckpt_path) or _next_free(wanted)


def _run_around(ckpt_path: str) -> Path | None:
    folder = Path(ckpt_path).resolve().parent.parent
    return folder if (folder / CONFIG_FILE).exists() else None


def _next_free(wanted: Path) -> Path:
    taken = {folder.name for folder in _numbered(wanted)}
    number = 1
    while (name := wanted.name if number == 1 else f"{wanted.name}-{number}") in taken:
        number += 1
    return wanted.with_name(name)


def _numbered(wanted: Path) -> list[Path]:
    """Folders of this name, numbered or not, that hold a run."""
    if not wanted.parent.is_dir():
        return []
    return [
        folder
        for folder in wanted.parent.iterdir()
        if (folder.name == wanted.name or folder.name.removeprefix(f"{wanted.name}-").isdigit())
        and (folder / CONFIG_FILE).exists()
    ]
