"""The folder of a run: found, numbered and checked before anything heavy starts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from vidssl.errors import VidsslError
from vidssl.runs.claim import claim, release
from vidssl.runs.resuming import is_whole_checkpoint

# Processes that Lightning starts for DDP repeat the command line; they must not count up to a folder of their own.
CHOSEN_VARIABLE = "VIDSSL_RUN_DIR"
CONFIG_FILE = "config.yaml"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
CHECKPOINTS = (f"{LAST_CHECKPOINT.parent}/*.ckpt", "hpc_ckpt_*.ckpt")  # ours, and Lightning's before a requeue
PICTURES_FOLDER = "pictures"
MIN_FREE_BYTES = 200_000_000


def choose_run_dir(wanted: str, ckpt_path: str | None) -> Path:
    """Return the folder a run writes to, claimed for this process and those that were started together with it.

    Training on from a checkpoint continues in the folder that the checkpoint lies in. Otherwise it is the wanted
    folder, or, where that holds a run already or is another process's, the next free one of ``wanted-2``, ``wanted-3``,
    ...: nothing is ever overwritten. `leaving_run_dir` gives it up again.

    Args:
        wanted: the configured `run_dir`.
        ckpt_path: file of the checkpoint to train on from.

    Raises:
        VidsslError: another process writes to the folder to continue in, or the folder cannot be made.
    """
    if CHOSEN_VARIABLE in os.environ:
        return Path(os.environ[CHOSEN_VARIABLE])
    continued = _run_around(ckpt_path) if ckpt_path else None
    folder = _claim_free(Path(wanted)) if continued is None else _claim_again(continued)
    os.environ[CHOSEN_VARIABLE] = str(folder)
    return folder


@contextmanager
def leaving_run_dir() -> Iterator[None]:
    """Give up, at the end, the folder that is chosen in the block; the next run of this process chooses its own.

    A folder that is left empty, by a start that failed, is removed.
    """
    given = CHOSEN_VARIABLE in os.environ
    try:
        yield
    finally:
        if not given and (chosen := os.environ.pop(CHOSEN_VARIABLE, None)) is not None:
            release(Path(chosen))


def resolve_checkpoint(wanted: str, ckpt_path: str | None) -> str | None:
    """Find the file to continue from, and check that it is there.

    Args:
        wanted: the configured `run_dir`.
        ckpt_path: a file; ``last`` is the newest ``last.ckpt`` of the runs called `wanted`; ``auto`` is the newest
            whole checkpoint of these runs, whoever wrote it, or None where there is none yet.

    Raises:
        VidsslError: there is no such file.
    """
    if ckpt_path == "auto":
        return _newest_whole(Path(wanted))
    if ckpt_path == "last":
        found = [folder / LAST_CHECKPOINT for folder in _numbered(Path(wanted)) if (folder / LAST_CHECKPOINT).exists()]
        if not found:
            raise VidsslError(f"ckpt_path last: no {LAST_CHECKPOINT} below {wanted}; did that run save one?")
        return str(max(found, key=_modified))
    if ckpt_path is not None and not Path(ckpt_path).is_file():
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
        raise _unwritable(folder, error) from error
    free = shutil.disk_usage(folder).free
    if free < min_free_bytes:
        raise VidsslError(
            f"run_dir: only {free / 1e6:.0f} MB are free where {folder} lies, a run needs at least "
            f"{min_free_bytes / 1e6:.0f} MB; make room or choose another run_dir."
        )


def run_of(ckpt_path: str | None, wanted: str) -> Path:
    """Return the folder of the run that a checkpoint belongs to; `wanted` for one that lies elsewhere, or none."""
    return (_run_around(ckpt_path) if ckpt_path else None) or Path(wanted)


def _claim_free(wanted: Path) -> Path:
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if (folder / CONFIG_FILE).exists() or _claim(folder) is not None:
            continue
        if not (folder / CONFIG_FILE).exists():
            break
        release(folder)  # a run began and ended there in the meantime
    return folder


def _claim_again(folder: Path) -> Path:
    owner = _claim(folder)
    if owner is not None:
        raise VidsslError(
            f"{folder} is being written by {owner}: wait until that run has ended, or end it, and continue then."
        )
    return folder


def _claim(folder: Path) -> str | None:
    try:
        return claim(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> VidsslError:
    return VidsslError(f"run_dir: cannot write to {folder} ({error.strerror}); choose another run_dir.")


def _run_around(ckpt_path: str) -> Path | None:
    """The run whose checkpoint this is: ModelCheckpoint's lie in a folder of their own, those for a requeue do not."""
    file = Path(ckpt_path)
    # the folder of checkpoints may be a link to another disk
    folders = [*file.absolute().parents[:2], *file.resolve().parents[:2]]
    return next((folder for folder in folders if (folder / CONFIG_FILE).exists()), None)


def _newest_whole(wanted: Path) -> str | None:
    files = [file for folder in _numbered(wanted) for pattern in CHECKPOINTS for file in folder.glob(pattern)]
    newest_first = sorted(files, key=_modified, reverse=True)
    return next((str(file) for file in newest_first if is_whole_checkpoint(file)), None)


def _modified(file: Path) -> int:
    return file.stat().st_mtime_ns


def _numbered(wanted: Path) -> list[Path]:
    """Folders of this name, numbered or not, that hold a run."""
    if not wanted.parent.is_dir():
        return []
    own_name = re.compile(rf"{re.escape(wanted.name)}(-\d+)?")
    return [
        folder
        for folder in wanted.parent.iterdir()
        if own_name.fullmatch(folder.name) and (folder / CONFIG_FILE).exists()
    ]
