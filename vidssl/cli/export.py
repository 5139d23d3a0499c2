"""The verb ``vidssl export``: the bare backbone of a checkpoint as one file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidssl.data.training_history import TrainedSplit

from vidssl.cli import VerbParser

_EXAMPLE = """example:
  vidssl export --checkpoint runs/quickstart/checkpoints/last.ckpt --output backbone.safetensors"""


def run_export(args: Sequence[str]) -> int:
    """Run ``vidssl export`` and print what was written; return the exit code.

    Raises:
        VidsslError: see `vidssl.backbones.export.export_backbone`.
    """
    parser = VerbParser(
        prog="vidssl export",
        description="Write the backbone of a checkpoint as one file of weights, without heads and with its provenance.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, type=Path, metavar="FILE", help="a checkpoint written by vidssl fit (*.ckpt)")
    add("--output", required=True, type=Path, metavar="FILE", help="the file to write (*.safetensors)")
    options = parser.parse_args(args)
    from vidssl.backbones.export import export_backbone
    from vidssl.data.training_history import KEY, history_from_text

    provenance = export_backbone(options.checkpoint, options.output)
    print(f"{options.output} ({options.output.stat().st_size / 1e6:.1f} MB)")
    for key, value in provenance.items():
        print(f"  {key}: {_in_words(history_from_text(value, options.output)) if key == KEY else value}")
    return 0


def _in_words(history: Sequence[TrainedSplit]) -> str:
    return ", ".join(f"{part.num_videos:,} videos of {part.split} ({part.catalog_digest})" for part in history)
