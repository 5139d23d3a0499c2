"""``vidssl doctor`` names everything in a screen, whatever is missing."""

import time

import torch

from vidssl.cli.main import main
from vidssl.video.decoding import available_decoders


def test_everything_is_named_in_a_screen_without_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    started = time.monotonic()
    assert main(["doctor"]) == 0
    assert time.monotonic() - started < 20
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 180
    for title in ("software", "machine", "decoders", "codecs", "FFmpeg", "GPU", "wandb"):
        assert sum(line.startswith(title) for line in lines) == 1
    assert "shared memory" in told
    assert all(f"{name:<12}reads" in told for name in available_decoders())
    assert "none that torch" in told
    assert "offline" in told


def test_a_decoder_that_fails_at_its_first_video_and_scarce_memory_are_marked(capsys, monkeypatch):
    def fails(path, indices, *, decoder):
        raise OSError("Could not load libtorchcodec")

    monkeypatch.setattr("vidssl.video.decoding.read_frames", fails)
    monkeypatch.setattr("vidssl.cli.doctor.SCARCE_BYTES", 1e18)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "! Could not load libtorchcodec" in told
    assert "! loader workers pass batches" in told
