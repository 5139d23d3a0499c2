"""What a user needs to know when one of several processes of a run is gone."""

from __future__ import annotations

import logging
import re
import signal
import socket
import sys
from dataclasses import dataclass
from datetime import timedelta

from torch import distributed as dist

LAUNCHER = "lightning_fabric.strategies.launchers.subprocess_script"  # it kills the others, and logs why as a detail
WHY = "Its own message says why; one without a message may have been killed because memory ran out (see dmesg)."
# What gloo, NCCL and torch's store say on the processes that are left.
CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "ncclRemoteError")
NO_ANSWER = ("Timed out waiting", "wait timeout after", "Connection timed out", "No route to host")
ROLL_CALL = timedelta(seconds=10)
"""How long each process has to answer when it is asked whether it is still there."""


@dataclass(frozen=True)
class _Peers:
    hosts: list[str]  # of each process
    group: dist.ProcessGroup


_peers: list[_Peers] = []  # of the newest run, at the end


def remember_hosts() -> None:
    """Note on which host each process runs, so that a lost one can be named. To be called by all of them together."""
    # what else new_group may return is for processes outside of the group, and there are none
    group: dist.ProcessGroup = dist.new_group(backend="gloo", timeout=ROLL_CALL)  # type: ignore[assignment]
    hosts = [""] * dist.get_world_size()
    dist.all_gather_object(hosts, socket.gethostname(), group=group)
    _peers.append(_Peers(hosts, group))


def connection_message(error: Exception) -> str | None:
    """Return what a user needs of an exception that tells of a lost process; None if it is not one."""
    text = str(error)
    if any(said in text for said in NO_ANSWER):
        who = _who_is_lost()
        return (
            f"{who} did not answer in time, and this process ends with it. The host may be down or cut off from the "
            "network. The same command with --ckpt_path auto continues the run."
        )
    if not any(said in text for said in CONNECTION_LOST):
        return None
    return f"Another process of this run has ended, and this one with it. {WHY}"


def _who_is_lost() -> str:
    """Call the roll, and name the processes that do not answer; only the first process hears all others."""
    if not _peers:
        return "Another process of this run"
    peers = _peers[-1]
    try:
        dist.monitored_barrier(peers.group, timeout=ROLL_CALL, wait_all_ranks=True)
    except RuntimeError as error:
        told = re.search(r"Ranks ([\d, ]+) failed to pass", str(error))
        if told is not None:
            lost = map(int, re.findall(r"\d+", told[1]))
            return "Of this run, " + ", ".join(f"process {number} (host {peers.hosts[number]})" for number in lost)
    return f"Another process of this run (process 0 on host {peers.hosts[0]}, or one that it names)"


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
