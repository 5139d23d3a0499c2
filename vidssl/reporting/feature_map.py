"""The features of videos on a plane, coloured by class, the networks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import color_sequences
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import normalize

from vidssl.errors import VidsslError, nearest
from vidssl.losses import effective_rank

DOTS_PER_INCH = 110
MARKERS = "os^DvPX<>*"
COLOURS = color_sequences["tab10"]
LARGEST_PERPLEXITY = 30
MOST_NAMED = 40


def _pca(features: np.ndarray) -> tuple[np.ndarray, str]:
    model = PCA(n_components=2, random_state=0)
    points = model.fit_transform(features)
    return points, f"{100 * model.explained_variance_ratio_.sum():.0f} % of the variance"


def _tsne(features: np.ndarray) -> tuple[np.ndarray, str]:
    perplexity = min(LARGEST_PERPLEXITY, (len(features) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features)
    return points, f"perplexity {perplexity:.0f}"


def _umap(features: np.ndarray) -> tuple[np.ndarray, str]:
    try:
        from umap import UMAP
    except ImportError as error:
        raise VidsslError('The projection umap needs the package umap-learn: pip install "vidssl[umap]".') from error
    neighbours = min(15, len(features) - 1)
    return UMAP(n_neighbors=neighbours, random_state=0).fit_transform(features), f"{neighbours} neighbours"


PROJECTIONS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, str]]] = {"pca": _pca, "tsne": _tsne, "umap": _umap}
"""Name -> function of features (N, D) of length 1 that returns points (N, 2) and what there is to say."""


def check_projection(name: str) -> None:
    """Check that there is a projection of this name.

    Raises:
        VidsslError: there is none; the message says which there are.
    """
    if name not in PROJECTIONS:
        raise VidsslError(f"Unknown projection {name!r}.{nearest(name, PROJECTIONS)} Known: {', '.join(PROJECTIONS)}.")


def project(name: str, features: np.ndarray) -> tuple[np.ndarray, str]:
    """Lay features on a plane.

    Args:
        name: "pca", "tsne" or "umap".
        features: float (N, D), N at least 3; their rows are brought to length 1 first.

    Returns:
        float (N, 2), and a few words on how.

    Raises:
        VidsslError: an unknown name, too few videos, or a package that is missing.
    """
    check_projection(name)
    if len(features) < 3:
        raise VidsslError(f"A map of features needs at least 3 videos, there are {len(features)}.")
    return PROJECTIONS[name](normalize(features))


def feature_rank(features: np.ndarray) -> float:
    """Return the number of dimensions in which features (N, D) vary, see `vidssl.losses.effective_rank`."""
    return float(effective_rank(torch.from_numpy(np.ascontiguousarray(features))))


def feature_map(
    features: dict[str, np.ndarray], labels: np.ndarray, classes: Sequence[str], projection: str, file: Path
) -> Path:
    """Draw a panel for each network, with the effective rank of its features: few dimensions mean that it collapsed.

    Args:
        features: of the same videos, by the name of the network: float (N, D).
        labels: int64 (N,), class numbers.
        classes: names of the classes.
        projection: see `project`.
        file: the PNG to write.

    Raises:
        VidsslError: see `project`.
    """
    shown = np.unique(labels)
    columns = min(len(features), 3)
    rows = -(-len(features) // columns)
    figure = Figure(figsize=(3.6 * columns + 1.8, 3.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(features) :]:
        axis.set_visible(False)
    for axis, (name, values) in zip(axes.flat, features.items(), strict=False):
        points, wording = project(projection, values)
        for place, label in enumerate(shown):
            of_class = points[labels == label]
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place // len(COLOURS) % len(MARKERS)]
            axis.scatter(*of_class.T, s=16, color=colour, marker=marker, linewidths=0, alpha=0.85)
        rank = f"effective rank {feature_rank(values):.1f} of at most {min(values.shape)}"
        axis.set_title(f"{name}\n{projection}, {wording}\n{rank}", fontsize=9, loc="left")
        axis.set_xticks([])
        axis.set_yticks([])
    if len(shown) <= MOST_NAMED:
        handles = axes.flat[0].collections
        figure.legend(
            handles, [classes[label] for label in shown], loc="outside right center", fontsize=8, frameon=False
        )
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file
