"""The folder of a run: found, numbered and checked before anything heavy starts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from vidssl.errors import VidsslError
from vidssl.runs.claim import claim, release
from vidssl.runs.resuming import is_whole_checkpoint
from vidssl.runs.run_file import is_broken_off, read_run
from vidssl.storage.links import absence

# Processes that Lightning starts for DDP repeat the command line; they must not count up to a folder of their own.
CHOSEN_VARIABLE = "VIDSSL_RUN_DIR"
CONFIG_FILE = "config.yaml"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
CHECKPOINTS = (f"{LAST_CHECKPOINT.parent}/*.ckpt", "hpc_ckpt_*.ckpt")  # ours, and Lightning's before a requeue
PICTURES_FOLDER = "pictures"
MIN_FREE_BYTES = 200_000_000
SECONDS_TO_END = 10.0
"""How long a run that is to be continued may take to end: one that was killed gives its memory back first."""


def choose_run_dir(wanted: str, ckpt_path: str | None, again: Mapping[str, Any] | None = None) -> Path:
    """Return the folder a run writes to, claimed for this process and those that were started together with it.

    Training on from a checkpoint continues in the folder of the checkpoint's run. Otherwise it is the wanted
    folder, or, where that holds a run already or is another process's, the next free one of ``wanted-2``, ``wanted-3``,
    ...: nothing is ever overwritten. `leaving_run_dir` gives it up again.

    Args:
        wanted: the configured `run_dir`.
        ckpt_path: file of the checkpoint to train on from.
        again: the resolved configuration of a run that may have been begun before: where a run of the same one was
            broken off before its first checkpoint, it begins again in its folder. None: a new run.

    Raises:
        VidsslError: another process writes to the folder to continue in, or the folder cannot be made.
    """
    if CHOSEN_VARIABLE in os.environ:
        return Path(os.environ[CHOSEN_VARIABLE])
    continued = run_around(ckpt_path) if ckpt_path else None
    folder = _claim_free(Path(wanted), again) if continued is None else _claim_again(continued)
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
        return newest_checkpoint(*_numbered(Path(wanted)))
    if ckpt_path == "last":
        files = [folder / LAST_CHECKPOINT for folder in _numbered(Path(wanted))]
        found = [file for file in files if file.exists()]
        if not found:
            links = [f" {file}: {absence(file)}." for file in files if file.is_symlink()]
            raise VidsslError(
                f"ckpt_path last: no {LAST_CHECKPOINT} below {wanted}; did that run save one?{''.join(links)}"
            )
        return str(max(found, key=_modified))
    if ckpt_path is not None and not Path(ckpt_path).is_file():
        raise VidsslError(f"ckpt_path: there is no checkpoint {ckpt_path}: {absence(Path(ckpt_path))}.")
    return ckpt_path


def newest_checkpoint(*runs: Path, known: str | None = None) -> str | None:
    """Return the newest whole checkpoint in the folders of runs, whoever wrote it; None where there is none.

    Args:
        runs: their folders.
        known: a file that is known to be whole.
    """
    files = [file for run in runs for file in _checkpoints(run)]
    newest_first = sorted(files, key=_modified, reverse=True)
    return next((str(file) for file in newest_first if str(file) == known or is_whole_checkpoint(file)), None)


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
            f"run_dir: only {free / 1e6:.0f} MB are free on the disk of {folder}, a run needs at least "
            f"{min_free_bytes / 1e6:.0f} MB; make room or choose another run_dir."
        )


def folder_of_verb(verb: str, ckpt_path: str | None, wanted: str) -> Path:
    """Return the folder that a verb which measures a run writes to: in the run's own, if that can be written to.

    Args:
        verb: what is done.
        ckpt_path: file of the checkpoint that is measured.
        wanted: the configured `run_dir`, for a checkpoint of no run or of one that cannot be written to.

    Raises:
        VidsslError: neither can be written to.
    """
    folder, elsewhere = run_of(ckpt_path, wanted) / verb, Path(wanted) / verb
    try:
        check_writable(folder)
    except VidsslError:
        if folder.absolute() == elsewhere.absolute():
            raise
        check_writable(elsewhere)
        return elsewhere
    return folder


def run_of(ckpt_path: str | None, wanted: str) -> Path:
    """Return the folder of the run that a checkpoint belongs to; `wanted` for one that lies elsewhere, or none."""
    return (run_around(ckpt_path) if ckpt_path else None) or Path(wanted)


def _claim_free(wanted: Path, again: Mapping[str, Any] | None) -> Path:
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not _is_free(folder, again) or _claim(folder, 0.0 if again is None else SECONDS_TO_END) is not None:
            continue
        if _is_free(folder, again) or (again is not None and newest_checkpoint(folder)):
            break
        release(folder)  # a run began and ended there in the meantime
    return folder


def _is_free(folder: Path, again: Mapping[str, Any] | None) -> bool:
    """Whether there is no run in a folder, or only the beginning of the one that begins again."""
    if not (folder / CONFIG_FILE).exists():
        return True
    is_beginning = not _checkpoints(folder) and is_broken_off(read_run(folder))
    return again is not None and is_beginning and same_configuration(folder / CONFIG_FILE, again)


def same_configuration(file: Path, config: Mapping[str, Any]) -> bool:
    """Whether a run's file holds a configuration, but for the folder that was chosen for it.

    Args:
        file: of a run, with references to the environment.
        config: resolved, with references to the environment too.
    """
    try:
        written = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return _without_folder(written) == _without_folder(config)


def _without_folder(config: Any) -> Any:
    if not isinstance(config, Mapping) or not isinstance(config.get("trainer"), Mapping):
        return config
    trainer = {key: value for key, value in config["trainer"].items() if key != "default_root_dir"}
    return {**config, "trainer": trainer}


def _claim_again(folder: Path) -> Path:
    owner = _claim(folder, SECONDS_TO_END)
    if owner is not None:
        raise VidsslError(
            f"{folder} is being written by {owner}: wait until that run has ended, or end it, and continue then."
        )
    return folder


def _claim(folder: Path, patience_seconds: float) -> str | None:
    try:
        return claim(folder, patience_seconds)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> VidsslError:
    return VidsslError(f"run_dir: cannot write to {folder} ({error.strerror}); choose another run_dir.")


def run_around(checkpoint: str | Path) -> Path | None:
    """Return the folder of the run whose checkpoint this is; None if it is in none.

    ModelCheckpoint's are in a folder of their own, those for a requeue do not.
    """
    file = Path(checkpoint)
    # the folder of checkpoints may be a link to another disk
    folders = [*file.absolute().parents[:2], *file.resolve().parents[:2]]
    return next((folder for folder in folders if (folder / CONFIG_FILE).is_file()), None)


def _checkpoints(folder: Path) -> list[Path]:
    found = [file for pattern in CHECKPOINTS for file in folder.glob(pattern)]
    return [file for file in found if file.is_file()]  # not a link whose file was removed


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
