"""The verb ``vidssl list``: the names that a configuration may use."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from vidssl.cli import VerbParser
from vidssl.registry import Registry

# Imported when asked for: the answer needs neither torch nor a decoder.
_REGISTRIES = {
    "objectives": "vidssl.objectives:OBJECTIVES",
    "backbones": "vidssl.backbones:BACKBONES",
    "samplers": "vidssl.data.sampling:SAMPLERS",
    "operations": "vidssl.data.operations:OPERATIONS",
    "extras": "vidssl.data.extras:EXTRAS",
    "decoders": "vidssl.video.decoding:DECODERS",
    "estimators": "vidssl.motion:FLOW_ESTIMATORS",
    "protocols": "vidssl.evaluation.protocols.named:PROTOCOLS",
}
_LAYERS = "layers"
_KINDS = """kinds                     key of a configuration, or flag
  objectives              objective
  backbones               model.backbone.name
  pretrained              model.backbone.weights, evaluate --pretrained
  layers --backbone NAME  model.alignment.layer
  samplers                data.sampler
  operations              data.augmentations: operations
  extras                  data.extras
  decoders                data.loading.decoder
  estimators              data.motion.settings.estimator
  protocols               evaluate --protocol, FrozenFeatureEvaluation.protocols"""
_PRETRAINED = "pretrained"


def run_list(args: Sequence[str]) -> int:
    """Run ``vidssl list``; return the exit code.

    Raises:
        VidsslError: a backbone that is unknown, or a clip that is too small for it.
    """
    parser = VerbParser(
        prog="vidssl list",
        description="List the names that a configuration may use.",
        epilog=_KINDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = [*_REGISTRIES, _LAYERS, _PRETRAINED]
    parser.add_argument("kind", choices=kinds, metavar="KIND", nargs="?", help="what to list, from the kinds below")
    parser.add_argument("--backbone", metavar="NAME", help="with layers: the backbone")
    parser.add_argument(
        "--clip", nargs=3, type=int, metavar=("T", "H", "W"), help="with layers: frames, height, width (16 112 112)"
    )
    options = parser.parse_args(args)
    if options.kind is None:
        parser.error(f"name a kind: {', '.join(kinds)}")
    if options.kind == _LAYERS:
        if options.backbone is None:
            parser.error("layers need a backbone: add --backbone NAME (vidssl list backbones)")
        return _list_layers(options)
    if options.backbone is not None or options.clip is not None:
        parser.error(f"--backbone and --clip go with layers, not with {options.kind}")
    summaries = _summaries(options.kind)
    width = max(map(len, summaries), default=0)
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}".rstrip())
    return 0


def _summaries(kind: str) -> dict[str, str]:
    if kind == _PRETRAINED:
        from vidssl.backbones.pretrained import summaries

        return summaries()
    module, _, name = _REGISTRIES[kind].partition(":")
    registry: Registry = getattr(importlib.import_module(module), name)
    return registry.summaries() | {name: f"BROKEN: {fault}" for name, fault in registry.faults().items()}


def _list_layers(options: argparse.Namespace) -> int:
    from vidssl.backbones.layers import alignment_layers

    clip = options.clip or (16, 112, 112)
    layers = alignment_layers(options.backbone, tuple(clip))
    width = max(len(layer.name) for layer in layers)
    print(f"{'layer':<{width}}  channels  maps of a clip of {' x '.join(map(str, clip))}")
    for layer in layers:
        last = "  (last)" if layer is layers[-1] else ""
        print(f"{layer.name:<{width}}  {layer.channels:>8}  {' x '.join(map(str, layer.grid))}{last}")
    return 0
