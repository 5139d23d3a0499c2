"""The part of ``gpu_check.py`` that measures features: does a GPU find what the CPU finds, and how much faster."""

from __future__ import annotations

import time

import numpy as np
import torch
from benchmark import Figures
from gpu_check_parts import Found, Sizes

from vidssl.evaluation.classifiers import LinearLayer
from vidssl.evaluation.classifiers.sgd_heads import SGD
from vidssl.evaluation.device import CPU, measuring_on
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.neighbours import KNN

NUM_CLASSES = 20
CLOSE = 0.005
"""Of two accuracies: another order of summation turns a few videos that two classes fit alike."""


def drawn(num_videos: int, first_row: int) -> VideoFeatures:
    """Draw features of classes that overlap, with many of equal distance."""
    rng = np.random.default_rng(first_row)
    labels = rng.integers(NUM_CLASSES, size=num_videos)
    centres = np.random.default_rng(0).standard_normal((NUM_CLASSES, 512))
    views = centres[labels] + 8 * rng.standard_normal((num_videos, 512))
    rows = np.arange(num_videos) + first_row
    return VideoFeatures(views.astype(np.float32)[:, None], labels, np.full(num_videos, -1), rows)


def measuring(sizes: Sizes) -> Found:
    """Search neighbours and train a layer on the CPU and on the device."""
    num_videos = 60_000 if sizes.device == "cuda" else 3_000
    gallery, query = drawn(num_videos, 0), drawn(num_videos // 12, num_videos)
    figures: Figures = {}
    faults: list[str] = []
    for name, measure in {"knn": KNN(), "linear layer": LinearLayer(sgd=SGD(epochs=5))}.items():
        found = {}
        for where, device in (("device", torch.device(sizes.device)), ("CPU", CPU)):
            with measuring_on(device):
                measure(gallery.subset(np.arange(2000)), query)  # the first use of a device takes longer
                began = time.perf_counter()
                found[where] = measure(gallery, query)
            figures[f"{name}, {where}: seconds"] = time.perf_counter() - began
        one, other = found["device"], found["CPU"]
        if one.neighbours is not None and other.neighbours is not None:
            same = np.array_equal(one.neighbours.places, other.neighbours.places)
            same &= np.array_equal(one.neighbours.distances, other.neighbours.distances)
            faults += [] if same else [f"{name}: other neighbours than on the CPU"]
        apart = max(abs(one.metrics[metric] - other.metrics[metric]) for metric in other.metrics)
        figures[f"{name}: accuracies differ by"] = apart
        faults += [f"{name}: accuracies differ by {apart:.3f}"] if apart > CLOSE else []
    return figures, faults
