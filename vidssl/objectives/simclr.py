"""SimCLR on video, start to finish on one page.

Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020 (arXiv
2002.05709); with more than two clips of a video, Feichtenhofer et al., CVPR 2021 (arXiv 2104.14558). The data module
draws the views: two augmentations of the same frames are SimCLR's, clips of other times the latter's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vidssl.losses.info_nce import check_info_nce_settings, info_nce
from vidssl.losses.motion_alignment import positive_similarity
from vidssl.nn.heads import mlp_head
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_at_least, check_widths
from vidssl.types import ClipBatch

DEFAULT_OPTIMIZER = OptimizerSpec(name="lars", learning_rate=4.8, weight_decay=1e-6, warmup_epochs=10)
"""The paper's for batches of 4096 (section 2.2); the learning rate is linear in the batch, 0.3 for 256."""


class SimCLR(Objective):
    """Distinguish the views of a video from those of all other videos of the global batch (NT-Xent).

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        hidden_dims: widths of the head's hidden layers; one of 2048 in the paper (section 2.1), two in the study of
            several views (released code).
        embedding_dim: width of the embedding that is contrasted.
        temperature: tau; 0.1 is best in the paper's table 5.
        num_views: clips per video, rho; 2 in the paper, up to 4 in the study of several views.
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
        hidden_dims: tuple[int, ...] = (2048,),
        embedding_dim: int = 128,
        temperature: float = 0.1,
        num_views: int = 2,
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_widths(hidden_dims=hidden_dims, embedding_dim=embedding_dim)
        check_at_least(2, num_views=num_views)
        check_info_nce_settings(temperature, "mean", prefix="model.")
        super().__init__(backbone, optimizer, alignment)
        self.num_views, self.temperature = num_views, temperature
        self.projection = mlp_head(self.backbone.feature_dim, hidden_dims, embedding_dim)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with `num_views` views, each uint8 B x 3 x T x H x W."""
        features, maps = self.encode(self.network_input(batch.views))
        embeddings = F.normalize(self.projection(features).float(), dim=1)
        views = embeddings.chunk(self.num_views)
        output = info_nce(*views, temperature=self.temperature, reduction="mean")
        loss = output.loss + self.alignment_loss(maps, batch, positive_similarity(views, views))
        self.log_training(
            loss=loss.detach(),
            contrastive_accuracy=output.contrastive_accuracy,
            entropy=output.entropy,
            embeddings=embeddings,
        )
        return loss
