"""Batches travel to a GPU without anybody waiting; there is none here, so that the calls are counted."""

from contextlib import contextmanager

import torch

from vidssl.jobs.side_stream import SideStream
from vidssl.types import ClipBatch


def two_views():
    views = [torch.zeros(2, 3, 4, 8, 8, dtype=torch.uint8) for _ in range(2)]
    return ClipBatch(views, torch.zeros(2), torch.zeros(2), starts=torch.zeros(2, 2))


class FakeStream:
    """Notes what is asked of a stream."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def wait_stream(self, other):
        self.calls.append(f"{self.name} waits for {other.name}")


def test_a_batch_travels_on_a_stream_of_its_own_and_the_step_waits_for_it(monkeypatch):
    calls = []
    computing = FakeStream("computing", calls)

    @contextmanager
    def on_stream(stream):
        calls.append(f"on {stream.name}")
        yield
        calls.append(f"off {stream.name}")

    def copy(tensor, device, non_blocking=False):
        calls.append(f"copy, non_blocking={non_blocking}")
        return tensor

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream("side", calls))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "stream", on_stream)
    monkeypatch.setattr(torch.Tensor, "to", copy)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: calls.append(f"kept for {stream.name}"))
    batch = two_views()
    SideStream().transfer(batch, torch.device("cuda", 0))
    copies = ["copy, non_blocking=True"] * 5  # two views, labels, rows and starts
    kept = ["kept for computing"] * 5
    assert calls == ["on side", *copies, "off side", "computing waits for side", *kept]


def test_only_towards_a_gpu_nobody_waits(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *args, **kwargs: asked.append(kwargs) or tensor)
    batch = two_views()
    for device in ("cuda:1", torch.device("cpu"), torch.float32):
        batch.to(device)
    batch.to("cuda", non_blocking=False)
    assert [kwargs.get("non_blocking", False) for kwargs in asked[::5]] == [True, False, False, False]
    assert len(asked) == 4 * 5
