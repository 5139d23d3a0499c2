"""Rows of a gallery that repeat others: videos that are all black, features that died."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from vidssl.evaluation.neighbours.feature_rows import FeatureRows


def spare_copies(gallery: FeatureRows, k: int) -> np.ndarray:
    """Return the rows, int64, rising, before which the same row occurs k times or more.

    None of them can be among the k nearest of anything when the earlier of two equally near rows comes first; left in,
    thousands of them would tie with each other for every query.
    """
    # equal rows have equal squares; where more than k rows do, it is looked whether they are equal
    _, which, counts = np.unique(gallery.squares, return_inverse=True, return_counts=True)
    seen: Counter[bytes] = Counter()
    spare = []
    for row in np.flatnonzero(counts[which] > k):
        digest = hashlib.blake2b(gallery.take(slice(row, row + 1)).tobytes(), digest_size=16).digest()
        if seen[digest] >= k:
            spare.append(row)
        seen[digest] += 1
    return np.array(spare, np.int64)
