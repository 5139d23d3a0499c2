"""MCL, start to finish on one page.

Source: Li et al., "Motion-Focused Contrastive Learning of Video Representations", ICCV 2021 (arXiv 2201.04029), and the
authors' released code, whose contrastive part follows Yao et al., "SeCo", AAAI 2021. The data module samples and crops
where things move (section 3.2) and delivers the motion of the query; here clips are contrasted and aligned (3.3).
"""

from __future__ import annotations

from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidssl.errors import VidsslError
from vidssl.losses.queue_info_nce import ContrastOutput, clip_info_nce, queue_info_nce
from vidssl.losses.temporal_order import order_label, order_loss
from vidssl.nn.key_queue import KeyQueue
from vidssl.nn.momentum_encoder import MomentumEncoder
from vidssl.nn.shuffled_norm import encode_shuffled
from vidssl.objectives.alignment import MotionAlignment as MotionAlignment
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import check_names
from vidssl.objectives.moco import DEFAULT_CONTRAST, DEFAULT_OPTIMIZER, MomentumContrast
from vidssl.types import ClipBatch

TASKS = ("inter", "intra", "order")


PAPER_BACKBONE = BackboneSpec(name="p3d_a_r50", pixel_mean=(0.485, 0.456, 0.406), pixel_std=(0.229, 0.224, 0.225))
DEFAULT_ALIGNMENT = MotionAlignment()
VIEW = {
    "crop_size": 224,
    "crop_area": [0.2, 1.0],
    "crop_aspect": [3 / 4, 4 / 3],
    "flip_probability": 0.5,
    "jitter_probability": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grey_probability": 0.2,
    "blur_probability": 0.5,
    "motion_crop": {},
}
"""Augmentation of every view (section 3.2, released code): `vidssl.data.augmentation.MCL_VIEW` in plain values."""


class MCL(Objective):
    """Contrast clips of a video with a queue and with each other, and align what the network looks at with what moves.

    The views are [query, key of the same clip, keys of two other clips]. The loss is the sum of the tasks and the
    alignment.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        contrast: embeddings, queue and momentum encoder.
        tasks: any of ``inter`` (each key against the queue), ``intra`` (the key of the same clip against the other
            two) and ``order`` (whether the query came before or after both other clips; its weight grows from 0 to 1
            over the run). The paper uses ``order`` on UCF101 alone.
        alignment: alignment of the query with its motion; the weighted forms use the similarity of the query and the
            key of the same clip, as in ``inter``. None aligns nothing.

    Raises:
        VidsslError: unknown tasks, none, or a form of alignment without the task it needs; the message names the key.
    """

    num_views = 4
    defaults = MappingProxyType(
        {"data": {"sampler": {"class_path": "MotionSampler"}, "motion": {}, "augmentations": [VIEW]}}
    )

    def __init__(
        self,
        backbone: BackboneSpec = PAPER_BACKBONE,
        optimizer: OptimizerSpec = DEFAULT_OPTIMIZER,
        contrast: MomentumContrast = DEFAULT_CONTRAST,
        tasks: tuple[str, ...] = ("inter", "intra"),
        alignment: MotionAlignment | None = DEFAULT_ALIGNMENT,
    ) -> None:
        check_names("model.tasks", tasks, TASKS)
        if not tasks or (alignment is not None and alignment.needs_gradient and "inter" not in tasks):
            raise VidsslError(
                "model.tasks needs at least one task, and 'inter' where model.alignment.form is a weighted one, which "
                f"aligns the gradient of that task's similarity. Got {list(tasks)}."
            )
        super().__init__(backbone, optimizer, alignment)
        self.contrast, self.tasks = contrast, tuple(tasks)
        self.min_videos_per_process = 2 if contrast.batch_norm else 1
        # every other loss is a mean over all videos; that of order is over those in which it is defined
        self.exact_across_processes = "order" not in tasks
        self.heads = contrast.heads(self.backbone.feature_dim, tasks)
        self.momentum_encoder = MomentumEncoder(
            self.backbone, self.heads, momentum=contrast.momentum, compile=backbone.compile
        )
        self.queue = KeyQueue(contrast.queue_size, contrast.embedding_dim) if "inter" in tasks else None
        self.order_classifier = nn.Linear(3 * contrast.embedding_dim, 2) if "order" in tasks else None

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch with four views, each uint8 B x 3 x T x H x W, and the motion of the first."""
        query, *key_views = batch.views
        features, maps = self.encode(self.network_input([query]))
        queries = dict(zip(self.tasks, self.heads(features).unbind(1), strict=True))
        encoded = encode_shuffled(
            lambda views: self.momentum_encoder(self.network_input(views)), key_views, self.step_seed
        )
        keys = dict(zip(self.tasks, torch.stack(encoded, dim=1).unbind(2), strict=True))  # B x 3 x D each

        compare = {"inter": self._inter, "intra": self._intra, "order": self._order}
        outputs = {task: compare[task](queries[task], keys[task], batch) for task in self.tasks}
        loss = reduce(add, (self._task_weight(task) * output.loss for task, output in outputs.items()))
        similarity = (queries["inter"] * keys["inter"][:, 0]).sum(dim=1) if "inter" in queries else None
        loss = loss + self.alignment_loss(maps, batch, similarity)
        self._log(loss, outputs, queries[self.tasks[0]])
        return loss

    def _inter(self, queries: Tensor, keys: Tensor, batch: ClipBatch) -> ContrastOutput:
        assert self.queue is not None  # built for this task
        negatives = self.queue.keys(queries.device)
        own = self.queue.rows_of(batch.index) if self.contrast.mask_own else None
        output = queue_info_nce(queries, keys, negatives, temperature=self.contrast.temperature, left_out=own)
        # after contrasting: a key must not be its own negative; all keys of a video together, whatever the processes
        self.queue.append(keys.flatten(0, 1), batch.index.repeat_interleave(keys.shape[1]))
        return output

    def _intra(self, queries: Tensor, keys: Tensor, batch: ClipBatch) -> ContrastOutput:
        return clip_info_nce(queries, keys[:, 0], keys[:, 1:], temperature=self.contrast.temperature)

    def _order(self, queries: Tensor, keys: Tensor, batch: ClipBatch) -> ContrastOutput:
        assert self.order_classifier is not None  # built for this task
        assert batch.starts is not None  # every data module tells them
        together = torch.cat((queries, keys[:, 1:].flatten(1)), dim=1)
        # embeddings are float32 in models of another precision too
        logits = self.order_classifier(F.normalize(together, dim=1).to(self.order_classifier.weight.dtype))
        return order_loss(logits, order_label(batch.starts[:, 0], batch.starts[:, 2:]))

    def _task_weight(self, task: str) -> float:
        return self.training_progress() if task == "order" else 1.0

    def _log(self, loss: Tensor, outputs: dict[str, ContrastOutput], embeddings: Tensor) -> None:
        metrics: dict[str, Tensor | float] = {"loss": loss.detach()}
        for task, output in outputs.items():
            accuracy = "contrastive_accuracy" if task == "inter" else f"{task}_accuracy"
            metrics |= {f"{task}_loss": output.loss.detach(), accuracy: output.accuracy}
        if "order" in outputs:
            metrics["order_weight"] = self.training_progress()
        if self.queue is not None:
            metrics["queue_fill"] = self.queue.fill
        self.log_training(embeddings=embeddings, **metrics)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the key encoder follow: once for all batches that were accumulated."""
        super().optimizer_step(*args, **kwargs)
        self.momentum_encoder.update(self.backbone, self.heads)
