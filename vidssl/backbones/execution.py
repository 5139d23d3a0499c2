"""How the backbone of a method is executed: layout of its weights, recomputation, compilation. Values stay the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidssl.backbones.contract import Backbone
from vidssl.backbones.spec import BackboneSpec
from vidssl.errors import VidsslError, nearest


def execute_as_set(backbone: Backbone, spec: BackboneSpec, *, is_aligned: bool) -> None:
    """Prepare a backbone for training.

    Args:
        backbone: changed in place.
        spec: says how.
        is_aligned: whether maps from within it are aligned with motion.

    Raises:
        VidsslError: it cannot be done; the message names the key.
    """
    if spec.channels_last:
        backbone.to(memory_format=torch.channels_last_3d)
    if spec.activation_checkpointing:
        _recompute_parts(backbone, is_compiled=spec.compile is not None)
    if spec.compile is not None:
        _compile(backbone, spec.compile, is_aligned=is_aligned)


def _compile(backbone: Backbone, backend: str, *, is_aligned: bool) -> None:
    if is_aligned:
        raise VidsslError(
            "model.backbone.compile compiles the whole network, and model.alignment takes maps from within it: set "
            "one of them to null (or model.alignment.terms to [])."
        )
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        hint = f"{nearest(backend, known)} Known: {', '.join(known)}."
        raise VidsslError(f"model.backbone.compile: unknown backend {backend!r}.{hint}")
    backbone.compile(backend=backend)


def _recompute_parts(backbone: Backbone, *, is_compiled: bool) -> None:
    if not backbone.recomputed:
        raise VidsslError(
            f"model.backbone.activation_checkpointing: {type(backbone).__name__} does not list modules that can be "
            "computed again (its attribute `recomputed` is empty); set the key to false."
        )
    if is_compiled:
        raise VidsslError(
            "model.backbone.activation_checkpointing and model.backbone.compile exclude each other: set the first to "
            "false or the second to null."
        )
    for name in backbone.recomputed:
        recompute(backbone.get_submodule(name))


def recompute(module: nn.Module) -> None:
    """Let a module save its input alone for backward, of any order, and compute the rest again there.

    Values, gradients and buffers are those of the module as it was: the second computation draws the same random
    numbers, and leaves the running statistics of BatchNorm alone. Without gradients nothing changes.

    Args:
        module: takes one tensor and returns one; its `forward` is replaced.
    """
    module.forward = partial(_forward, module, module.forward)


def _forward(module: nn.Module, forward: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(inputs)
    contexts = partial(_contexts, module)
    outputs: Tensor = checkpoint(forward, inputs, use_reentrant=False, context_fn=contexts)
    return outputs


def _contexts(module: nn.Module) -> tuple[Any, Any]:
    return nullcontext(), _PassingBuffers(module)


class _PassingBuffers:
    """Gives the layers of a module copies of their buffers, so that what they write into them is lost.

    A block is entered once for every time that backward goes through it: second derivatives take it twice.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._kept: list[tuple[nn.Module, dict[str, Tensor | None]]] = []

    def __enter__(self) -> None:
        self._kept = [(layer, layer._buffers) for layer in self._module.modules() if layer._buffers]
        for layer, buffers in self._kept:
            layer._buffers = {name: None if buffer is None else buffer.clone() for name, buffer in buffers.items()}

    def __exit__(self, *raised: object) -> None:
        for layer, buffers in self._kept:
            layer._buffers = buffers
