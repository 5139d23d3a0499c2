"""The gallery rows that may still be among the nearest of a query, kept while blocks of approximate scores come by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidssl.evaluation.neighbours.scores import Scores

MOST_PER_NEIGHBOUR, MOST_EXTRA = 4, 256  # candidates a query may hold: 4 k + 256
PENDING_EXTRA = 64  # new candidates of a query, beyond k, that are worth a sort of all
SMALLEST_STEP = 2.0**-100  # far below any difference that matters, and no denormal number, which may count as zero


@dataclass(frozen=True)
class _Found:
    """Candidates side by side: int32 (c,) place of the query, int64 (c,) gallery row, float32 (c,) score."""

    query: np.ndarray
    row: np.ndarray
    score: np.ndarray

    def subset(self, places: np.ndarray) -> _Found:
        return _Found(self.query[places], self.row[places], self.score[places])


def _falling_by_query(found: _Found) -> np.ndarray:
    """Return int64 (c,) that rises by query, then as the score falls: sorting one number is faster than two keys."""
    bits = found.score.view(np.int32)
    rising = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))  # IEEE 754: negative numbers are ordered the wrong way round
    return (found.query.astype(np.int64) << 32) - rising


class Candidates:
    """Candidates of a block of m queries; nothing that belongs to the k nearest is ever dropped.

    Scores are float32, higher is nearer, and off by a known error at most. A row is dropped only when k others are
    certain to be nearer, or as near and earlier in the gallery: that is why rows must be offered in rising order.
    Where scores cannot tell rows apart, exact keys decide; many such rows cost time, never memory: a query holds at
    most ``4 k + 256`` candidates of 16 bytes beside those of the block that is being offered.

    Args:
        num_queries: m.
        k: the number of neighbours wanted.
        exact_keys: ``exact_keys(query, rows)`` returns what decides, float64 (n,), lower is nearer, for a query's
            place in the block and gallery rows int64 (n,).
    """

    def __init__(self, num_queries: int, k: int, exact_keys: Callable[[int, np.ndarray], np.ndarray]) -> None:
        self.k = k
        self.num_queries = num_queries
        self._exact_keys = exact_keys
        self._floor = np.full(num_queries, -np.inf)  # at least k rows so far have an exact score of this or more
        self._held = _Found(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))
        self._new: list[_Found] = []
        self._num_new = 0

    def offer(self, scores: Scores, part: slice, rows: np.ndarray, error: np.ndarray) -> None:
        """Keep what may be near enough.

        Args:
            scores: (m', n).
            part: which m' of the queries they are of.
            rows: int64 (n,), rising, and above all rows offered before to these queries.
            error: float64 (m,), what any score so far, including these, may be off by.
        """
        query, column, score = self._passing(scores, part, error[part])
        self._new.append(_Found((query + part.start).astype(np.int32), rows[column], score))
        self._num_new += len(query)
        if self._num_new > self.num_queries * (self.k + PENDING_EXTRA):
            self._merge(error)

    def nearest(self, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k nearest, int64 (m, k), nearest first, and their keys, float64 (m, k)."""
        self._merge(error)
        best = [self._best(query, self._held.row[places]) for query, places in self._places_by_query()]
        return np.stack([rows for rows, _ in best]), np.stack([keys for _, keys in best])

    def _passing(self, scores: Scores, part: slice, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return queries, columns and scores, of some queries, that may be near enough."""
        if np.isinf(self._floor[part]).any():
            self._raise_floor(scores, part, error)
        found = scores.above(self._thresholds(part, error))
        if len(found[0]) > scores.shape[0] * (self.k + PENDING_EXTRA):
            self._raise_floor(scores, part, error)
            found = scores.above(self._thresholds(part, error))
        return found

    def _thresholds(self, part: slice, error: np.ndarray) -> np.ndarray:
        """What only equals the k-th so far comes after it in the gallery, so that it has lost the tie."""
        least = self._floor[part] - error
        threshold = least.astype(np.float32)
        too_high = threshold > least
        threshold[too_high] = np.nextafter(threshold[too_high], np.float32(-np.inf))
        return threshold

    def _raise_floor(self, scores: Scores, part: slice, error: np.ndarray) -> None:
        """Let k rows of this very block set the floor, a little lower: among themselves ties are not decided."""
        if scores.shape[1] < self.k:
            return
        kth = scores.kth_highest(self.k).astype(np.float64)
        below = np.abs(kth) * 2.0**-50 + SMALLEST_STEP
        self._floor[part] = np.maximum(self._floor[part], kth - error - below)

    def _merge(self, error: np.ndarray) -> None:
        every = [self._held, *self._new]
        found = _Found(*(np.concatenate([getattr(part, key) for part in every]) for key in ("query", "row", "score")))
        self._new, self._num_new = [], 0
        found = found.subset(np.argsort(_falling_by_query(found)))
        starts = np.searchsorted(found.query, np.arange(self.num_queries + 1))
        kth_place = starts[:-1] + self.k - 1
        full = kth_place < starts[1:]
        kth = np.full(self.num_queries, -np.inf)
        kth[full] = found.score[kth_place[full]]
        self._floor = np.maximum(self._floor, kth - error)
        self._held = found.subset(np.flatnonzero(found.score >= (kth - 2 * error)[found.query]))
        self._settle()

    def _settle(self) -> None:
        """Decide by exact keys where scores leave too many candidates."""
        most = MOST_PER_NEIGHBOUR * self.k + MOST_EXTRA
        counts = np.bincount(self._held.query, minlength=self.num_queries)
        if counts.max(initial=0) <= most:
            return
        kept = []
        for query, places in self._places_by_query():
            if len(places) > most:
                best, _ = self._best(query, self._held.row[places])
                places = places[np.isin(self._held.row[places], best)]
            kept.append(places)
        self._held = self._held.subset(np.concatenate(kept))

    def _places_by_query(self) -> list[tuple[int, np.ndarray]]:
        bounds = np.searchsorted(self._held.query, np.arange(self.num_queries + 1))
        return [(query, np.arange(bounds[query], bounds[query + 1])) for query in range(self.num_queries)]

    def _best(self, query: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.sort(rows)
        keys = self._exact_keys(query, rows)
        order = np.argsort(keys, kind="stable")[: self.k]
        return rows[order], keys[order]
