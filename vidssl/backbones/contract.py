"""What every backbone offers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vidssl.errors import VidsslError, nearest


class Backbone(nn.Module):
    """A network from clips to feature maps.

    A subclass sets the first three attributes in its constructor and implements `compute_maps`; everybody else calls
    `forward` or `forward_maps`, which check the input first.

    Attributes:
        feature_dim: channels C of the feature maps.
        alignment_layer: name (as in ``named_modules``) of the layer whose output is aligned with motion, unless an
            earlier one is chosen: the last convolution of the last stage, before its normalisation (where the last
            stage ends in parallel branches, a module through which their outputs go together). Nothing may write into
            its output in place: the loss needs its gradient. Later than that the gradient of the averaged features
            would be the same in every cell.
        earlier_layers: names of other layers that can be aligned, in the order of the network: the last convolution of
            each earlier stage. The same holds for their outputs.
        recomputed: names of modules, one after the other, that hold most of what backward needs, such as the residual
            blocks. Each takes one tensor and returns one, and nothing writes into what it takes. With
            ``model.backbone.activation_checkpointing`` each keeps its input alone and is computed again in backward.
        minimum_clip: the shortest, lowest and narrowest clip (frames, pixels, pixels) that the layers can take.
        inflated_frame: the frame of a temporal kernel that takes the whole 2D kernel when 2D weights are inflated, or
            None to spread it evenly (see `image_name`).
    """

    feature_dim: int
    alignment_layer: str
    stride: tuple[int, int, int]
    earlier_layers: Sequence[str] = ()
    recomputed: Sequence[str] = ()
    minimum_clip: tuple[int, int, int] = (1, 1, 1)
    inflated_frame: int | None = None

    def compute_maps(self, clips: Tensor) -> Tensor:
        """Turn checked clips B x 3 x T x H x W into maps B x C x T' x H' x W'; subclasses implement it."""
        raise NotImplementedError(f"{type(self).__name__} must implement compute_maps")

    def forward_maps(self, clips: Tensor) -> Tensor:
        """Return the feature maps of the last stage.

        Args:
            clips: normalised clips, floating point, B x 3 x T x H x W.

        Returns:
            B x C x T' x H' x W', where C is `feature_dim` and T', H', W' are `output_grid`.

        Raises:
            VidsslError: another shape or dtype, or a clip smaller than `minimum_clip`.
        """
        self._check(clips)
        return self.compute_maps(clips)

    def forward(self, clips: Tensor) -> Tensor:
        """Return one feature vector per clip, B x C: the mean of `forward_maps` over time and space.

        Args:
            clips: normalised clips, floating point, B x 3 x T x H x W.

        Raises:
            VidsslError: see `forward_maps`.
        """
        return self.forward_maps(clips).mean(dim=(2, 3, 4))

    @property
    def alignment_layers(self) -> tuple[str, ...]:
        """Names of the layers that can be aligned with motion, in the order of the network; the last is ``last``."""
        return (*self.earlier_layers, self.alignment_layer)

    def layer_named(self, layer: str) -> str:
        """Return the name, as in ``named_modules``, of one of `alignment_layers`, or of ``last``.

        Raises:
            VidsslError: another name; the message has the right ones.
        """
        if layer != "last" and layer not in self.alignment_layers:
            known = ("last", *self.alignment_layers)
            raise VidsslError(
                f"{type(self).__name__} has no layer {layer!r} to align with motion.{nearest(layer, known)} Known: "
                f"{', '.join(known)}."
            )
        return self.alignment_layer if layer == "last" else layer

    def forward_aligned(self, clips: Tensor, layer: str = "last") -> tuple[Tensor, Tensor]:
        """Return the features, and the output of a layer that they were computed from, in the same graph.

        Args:
            clips: normalised clips, floating point, B x 3 x T x H x W.
            layer: one of `alignment_layers`, or ``last``.

        Returns:
            Features B x C, and maps B x C' x T' x H' x W' (A in the equations of MCL; C' and the grid are the layer's
            own): ``torch.autograd.grad`` of any function of the first with respect to the second exists, with
            ``create_graph`` too.

        Raises:
            VidsslError: see `forward_maps` and `layer_named`.
        """
        seen: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            maps, passed_on = self.aligned_maps(output, len(clips))
            seen.append(maps)
            return passed_on

        handle = self.get_submodule(self.layer_named(layer)).register_forward_hook(keep)
        try:
            features = self(clips)
        finally:
            handle.remove()
        return features, seen[-1]

    def aligned_maps(self, output: Tensor, num_clips: int) -> tuple[Tensor, Tensor]:
        """Give the output of an alignment layer the layout of `forward_maps`; most backbones have it from the start.

        Args:
            output: what the layer returned for `num_clips` clips.
            num_clips: B.

        Returns:
            The maps B x C x T' x H' x W', and what the next layer takes, computed from these maps.
        """
        return output, output

    def image_name(self, name: str) -> str | None:
        """Return the name, in torchvision's 2D ResNet, of the tensor from which the tensor `name` can be inflated.

        None where there is none, or where this backbone is not an inflated ResNet.
        """
        return None

    def output_grid(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return T', H', W' of the feature maps of a clip of `num_frames` frames of `height` x `width` pixels."""
        # Odd kernels padded by half their size: every layer rounds up, and so does their chain.
        sizes = zip((num_frames, height, width), self.stride, strict=True)
        frames, rows, columns = (-(-size // step) for size, step in sizes)
        return frames, rows, columns

    def _check(self, clips: Tensor) -> None:
        expected = "normalised floating-point clips of the shape B x 3 x T x H x W"
        if not isinstance(clips, Tensor):
            raise VidsslError(f"{type(self).__name__} expects {expected}, not a {type(clips).__name__}.")
        if clips.ndim != 5 or clips.shape[1] != 3:
            hint = " The channels come second, before the frames." if clips.ndim == 5 else ""
            raise VidsslError(f"{type(self).__name__} expects {expected}, not {_text(clips.shape)}.{hint}")
        if not torch.is_floating_point(clips):
            raise VidsslError(f"{type(self).__name__} expects {expected}, not {clips.dtype}: normalise them first.")
        if any(size < least for size, least in zip(clips.shape[2:], self.minimum_clip, strict=True)):
            raise VidsslError(
                f"{type(self).__name__} needs clips of at least T x H x W = {_text(self.minimum_clip)} (frames, "
                f"pixels), not {_text(clips.shape)}: sample more frames or crop larger."
            )


def _text(shape: Sequence[int]) -> str:
    """Write a shape; for errors alone: the compiler cannot trace a size that it takes for variable as text."""
    return " x ".join(map(str, shape))


def fault_of(factory: Any) -> str | None:
    """Return what keeps a plug-in's `factory` from being used as a backbone, in words for its author, or None."""
    base = f"{Backbone.__module__}.{Backbone.__qualname__}"
    if not callable(factory):
        return f"it is of type {type(factory).__name__}, neither a class below {base} nor a function that builds one"
    if not inspect.isclass(factory):
        return None  # what a function builds is seen when it does
    if not issubclass(factory, Backbone):
        bases = ", ".join(f"{parent.__module__}.{parent.__qualname__}" for parent in factory.__bases__)
        return f"{factory.__qualname__} is a class below {bases}, not below {base}"
    if factory.compute_maps is Backbone.compute_maps:
        return f"{factory.__qualname__} has no compute_maps(self, clips), which returns the feature maps"
    return None
