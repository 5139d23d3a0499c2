"""Which host is gone, of a run on several."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from datetime import timedelta

from torch import distributed as dist

ROLL_CALL = timedelta(seconds=10)
"""How long each process has to answer when it is asked whether it is still there."""


@dataclass(frozen=True)
class _Peers:
    hosts: list[str]  # of each process
    group: dist.ProcessGroup


_peers: list[_Peers] = []  # of the newest run, or none


def remember_hosts() -> None:
    """Note on which host each process runs, so that a lost one can be named. To be called by all of them together."""
    # what else new_group may return is for processes outside of the group, and there are none
    group: dist.ProcessGroup = dist.new_group(backend="gloo", timeout=ROLL_CALL)  # type: ignore[assignment]
    hosts = [""] * dist.get_world_size()
    dist.all_gather_object(hosts, socket.gethostname(), group=group)
    _peers[:] = [_Peers(hosts, group)]


def who_is_lost() -> str:
    """Call the roll, and name the processes that do not answer; only the first process hears all others."""
    if not _peers:
        return "Another process of this run"
    peers = _peers[0]
    try:
        dist.monitored_barrier(peers.group, timeout=ROLL_CALL, wait_all_ranks=True)
    except RuntimeError as error:
        failed = re.search(r"Ranks ([\d, ]+) failed to pass", str(error))
        if failed is not None:
            lost = map(int, re.findall(r"\d+", failed[1]))
            return "Of this run, " + ", ".join(f"process {number} (host {peers.hosts[number]})" for number in lost)
    return f"Another process of this run (process 0 on host {peers.hosts[0]}, or one that it names)"
