"""CVRL, start to finish on one page.

Source: Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021 (arXiv 2008.03800). The data
module samples and augments the two clips (sections 3.2 and 3.3); here they are encoded and contrasted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError
from vidssl.losses.info_nce import alignment, check_info_nce_settings, info_nce, uniformity
from vidssl.losses.motion_alignment import positive_similarity
from vidssl.nn.heads import mlp_head
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.types import ClipBatch


@dataclass(frozen=True)
class CVRLHead:
    """The projection head: Linear, BatchNorm, ReLU each, then Linear (section 4.1: three layers of 2048, then 128).

    Attributes:
        hidden_dims: widths of the hidden layers.
        embedding_dim: width of the embedding that is contrasted.
        batch_norm: whether hidden layers are normalised.

    Raises:
        VidsslError: a width below 1; the message names the key.
    """

    hidden_dims: tuple[int, ...] = (2048, 2048, 2048)
    embedding_dim: int = 128
    batch_norm: bool = True

    def __post_init__(self) -> None:
        for name, width in (("embedding_dim", self.embedding_dim), *(("hidden_dims", dim) for dim in self.hidden_dims)):
            if width < 1:
                raise VidsslError(f"model.head.{name}: a layer must be at least 1 wide, got {width}.")


class CVRL(Objective):
    """Contrast two clips of a video, a random interval apart, with all other clips of the global batch.

    Args:
        backbone: which network learns (the paper: ``r3d_50``).
        optimizer: how it learns.
        head: the projection head, discarded after training.
        temperature: tau of InfoNCE, 0.1 in the paper.
        reduction: ``sum`` of the two directions as in the released code, or their ``mean``.
        alignment: motion alignment, which is not in the paper; the weighted forms use the cosine of the embeddings of
            the two views. None aligns nothing.

    Raises:
        VidsslError: a temperature that is not positive, an unknown reduction; the message names the key.
    """

    num_views = 2
    exact_across_processes = True

    def __init__(
        self,
        backbone: BackboneSpec = BackboneSpec(),
        optimizer: OptimizerSpec = OptimizerSpec(),
        head: CVRLHead = CVRLHead(),
        temperature: float = 0.1,
        reduction: str = "sum",
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_info_nce_settings(temperature, reduction, prefix="model.")
        super().__init__(backbone, optimizer, alignment)
        self.projection = mlp_head(
            self.backbone.feature_dim, list(head.hidden_dims), head.embedding_dim, batch_norm=head.batch_norm
        )
        self.temperature = temperature
        self.reduction = reduction

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with two views, each uint8 B x 3 x T x H x W."""
        features, maps = self.encode(self.network_input(batch.views))
        embeddings = F.normalize(self.projection(features).float(), dim=1)
        view1, view2 = embeddings.chunk(2)
        output = info_nce(view1, view2, temperature=self.temperature, reduction=self.reduction)
        similarity = positive_similarity((view1, view2), (view1, view2))
        loss = output.loss + self.alignment_loss(maps, batch, similarity)
        self.log_training(
            loss=loss.detach(),
            contrastive_accuracy=output.contrastive_accuracy,
            entropy=output.entropy,
            alignment=alignment(view1, view2),
            uniformity=uniformity(torch.cat((view1, view2)).detach()),
            embeddings=embeddings,
        )
        return loss
