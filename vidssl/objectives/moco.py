"""MoCo on video, start to finish on one page; the settings are shared with MCL.

Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020 (arXiv 1911.05722),
with the two-layer head of MoCo v2 (arXiv 2003.04297). More than two clips of a video: Feichtenhofer et al., "A
Large-Scale Study on Unsupervised Spatiotemporal Representation Learning", CVPR 2021 (arXiv 2104.14558), and its code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidssl.errors import VidsslError, nearest
from vidssl.losses.queue_info_nce import queue_info_nce
from vidssl.nn.heads import ParallelHeads
from vidssl.nn.key_queue import KeyQueue
from vidssl.nn.momentum_encoder import MomentumEncoder
from vidssl.nn.shuffled_norm import encode_shuffled
from vidssl.objectives.alignment import MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_at_least
from vidssl.types import ClipBatch


@dataclass(frozen=True)
class MomentumContrast:
    """Embeddings, queue and momentum encoder; the defaults are those of MCL's released code.

    Attributes:
        embedding_dim: width of the embeddings that are contrasted.
        hidden_dim: width of the hidden layer of each head; None takes the backbone's feature width.
        batch_norm: whether the hidden layer is normalised, as in MoCo v3 (arXiv 2104.02057); it is not in MoCo v2 and
            MCL. Short runs of small networks learn little without it.
        temperature: tau of InfoNCE.
        queue_size: keys that every query is contrasted with; filled over the first steps.
        momentum: share of the key encoder that is kept in every step of the optimiser.
        mask_own: leave out negatives that are keys of the query's own video, from earlier steps. The papers use them:
            with few videos for the length of the queue, many negatives are the query's own.

    Raises:
        VidsslError: a number out of its range; the message names the key.
    """

    embedding_dim: int = 128
    hidden_dim: int | None = None
    batch_norm: bool = False
    temperature: float = 0.1
    queue_size: int = 131072
    momentum: float = 0.999
    mask_own: bool = False

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "hidden_dim", "queue_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise VidsslError(f"model.contrast.{name} must be at least 1, got {value}.")
        if not self.temperature > 0:
            raise VidsslError(f"model.contrast.temperature must be above 0, got {self.temperature}.")
        if not 0 <= self.momentum < 1:
            raise VidsslError(f"model.contrast.momentum must be at least 0 and below 1, got {self.momentum}.")

    def heads(self, feature_dim: int, names: Sequence[str]) -> ParallelHeads:
        """Build one head of each name on features of width `feature_dim`."""
        hidden_dim = self.hidden_dim or feature_dim
        return ParallelHeads(feature_dim, hidden_dim, self.embedding_dim, names, batch_norm=self.batch_norm)


DEFAULT_CONTRAST = MomentumContrast()
DEFAULT_OPTIMIZER = OptimizerSpec(learning_rate=0.01, weight_decay=1e-4)
"""MCL's on UCF101, for batches of 32 videos."""


QUERIES = ("first", "each")


class MoCo(Objective):
    """Find the keys of the same video's other views among a queue of keys of other videos.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        contrast: embeddings, queue and momentum encoder.
        num_views: clips per video, rho; 2 in MoCo, up to 4 in the study of several clips.
        queries: which views are queries: the ``first``, with the others as keys (MoCo), or ``each`` in turn (released
            code of the study). The loss is the mean over queries and their positives, one at a time.
        alignment: motion alignment, which is not in the paper; the weighted forms use the product of each query with
            its positive keys, and align the views that are queries. None aligns nothing.

    Raises:
        VidsslError: fewer than two views, an unknown choice of queries; the message names the key.
    """

    exact_across_processes = True

    def __init__(
        self,
        backbone: BackboneSpec = BackboneSpec(),
        optimizer: OptimizerSpec = DEFAULT_OPTIMIZER,
        contrast: MomentumContrast = DEFAULT_CONTRAST,
        num_views: int = 2,
        queries: str = "first",
        alignment: MotionAlignment | None = None,
    ) -> None:
        check_at_least(2, num_views=num_views)
        if queries not in QUERIES:
            hint = f"{nearest(queries, QUERIES)} Known: {', '.join(QUERIES)}."
            raise VidsslError(f"model.queries: unknown choice {queries!r}.{hint}")
        super().__init__(backbone, optimizer, alignment)
        self.contrast, self.num_views = contrast, num_views
        self.min_videos_per_process = 2 if contrast.batch_norm else 1
        self.query_numbers = [0] if queries == "first" else list(range(num_views))
        self.key_numbers = list(range(1 if queries == "first" else 0, num_views))
        self.heads = contrast.heads(self.backbone.feature_dim, ["inter"])
        self.momentum_encoder = MomentumEncoder(
            self.backbone, self.heads, momentum=contrast.momentum, compile=backbone.compile
        )
        self.queue = KeyQueue(contrast.queue_size, contrast.embedding_dim)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with `num_views` views, each uint8 B x 3 x T x H x W."""
        query_views = [batch.views[number] for number in self.query_numbers]
        features, maps = self.encode(self.network_input(query_views))
        queries = self.heads(features)[:, 0]
        key_views = [batch.views[number] for number in self.key_numbers]
        encoded = encode_shuffled(
            lambda views: self.momentum_encoder(self.network_input(views)), key_views, self.step_seed
        )
        keys = {number: key[:, 0] for number, key in zip(self.key_numbers, encoded, strict=True)}
        others = [[keys[other] for other in keys if other != number] for number in self.query_numbers]
        positives = torch.cat([torch.stack(of_one, dim=1) for of_one in others])  # as many rows as queries
        negatives = self.queue.keys(queries.device)
        own = self.queue.rows_of(batch.index.repeat(len(query_views))) if self.contrast.mask_own else None
        output = queue_info_nce(queries, positives, negatives, temperature=self.contrast.temperature, left_out=own)
        # after contrasting: a key must not be its own negative; all keys of a video together, whatever the processes
        self.queue.append(
            torch.stack(list(keys.values()), dim=1).flatten(0, 1), batch.index.repeat_interleave(len(keys))
        )
        loss = output.loss + self.alignment_loss(maps, batch, (queries[:, None] * positives).sum(dim=(1, 2)))
        self.log_training(
            loss=loss.detach(),
            contrastive_accuracy=output.accuracy,
            queue_fill=self.queue.fill,
            embeddings=queries,
        )
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the key encoder follow: once for all batches that were accumulated."""
        super().optimizer_step(*args, **kwargs)
        self.momentum_encoder.update(self.backbone, self.heads)
