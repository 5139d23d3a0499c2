"""SimSiam on video, start to finish on one page.

Source: Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021 (arXiv 2011.10566). The paper's
BatchNorm sees one view at a time, this one both; its learning rate of the predictor is constant (section 4.2), here
that of everything else.
"""

from torch import Tensor, nn

from vidssl.losses.motion_alignment import positive_similarity
from vidssl.losses.prediction import negative_cosine
from vidssl.nn.heads import mlp_head
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_widths
from vidssl.types import ClipBatch

DEFAULT_OPTIMIZER = OptimizerSpec(learning_rate=0.05, weight_decay=1e-4, warmup_epochs=0)
"""The paper's for batches of 256 (section 3); the learning rate is linear in the batch."""


class SimSiam(Objective):
    """Two views of a video predict each other's embedding; the predicted embedding gets no gradient.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        embedding_dim: width of all three layers of the projection (section 3).
        bottleneck_dim: width of the predictor's hidden layer (section 3).
        alignment: motion alignment, which is not in the paper; the weighted forms use the cosine of each prediction
            with the embedding that it predicts, which has no gradient. None aligns nothing.

    Raises:
        VidsslError: a width below 1; the message names the key.
    """

    num_views = 2
    exact_across_processes = True

    def __init__(
        self,
        backbone: BackboneSpec = BackboneSpec(),
        optimizer: OptimizerSpec = DEFAULT_OPTIMIZER,
        embedding_dim: int = 2048,
        bottleneck_dim: int = 512,
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_widths(embedding_dim=embedding_dim, bottleneck_dim=bottleneck_dim)
        super().__init__(backbone, optimizer, alignment)
        hidden_dims = [embedding_dim, embedding_dim]
        self.projection = nn.Sequential(
            mlp_head(self.backbone.feature_dim, hidden_dims, embedding_dim, output_bias=False),
            nn.BatchNorm1d(embedding_dim, affine=False),  # the output is normalised too, without scale (released code)
        )
        self.prediction = mlp_head(embedding_dim, [bottleneck_dim], embedding_dim)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with two views, each uint8 B x 3 x T x H x W."""
        features, maps = self.encode(self.network_input(batch.views))
        embeddings = self.projection(features)
        predictions, targets = self.prediction(embeddings).chunk(2), embeddings.detach().chunk(2)
        loss = negative_cosine(predictions, targets)
        loss = loss + self.alignment_loss(maps, batch, positive_similarity(predictions, targets))
        self.log_training(loss=loss.detach(), embeddings=embeddings)
        return loss
