"""VICReg on video, start to finish on one page.

Source: Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR 2022
(arXiv 2105.04906). The paper's BatchNorm sees one view at a time, this one both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torch import Tensor

from vidssl.losses.motion_alignment import positive_similarity
from vidssl.losses.vicreg import vicreg_terms
from vidssl.nn.heads import mlp_head
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_at_least, check_widths
from vidssl.types import ClipBatch

DEFAULT_OPTIMIZER = OptimizerSpec(name="lars", learning_rate=1.6, weight_decay=1e-6, warmup_epochs=10)
"""The paper's for batches of 2048 (section 4.2); the learning rate is linear in the batch, 0.2 for 256."""


@dataclass(frozen=True)
class VICRegWeights:
    """Weights of the terms of the loss (eq. 6); the defaults are the paper's (section 4.2).

    Attributes:
        invariance: lambda, of the squared difference of the views.
        variance: mu, of the hinge on each dimension's standard deviation.
        covariance: nu, of the squared covariances.

    Raises:
        VidsslError: a weight below 0; the message names the key.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def __post_init__(self) -> None:
        check_at_least(0, prefix="model.weights.", **asdict(self))


DEFAULT_WEIGHTS = VICRegWeights()


class VICReg(Objective):
    """Pull two views of a video together, and keep every dimension of the embeddings busy and uncorrelated.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        hidden_dims: widths of the expander's hidden layers (section 4.2).
        embedding_dim: width of the embedding (section 4.2).
        weights: weights of the three terms of the loss.
        alignment: motion alignment, which is not in the paper; the weighted forms use the cosine of the embeddings of
            the two views. None aligns nothing.

    Raises:
        VidsslError: a width below 1; the message names the key.
    """

    num_views = 2
    exact_across_processes = True

    def __init__(
        self,
        backbone: BackboneSpec = BackboneSpec(),
        optimizer: OptimizerSpec = DEFAULT_OPTIMIZER,
        hidden_dims: tuple[int, ...] = (8192, 8192),
        embedding_dim: int = 8192,
        weights: VICRegWeights = DEFAULT_WEIGHTS,
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_widths(hidden_dims=hidden_dims, embedding_dim=embedding_dim)
        super().__init__(backbone, optimizer, alignment)
        self.weights = weights
        self.projection = mlp_head(self.backbone.feature_dim, hidden_dims, embedding_dim, output_bias=False)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with two views, each uint8 B x 3 x T x H x W."""
        features, maps = self.encode(self.network_input(batch.views))
        embeddings = self.projection(features)
        views = embeddings.chunk(2)
        terms = vars(vicreg_terms(*views))
        loss = sum(getattr(self.weights, name) * term for name, term in terms.items())
        loss = loss + self.alignment_loss(maps, batch, positive_similarity(views, views))
        logged = {f"{name}_loss": term.detach() for name, term in terms.items()}
        self.log_training(loss=loss.detach(), embeddings=embeddings, **logged)
        return loss
