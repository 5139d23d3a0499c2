"""Two machines, which are two network namespaces of this one: they share the disk, and a network that can be cut."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from whole_runs import WITH_EXTRAS, assert_same_run, vidssl

from vidssl.catalogs.catalog import Catalog
from vidssl.jobs.lost_hosts import ROLL_CALL
from vidssl.runs.metrics_file import METRICS_FILE

NAMES = ("vidssl-test-0", "vidssl-test-1")
DEVICES = ("vidssl0", "vidssl1")
ADDRESSES = ("10.231.7.1", "10.231.7.2")
SECONDS = 300


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Two network namespaces with a cable between them."""
    if shutil.which("ip") is None or ip("netns", "add", NAMES[0]).returncode:
        pytest.skip("network namespaces cannot be made here (ip netns add)")
    try:
        ip("netns", "add", NAMES[1])
        ip("link", "add", DEVICES[0], "netns", NAMES[0], "type", "veth", "peer", "name", DEVICES[1], "netns", NAMES[1])
        for name, device, address in zip(NAMES, DEVICES, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", "lo", "up")
            if ip("-n", name, "link", "set", device, "up").returncode:
                pytest.skip("two network namespaces cannot be connected here (ip link add ... type veth)")
        yield
    finally:
        for name in NAMES:
            ip("netns", "del", name)


def start_on(host, *args, port, told):
    """Start torchrun with the command on one of the hosts, one process on each."""
    nodes = ["--nnodes", "2", "--nproc_per_node", "1", "--node_rank", host]
    meeting = ["--master_addr", ADDRESSES[0], "--master_port", port]
    line = ["ip", "netns", "exec", NAMES[host], sys.executable, "-m", "torch.distributed.run", *nodes, *meeting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": DEVICES[host], "WANDB_MODE": "offline"}
    with told.open("w") as output:
        return subprocess.Popen(
            [*map(str, line), str(WITH_EXTRAS), *map(str, args)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


@pytest.fixture
def on_both(hosts, tmp_path):
    """Run the command on both hosts, and return what each says."""
    port = iter(range(29611, 29650))

    def start(*args):
        this = next(port)
        return [start_on(host, *args, port=this, told=tmp_path / f"told{host}") for host in (0, 1)]

    started = []

    def run(*args, wait=True):
        runs = start(*args)
        started.extend(runs)
        codes = [one.wait(SECONDS) for one in runs] if wait else [0, 0]
        assert codes == [0, 0], "\n".join((tmp_path / f"told{host}").read_text() for host in (0, 1))
        return runs

    yield run
    for one in started:
        if one.poll() is None:
            one.kill()


@pytest.fixture
def line(small_config, tmp_path):
    def of(name, *flags):
        common = ["--model.backbone.name", "plain", "--wandb.mode", "disabled", "--trainer.strategy", "ddp"]
        return [
            "fit",
            "--config",
            small_config,
            *common,
            "--ckpt_path",
            "auto",
            "--run_dir",
            tmp_path / "runs" / name,
            *flags,
        ]

    return of


NODES = ("--trainer.num_nodes", "2", "--trainer.devices", "1")


@pytest.mark.slow
def test_two_hosts_train_and_measure_like_two_processes_of_one(on_both, line, tmp_path):
    on_both(*line("hosts", *NODES))
    vidssl(*line("processes", "--trainer.devices", "2"))
    assert_same_run(tmp_path / "runs" / "processes", tmp_path / "runs" / "hosts")


@pytest.mark.slow
def test_a_host_that_is_cut_off_ends_the_run_with_a_message_and_it_continues(on_both, line, tmp_path):
    patience = ["--trainer.strategy", "DDPStrategy", "--trainer.strategy.timeout", "0:00:15"]
    long = ["--trainer.max_epochs", "12", "--trainer.check_val_every_n_epoch", "12", "--trainer.log_every_n_steps", "1"]
    cut = on_both(*line("cut", *NODES, *patience, *long), wait=False)
    metrics = tmp_path / "runs" / "cut" / METRICS_FILE
    deadline = time.monotonic() + SECONDS
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 12:
        assert time.monotonic() < deadline
        assert [one.poll() for one in cut] == [None, None]
        time.sleep(0.1)
    ip("-n", NAMES[1], "link", "set", DEVICES[1], "down")
    began = time.monotonic()
    codes = [one.wait(SECONDS) for one in cut]
    assert time.monotonic() - began < 15 + 2 * ROLL_CALL.total_seconds() + 30  # as docs/guides/clusters.md says
    assert 0 not in codes
    told = [(tmp_path / f"told{host}").read_text() for host in (0, 1)]
    assert f"vidssl: error: Of this run, process 1 (host {socket.gethostname()}) did not answer in time" in told[0]
    assert "vidssl: error: Another process of this run (process 0 on host" in told[1]
    assert not [text for text in told if "Traceback" in text.partition("vidssl: error")[0]]

    ip("-n", NAMES[1], "link", "set", DEVICES[1], "up")
    on_both(*line("cut", *NODES, *patience, *long))
    vidssl(*line("whole", "--trainer.devices", "2", *long))
    assert [folder.name for folder in sorted((tmp_path / "runs").iterdir())] == ["cut", "whole"]
    assert_same_run(tmp_path / "runs" / "whole", tmp_path / "runs" / "cut")


@pytest.mark.slow
def test_two_hosts_compute_the_motion_of_a_catalog_and_pack_it_as_one_does(hosts, synthetic_catalog, tmp_path):
    catalog = ("--data.catalog", synthetic_catalog)
    motion = ("motion", *catalog, "--data.motion.settings.estimator", "codec", "--workers", "1", "--output")
    pack = ("pack", "--catalog", synthetic_catalog, "--preset", "keep", "--shards", "1MB", "--workers", "1", "--output")
    for job, name in ((motion, "videos.motion"), (pack, "packed")):
        vidssl(*job, tmp_path / "alone" / name)
        together = [as_host(host, *job, tmp_path / "shared" / name) for host in (0, 1)]
        words = [one.communicate(timeout=SECONDS)[0] for one in together]
        assert [one.returncode for one in together] == [0, 0], "\n".join(words)
    alone, shared = (
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "alone", tmp_path / "shared")
    )
    assert shared.keys() == alone.keys()
    catalog = "packed/synthetic.catalog"  # which names its folder
    assert [name for name in alone if alone[name] != shared[name]] == [catalog]
    assert Catalog.open(tmp_path / "alone" / catalog).digest == Catalog.open(tmp_path / "shared" / catalog).digest


def as_host(host, *args):
    """Start the command as a task of SLURM on a host that has a name of its own."""
    name = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', NAMES[host]]
    line = ["ip", "netns", "exec", NAMES[host], *name, sys.executable, str(WITH_EXTRAS), *map(str, args)]
    slurm = {"SLURM_PROCID": str(host), "SLURM_NTASKS": "2"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **slurm}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
