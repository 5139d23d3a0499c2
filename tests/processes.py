"""Running a function on several processes that train together (gloo, CPU)."""

import os
import socket

import torch
import torch.multiprocessing as mp
from torch import distributed as dist


def run_on_processes(function, world_size, *args):
    """Call `function(rank, world_size, *args)` on every process; an exception in one fails the caller."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_enter, args=(function, world_size, port, args), nprocs=world_size)


def _enter(rank, function, world_size, port, args):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    try:
        function(rank, world_size, *args)
    finally:
        dist.destroy_process_group()
