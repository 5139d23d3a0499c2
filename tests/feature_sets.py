"""Made-up features for tests of classifiers and neighbours, and the code for GPUs on a CPU."""

from contextlib import contextmanager

import numpy as np
import torch

from vidssl.evaluation import device
from vidssl.evaluation.features.video_features import VideoFeatures


@contextmanager
def code_for_gpus():
    """Let measures take the way that they take on a GPU, on the CPU, which `measuring_on` leaves to NumPy."""
    token = device._device.set(torch.device("cpu"))
    yield
    device._device.reset(token)


def videos(features, labels, groups=None):
    """Features (N, D), or (N, V, D) with several views, as a measure takes them."""
    features = np.asarray(features, np.float32)
    views = features[:, None] if features.ndim == 2 else features
    groups = np.full(len(labels), -1) if groups is None else np.asarray(groups)
    return VideoFeatures(views, np.asarray(labels), groups, np.arange(len(labels)))


def clusters(count, seed, num_classes, dims=10, noise=1.5, views=None):
    """Classes around middles that depend on no seed, as features and labels."""
    middles = np.random.default_rng(0).standard_normal((num_classes, dims))
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=count)
    shape = (count, dims) if views is None else (count, views, dims)
    centre = middles[labels] if views is None else middles[labels][:, None]
    return (centre + noise * rng.standard_normal(shape)).astype(np.float32), labels
