"""The flags of a command that works on many videos: how many processes, for how long, which share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes, default_workers

TIMEOUT_SECONDS = 1800.0


def add_flags(add: Callable[..., Any]) -> None:
    """Declare ``--workers``, ``--timeout`` and ``--share`` by a parser's `add_argument`."""
    add("--workers", type=int, metavar="N", help=f"processes (default: one per core, {default_workers()} here)")
    add(
        "--timeout",
        type=float,
        default=TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="seconds after which a video is given up (%(default)g)",
    )
    add("--share", metavar="K/N", help="work on share K of N, from 0 (default: as torchrun or SLURM say)")


def processes_of(options: Any) -> Processes:
    """Return what ``--workers`` and ``--timeout`` say.

    Raises:
        VidsslError: no process, or no time.
    """
    return Processes(default_workers() if options.workers is None else options.workers, options.timeout)


def share_of(options: Any) -> Share:
    """Return what ``--share`` says, or else torchrun or SLURM.

    Raises:
        VidsslError: there is no such share.
    """
    return Share.parse(options.share, "--share") if options.share else Share.from_environment(os.environ)
