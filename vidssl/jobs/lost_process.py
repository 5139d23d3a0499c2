"""What a user needs to know when one of several processes of a run is gone."""

from __future__ import annotations

import logging
import re
import signal
import sys

LAUNCHER = "lightning_fabric.strategies.launchers.subprocess_script"  # it kills the others, and logs why as a detail
WHY = "Its own message says why; one without a message may have been killed because memory ran out (see dmesg)."
# What gloo, NCCL and torch's store say on the processes that are left.
CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "ncclRemoteError")
NO_ANSWER = ("Timed out waiting", "wait timeout after", "Connection timed out", "No route to host")


def connection_message(error: Exception) -> str | None:
    """Return what a user needs to know about an exception that reports a lost process; None if it does not."""
    text = str(error)
    if any(said in text for said in NO_ANSWER):
        from vidssl.jobs.lost_hosts import who_is_lost  # it imports torch, which the error came from

        who = who_is_lost()
        return (
            f"{who} did not answer in time, and this process ends with it. The host may be down or cut off from the "
            "network. The same command with --ckpt_path auto continues the run."
        )
    if not any(said in text for said in CONNECTION_LOST):
        return None
    return f"Another process of this run has ended, and this one with it. {WHY}"


def say_lost_processes() -> None:
    """Have Lightning's launcher say in a sentence that one of the processes it started is gone."""
    launcher = logging.getLogger(LAUNCHER)
    launcher.setLevel(logging.INFO)
    if _worded not in launcher.filters:
        launcher.addFilter(_worded)


def _worded(record: logging.LogRecord) -> bool:
    """Print the record of a lost process as a sentence; of all others only warnings pass."""
    found = re.search(r"Child process with PID (\d+) terminated with code (-?\d+)", record.getMessage())
    if found is None:
        return record.levelno >= logging.WARNING
    code = int(found[2])
    how = f"the signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    print(
        f"vidssl: error: A process of this run (pid {found[1]}) ended by {how}, and all others with it. {WHY}",
        file=sys.stderr,
        flush=True,
    )
    return False
