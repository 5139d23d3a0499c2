"""Linear heads trained by stochastic gradient descent, any number of them side by side on the same batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vidssl.evaluation.device import CPU, on_measuring_device
from vidssl.evaluation.features.checks import check_positive
from vidssl.evaluation.features.normalisation import Normaliser, fit_normaliser
from vidssl.evaluation.protocols.scores import true_ranks
from vidssl.nn.schedules import warmup_cosine

NUMBERS_AT_ONCE = 2**24
NO_NORMALISER = Normaliser()


@dataclass(frozen=True)
class SGD:
    """How heads are trained: softmax cross-entropy, momentum (no Nesterov), warm-up and cosine, weights of 0 at first.

    Attributes:
        batch_size: videos per step; all of them where there are fewer. What fills no batch waits for the next epoch.
        reference_batch_size: the batch that learning rates are given for; they scale linearly with the batch in use.
        epochs: passes over the videos.
        warmup_epochs: length of the linear warm-up.
        momentum: in [0, 1).
        seed: key of the order and of the view that each video starts with.
    """

    batch_size: int = 1024
    reference_batch_size: int = 1024
    epochs: int = 100
    warmup_epochs: float = 5.0
    momentum: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(batch_size=self.batch_size, reference_batch_size=self.reference_batch_size, epochs=self.epochs)


@dataclass(frozen=True)
class Heads:
    """Settings of H heads.

    Attributes:
        learning_rates: float32 (H,), the peak, for the reference batch.
        weight_decays: float32 (H,), on the weights, not on the bias.
    """

    learning_rates: Tensor
    weight_decays: Tensor

    def __len__(self) -> int:
        return len(self.learning_rates)


@dataclass(frozen=True)
class TrainingViews:
    """What heads are trained on.

    Attributes:
        views: float32 (N, V, D), perhaps a memory map.
        columns: int64 (N,), the place of each video's class among the K classes.
        num_classes: K.
        places: int64 (n,), ascending: those of the N videos that are meant.
        normaliser: applied to every batch.
    """

    views: np.ndarray
    columns: Tensor
    num_classes: int
    places: np.ndarray
    normaliser: Normaliser = NO_NORMALISER

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, videos: np.ndarray, views: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return a view each of some of the n videos, normalised, float32 (B, D), and their columns (B,)."""
        rows = self.places[videos]
        return self.normaliser(torch.from_numpy(self.views[rows, views])), self.columns[rows]

    def chunks(self, numbers_a_view: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all views of a few videos at a time, normalised, float32 (m, V, D), and their columns (m,).

        Args:
            numbers_a_view: how many numbers the caller makes of a view; it decides how many videos are a few.
        """
        _, num_views, width = self.views.shape
        length = max(1, NUMBERS_AT_ONCE // (num_views * (width + numbers_a_view)))
        for start in range(0, len(self), length):
            rows = self.places[start : start + length]
            yield self.normaliser(torch.from_numpy(self.views[rows])), self.columns[rows]

    def normalised(self, normalisation: str) -> TrainingViews:
        """Return the same videos with a normalisation that is fitted to all of their views."""
        raw = replace(self, normaliser=NO_NORMALISER)
        chunks = (views.flatten(0, 1) for views, _ in raw.chunks(0))
        return replace(self, normaliser=fit_normaliser(normalisation, chunks))


def train_heads(data: TrainingViews, heads: Heads, settings: SGD) -> Tensor:
    """Train all heads on the same batches, as products of one matrix.

    Memory holds three times the weights beside the features of a batch; each batch is read from `data` when its turn
    comes. In every epoch a video shows the view after that of the epoch before, beginning with a drawn one.

    Args:
        data: N videos with V views each.
        heads: H of them.
        settings: shared by all.

    Returns:
        float32 (H, D + 1, K), the last row of each being the bias. Those of a head that diverged are not finite.
    """
    return on_measuring_device(lambda device: _train_heads(data, heads, settings, device or CPU))


def _train_heads(data: TrainingViews, heads: Heads, settings: SGD, device: torch.device) -> Tensor:
    rng = np.random.default_rng(settings.seed)
    num_videos, (_, num_views, width) = len(data), data.views.shape
    batch_size = min(settings.batch_size, num_videos)
    steps = num_videos // batch_size
    first_view = rng.integers(num_views, size=num_videos)
    descent = _Descent(heads, width, data.num_classes, settings, device)
    for epoch in range(settings.epochs):
        order = rng.permutation(num_videos)
        for step in range(steps):
            # rows in rising order are read faster from a file, and a batch has no order
            videos = np.sort(order[step * batch_size : (step + 1) * batch_size])
            factor = warmup_cosine(
                epoch * steps + step,
                warmup_steps=round(settings.warmup_epochs * steps),
                total_steps=settings.epochs * steps,
            )
            features, columns = data.batch(videos, (first_view[videos] + epoch) % num_views)
            descent.step(features.to(device), columns.to(device), factor * batch_size / settings.reference_batch_size)
    return descent.weights.view(width + 1, len(heads), data.num_classes).permute(1, 0, 2).contiguous().cpu()


class _Descent:
    """Weights (D + 1, H * K) of all heads, and their momentum."""

    def __init__(self, heads: Heads, width: int, num_classes: int, settings: SGD, device: torch.device) -> None:
        self.shape = (len(heads), num_classes)
        self.momentum = settings.momentum
        self.weights = torch.zeros(width + 1, len(heads) * num_classes, device=device)
        self.velocity = torch.zeros_like(self.weights)
        self.gradient = torch.empty_like(self.weights)
        self.rates = heads.learning_rates.repeat_interleave(num_classes).to(device)
        self.decays = heads.weight_decays.repeat_interleave(num_classes).to(device)

    def step(self, features: Tensor, columns: Tensor, factor: float) -> None:
        """Take one step; `factor` multiplies the learning rates."""
        size = len(features)
        errors = torch.addmm(self.weights[-1], features, self.weights[:-1]).view(size, *self.shape).softmax(dim=-1)
        errors[torch.arange(size, device=errors.device), :, columns] -= 1
        errors = errors.view(size, -1).div_(size)
        torch.mm(features.T, errors, out=self.gradient[:-1])
        self.gradient[:-1].addcmul_(self.weights[:-1], self.decays)
        torch.sum(errors, dim=0, out=self.gradient[-1])
        self.velocity.mul_(self.momentum).add_(self.gradient)
        self.weights.addcmul_(self.velocity, self.rates, value=-factor)


def count_hits(data: TrainingViews, weights: Tensor) -> Tensor:
    """Classify every video by its softmax scores, averaged over the views, with every head in one pass.

    Args:
        data: n videos.
        weights: float32 (H, D + 1, K); a head that is not finite hits nothing.

    Returns:
        int64 (H,), how many videos each head classifies rightly.
    """
    return on_measuring_device(lambda device: _count_hits(data, weights.to(device or CPU)).cpu())


def _count_hits(data: TrainingViews, weights: Tensor) -> Tensor:
    num_heads, _, num_classes = weights.shape
    flat = weights.permute(1, 0, 2).flatten(1)
    hits = torch.zeros(num_heads, dtype=torch.int64, device=weights.device)
    for chunk in data.chunks(num_heads * num_classes):
        views, columns = (part.to(weights.device) for part in chunk)
        scores = (views @ flat[:-1] + flat[-1]).unflatten(-1, (num_heads, num_classes)).softmax(dim=-1).mean(dim=1)
        hits += (true_ranks(scores, columns[:, None].expand(-1, num_heads)) == 0).sum(dim=0)
    return hits.where(weights.isfinite().all(dim=-1).all(dim=-1), 0)
