"""A bit that flips in a checkpoint does not change weights unnoticed, and ends in a message."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vidssl.backbones.checkpoints import CHECKSUM, checksum_of, read_checkpoint
from vidssl.errors import VidsslError

WEIGHTS = {f"layer{number}.weight": torch.arange(40.0).reshape(5, 8) + number for number in range(12)}


def outcomes_of_flips(file, count):
    """Return how many flips were told, and how many changed weights."""
    whole = file.read_bytes()
    told, changed = 0, 0
    for bit in np.random.default_rng(0).permutation(8 * len(whole))[:count].tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            tensors = read_checkpoint(file).tensors
        except VidsslError:
            told += 1
        else:
            same = tensors.keys() == WEIGHTS.keys() and all(
                torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS
            )
            changed += not same
    return told, changed


def test_no_flipped_bit_changes_weights(tmp_path):
    torch.save({"state_dict": WEIGHTS, "epoch": 3}, tmp_path / "x.ckpt")
    told, changed = outcomes_of_flips(tmp_path / "x.ckpt", 400)
    assert changed == 0
    assert told > 200  # the others hit what nobody reads: padding, and times of members


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_flipped_bits_of_files_without_checksums_end_in_no_traceback(tmp_path):
    torch.save({"state_dict": WEIGHTS}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    told, _ = outcomes_of_flips(tmp_path / "x.pth", 400)
    assert told > 50


def test_the_damaged_part_is_named(tmp_path):
    torch.save({"state_dict": WEIGHTS}, tmp_path / "x.ckpt")
    whole = bytearray((tmp_path / "x.ckpt").read_bytes())
    whole[whole.index(WEIGHTS["layer3.weight"].numpy().tobytes())] ^= 1
    (tmp_path / "x.ckpt").write_bytes(whole)
    with pytest.raises(
        VidsslError, match=r"x.ckpt is damaged: its part x/data/3 has changed since it was written. Copy or make"
    ):
        read_checkpoint(tmp_path / "x.ckpt")


def test_files_that_were_written_without_checksums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"state_dict": WEIGHTS}, tmp_path / "x.ckpt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(tmp_path / "x.ckpt").tensors.keys() == WEIGHTS.keys()


def test_no_flipped_bit_changes_an_exported_backbone(tmp_path):
    provenance = {"backbone": "small", "epoch": "3"}
    provenance[CHECKSUM] = checksum_of(WEIGHTS, provenance)
    save_file(WEIGHTS, tmp_path / "x.safetensors", provenance)
    assert read_checkpoint(tmp_path / "x.safetensors").values["epoch"] == "3"
    told, changed = outcomes_of_flips(tmp_path / "x.safetensors", 400)
    assert changed == 0
    assert told > 390
