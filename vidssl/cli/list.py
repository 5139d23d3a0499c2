"""The verb ``vidssl list``: the names that a configuration may use."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from vidssl.cli import VerbParser
from vidssl.registry import Registry

# Imported when asked for: the answer needs neither torch nor a decoder.
_REGISTRIES = {
    "objectives": "vidssl.objectives:OBJECTIVES",
    "backbones": "vidssl.backbones:BACKBONES",
    "samplers": "vidssl.data.sampling:SAMPLERS",
    "decoders": "vidssl.video.decoding:DECODERS",
    "protocols": "vidssl.evaluation.protocols.named:PROTOCOLS",
}


def run_list(args: Sequence[str]) -> int:
    """Run ``vidssl list``; return the exit code."""
    parser = VerbParser(prog="vidssl list", description="Names that a configuration may use.")
    parser.add_argument("kind", choices=list(_REGISTRIES))
    module, _, name = _REGISTRIES[parser.parse_args(args).kind].partition(":")
    registry: Registry = getattr(importlib.import_module(module), name)
    summaries = registry.summaries() | {name: f"BROKEN: {fault}" for name, fault in registry.faults().items()}
    width = max(map(len, summaries), default=0)
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}".rstrip())
    return 0
