"""Measure which layers and forms motion alignment can train: how uneven their maps are, and how strong its gradient is.

    python tools/alignment_layers.py --config FILE [--KEY VALUE ...]

The configuration is that of a training with `model.alignment` and `data.motion`. Its network takes the first batch once
for every layer that the backbone lists and every form; nothing is trained.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.losses.motion_alignment import FORMS, map_contrast
from vidssl.objectives.alignment import AlignmentOutput, MotionAligner, MotionAlignment
from vidssl.objectives.base import Objective
from vidssl.types import ClipBatch

TERMS = ("st",)


class Watched(MotionAligner):
    """Keeps what it gave, and adds nothing to the loss."""

    def __call__(self, maps: Tensor, motion: Tensor | None, similarity: Tensor | None) -> AlignmentOutput:
        """See `MotionAligner`."""
        self.output, self.grid = super().__call__(maps, motion, similarity), tuple(maps.shape[2:])
        return AlignmentOutput(0 * self.output.loss, self.output.metrics, self.output.prediction)


def measure(objective: Objective, batch: ClipBatch, layer: str, form: str) -> dict[str, Any]:
    """Return contrast of the maps, the terms, and the norms of the gradients of alignment and of the method's loss."""
    aligner = Watched(MotionAlignment(form=form, terms=TERMS, layer=layer), objective.backbone)
    objective.aligner = aligner
    own = objective.training_step(batch, 0)
    return {
        "grid": " x ".join(map(str, aligner.grid)),
        "contrast": float(map_contrast(aligner.output.prediction)),
        **{name: float(value) for name, value in aligner.output.metrics.items()},
        "gradient": gradient_norm(objective, aligner.output.loss, retain_graph=True),
        "gradient_of_own_loss": gradient_norm(objective, own),
    }


def gradient_norm(objective: Objective, loss: Tensor, *, retain_graph: bool = False) -> float:
    """Return the norm of the gradient by the backbone's parameters."""
    parameters = list(objective.backbone.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=retain_graph, allow_unused=True)
    return float(torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]).norm())


def main(args: list[str]) -> None:
    """Print a row for each layer and form."""
    built = VidsslCLI("fit", [*args, "--wandb.mode", "disabled"])
    batch = next(iter(built.datamodule.train_dataloader()))
    print(f"{'layer':<32} {'grid':<12} {'form':<18} {'std/mean':>8} {'st':>6} {'other':>6} {'gradient':>9} {'own':>7}")
    for layer in built.model.backbone.alignment_layers:
        for form in FORMS:
            row = measure(built.model, batch, layer, form)
            print(
                f"{layer:<32} {row['grid']:<12} {form:<18} {row['contrast']:8.3f} {row['alignment_st']:6.3f} "
                f"{row['alignment_st_other']:6.3f} {row['gradient']:9.2f} {row['gradient_of_own_loss']:7.1f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
