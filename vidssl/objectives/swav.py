"""SwAV on video, start to finish on one page.

Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020
(arXiv 2006.09882); with more than two clips of a video, Feichtenhofer et al., CVPR 2021 (arXiv 2104.14558). All views
are clips of one size, and all are assigned and predicted; there is neither multi-crop nor a queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidssl.losses.motion_alignment import positive_similarity
from vidssl.losses.swapped_assignment import swapped_assignment
from vidssl.nn.heads import mlp_head
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_above_zero, check_at_least, check_widths
from vidssl.types import ClipBatch

DEFAULT_OPTIMIZER = OptimizerSpec(name="lars", learning_rate=4.8, weight_decay=1e-6, warmup_epochs=10)
"""The paper's for batches of 4096 (appendix A), but decaying to 0 rather than to 0.0048."""


@dataclass(frozen=True)
class Clustering:
    """Prototypes and assignments; the defaults are the paper's (appendix A and released code).

    Attributes:
        num_prototypes: clusters, K.
        temperature: tau of the prediction (eq. 2).
        epsilon: softness of the assignment (eq. 3). If all assignments end up equal, at a loss of log K, it is too
            large for the temperature, see `swapped_assignment`.
        num_iterations: iterations of Sinkhorn-Knopp.
        frozen_epochs: epochs at the start in which the prototypes are not trained.

    Raises:
        VidsslError: a number out of its range; the message names the key.
    """

    num_prototypes: int = 3000
    temperature: float = 0.1
    epsilon: float = 0.05
    num_iterations: int = 3
    frozen_epochs: int = 1

    def __post_init__(self) -> None:
        prefix = "model.clustering."
        check_at_least(1, prefix=prefix, num_prototypes=self.num_prototypes, num_iterations=self.num_iterations)
        check_above_zero(prefix=prefix, temperature=self.temperature, epsilon=self.epsilon)
        check_at_least(0, prefix=prefix, frozen_epochs=self.frozen_epochs)


DEFAULT_CLUSTERING = Clustering()


class SwAV(Objective):
    """Predict which cluster a video's other views belong to, with clusters of equal size over the global batch.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        hidden_dim: width of the head's hidden layer.
        embedding_dim: width of embeddings and prototypes.
        clustering: prototypes and assignments.
        num_views: clips per video, rho; 2 without the paper's multi-crop, up to 4 in the study of several clips.
        alignment: motion alignment, which is not in the paper; the weighted forms use the cosines of the embeddings of
            each view with those of the others. None aligns nothing.

    Raises:
        VidsslError: a setting out of its range; the message names the key.
    """

    exact_across_processes = True

    def __init__(
        self,
        backbone: BackboneSpec = BackboneSpec(),
        optimizer: OptimizerSpec = DEFAULT_OPTIMIZER,
        hidden_dim: int = 2048,
        embedding_dim: int = 128,
        clustering: Clustering = DEFAULT_CLUSTERING,
        num_views: int = 2,
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_widths(hidden_dim=hidden_dim, embedding_dim=embedding_dim)
        check_at_least(2, num_views=num_views)
        super().__init__(backbone, optimizer, alignment)
        self.num_views, self.clustering = num_views, clustering
        self.projection = mlp_head(self.backbone.feature_dim, [hidden_dim], embedding_dim)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(clustering.num_prototypes, embedding_dim), dim=1))

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with `num_views` views, each uint8 B x 3 x T x H x W."""
        features, maps = self.encode(self.network_input(batch.views))
        embeddings = F.normalize(self.projection(features).float(), dim=1)
        views = embeddings.chunk(self.num_views)
        output = swapped_assignment(
            views,
            self.prototypes,
            temperature=self.clustering.temperature,
            epsilon=self.clustering.epsilon,
            num_iterations=self.clustering.num_iterations,
        )
        loss = output.loss + self.alignment_loss(maps, batch, positive_similarity(views, views))
        self.log_training(loss=loss.detach(), agreement=output.agreement, embeddings=embeddings)
        return loss

    def on_after_backward(self) -> None:
        """Leave the prototypes as they are in the first epochs."""
        if self.current_epoch < self.clustering.frozen_epochs:
            self.prototypes.grad = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then give the prototypes length 1 again."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            self.prototypes.copy_(F.normalize(self.prototypes, dim=1))
