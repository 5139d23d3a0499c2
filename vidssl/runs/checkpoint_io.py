"""Checkpoints that are either complete or absent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from vidssl.data.training_history import with_lists_beside
from vidssl.storage.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames: after a crash or on a full disk the last good checkpoint is still there.

    Lightning writes to the system's temporary folder and moves the file, which is a plain copy, left half done by a
    crash, when the run is on another disk. The list of trained videos is written once, to the folder of the
    checkpoints, which hold its digest.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; an OSError leaves what was there."""
        if "://" in str(path):  # object stores: written whole or not at all
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # torch hides why the disk refused, so it writes to memory
        content = io.BytesIO()
        torch.save(with_lists_beside(checkpoint, Path(path).parent), content)
        with replacing(path) as passing:
            passing.write_bytes(content.getbuffer())
