"""BYOL on video, start to finish on one page.

Source: Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020 (arXiv 2006.07733); with more than two clips of a video,
Feichtenhofer et al., CVPR 2021 (arXiv 2104.14558). The paper's BatchNorm sees one view at a time, this one all.
"""

from typing import Any

from torch import Tensor

from vidssl.losses.motion_alignment import positive_similarity
from vidssl.losses.prediction import normalised_regression
from vidssl.nn.heads import mlp_head
from vidssl.nn.momentum_encoder import MomentumEncoder
from vidssl.nn.schedules import rising_momentum
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_at_least, check_share, check_widths
from vidssl.types import ClipBatch

DEFAULT_OPTIMIZER = OptimizerSpec(name="lars", learning_rate=3.2, weight_decay=1.5e-6, warmup_epochs=10)
"""The paper's for batches of 4096 (section 3.3); the learning rate is linear in the batch, 0.2 for 256."""


class BYOL(Objective):
    """Predict the embedding of each of the other views by a copy of the network that follows it slowly.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        hidden_dim: width of the hidden layer of projection and predictor (section 3.3).
        embedding_dim: width of the embedding (section 3.3).
        momentum: share of the target network that is kept in a step, at the start; it rises to 1 (section 3.3).
        num_views: clips per video, rho; 2 in the paper, up to 4 in the study of several clips.
        alignment: motion alignment, which is not in the paper; the weighted forms use the cosine of every prediction
            with what it predicts. None aligns nothing.
    """

    exact_across_processes = True

    def __init__(
        self,
        backbone: BackboneSpec = BackboneSpec(),
        optimizer: OptimizerSpec = DEFAULT_OPTIMIZER,
        hidden_dim: int = 4096,
        embedding_dim: int = 256,
        momentum: float = 0.996,
        num_views: int = 2,
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_widths(hidden_dim=hidden_dim, embedding_dim=embedding_dim)
        check_share(momentum=momentum)
        check_at_least(2, num_views=num_views)
        super().__init__(backbone, optimizer, alignment)
        self.num_views = num_views
        self.projection = mlp_head(self.backbone.feature_dim, [hidden_dim], embedding_dim)
        self.prediction = mlp_head(embedding_dim, [hidden_dim], embedding_dim)
        self.target = MomentumEncoder(self.backbone, self.projection, momentum=momentum, compile=backbone.compile)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with `num_views` views, each uint8 B x 3 x T x H x W."""
        clips = self.network_input(batch.views)
        features, maps = self.encode(clips)
        embeddings = self.projection(features)
        predictions = self.prediction(embeddings).chunk(self.num_views)
        targets = self.target(clips).chunk(self.num_views)
        loss = normalised_regression(predictions, targets)
        loss = loss + self.alignment_loss(maps, batch, positive_similarity(predictions, targets))
        self.log_training(loss=loss.detach(), embeddings=embeddings, momentum=self._momentum())
        return loss

    def _momentum(self) -> float:
        return rising_momentum(self.target.momentum, self.training_progress())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the target network follow: once for all batches that were accumulated."""
        super().optimizer_step(*args, **kwargs)
        self.target.update(self.backbone, self.projection, momentum=self._momentum())
