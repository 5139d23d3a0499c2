"""Exact nearest neighbours in galleries of any size: matrix products find candidates, float64 decides.

Products of matrices in float32 are fast, but the last bits of a score depend on where in a block it was computed. They
therefore only say which rows may be near enough; rows that the rounding error (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1: n u / (1 - n u) for inner products of length n) leaves in doubt are compared
again, one pair at a time, in float64. So neighbours, their order and their distances depend on no block and no thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from vidssl.errors import VidsslError, nearest
from vidssl.evaluation.device import on_measuring_device
from vidssl.evaluation.neighbours.candidates import Candidates
from vidssl.evaluation.neighbours.copies import spare_copies
from vidssl.evaluation.neighbours.feature_rows import FeatureRows, sum_rows
from vidssl.evaluation.neighbours.scores import Block
from vidssl.evaluation.protocols.outcome import Neighbours

GALLERY_BYTES_AT_ONCE = 2**26  # a block, of which two exist: one searched, one prepared
QUERY_BYTES_AT_ONCE = 2**29  # queries searched in one pass over the gallery
QUERIES_AT_ONCE = 4096  # of a product; others were slower, up to 5 %
PRECISE_NUMBERS_AT_ONCE = 2**15  # in float64: 256 KB, which stay near the processor
ORIGIN_ROWS = 1024  # any origin will do, one amid the features is best
ROUNDING = 2.0**-24  # of float32, to nearest
LENGTH_MARGIN = 1.01  # more than a length in float32 is off by, for rows of up to 100,000 columns
ROUNDINGS_BESIDE_THE_SUM = 16  # of a term: shifting both rows, adding the offset; generous


class Cosine:
    """Cosine of rows that have length one: keys are its negative, distances 1 - cosine, in [0, 2]."""

    def keys(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return float64 (n,), lower is nearer, for float64 (D,) and float32 (n, D)."""
        return -sum_rows(rows * query)

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """Return the reported distances, float32."""
        return np.maximum(1 + keys, 0).astype(np.float32)

    def offsets(self, shifted: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Return what scores hold beside products, float64 (n,), for float32 (n, D) and float64 (D,)."""
        return sum_rows(shifted * origin)

    def offset_bound(self, longest: float, origin: np.ndarray) -> float:
        """Return what the absolute offset is at most when shifted rows are at most `longest` long."""
        return longest * float(np.linalg.norm(origin))


class Euclidean:
    """Euclidean distance; keys are its square."""

    def keys(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return float64 (n,), lower is nearer, for float64 (D,) and float32 (n, D)."""
        apart = rows - query
        return sum_rows(np.square(apart, out=apart))

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """Return the reported distances, float32."""
        return np.sqrt(keys).astype(np.float32)

    def offsets(self, shifted: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Return what scores hold beside products, float64 (n,), for float32 (n, D) and float64 (D,)."""
        return -sum_rows(np.square(shifted, dtype=np.float64)) / 2

    def offset_bound(self, longest: float, origin: np.ndarray) -> float:
        """Return what the absolute offset is at most when shifted rows are at most `longest` long."""
        return longest * longest


DISTANCES: dict[str, Cosine | Euclidean] = {"cosine": Cosine(), "l2": Euclidean()}


def exact_neighbours(gallery: FeatureRows, queries: FeatureRows, k: int, distance: str) -> Neighbours:
    """Find the k nearest gallery rows of every query; of equally near ones the earlier row comes first.

    Memory beside the two memory maps, whatever their lengths: at most 512 MB of queries (as many as fit are searched in
    one pass over the gallery; a pass prepares them twice), four blocks of 64 MB of the gallery, about 40 MB for each
    thread, and for every query of a pass at most ``16 (5 k + 320)`` bytes of candidates. The result takes 12 k bytes a
    query. It uses as many threads as BLAS would (``OMP_NUM_THREADS`` says how many). Where a GPU measures
    (`vidssl.evaluation.device`), that computes the products; the result is the same to the last bit.

    Args:
        gallery: N rows; of length one for "cosine".
        queries: M rows of the same width; of length one for "cosine".
        k: how many neighbours; all N when there are fewer.
        distance: "cosine" or "l2".

    Returns:
        For each of the M queries the rows of its neighbours in the gallery, the nearest first, and how near they are.

    Raises:
        VidsslError: an unknown distance, or k below 1.
    """
    if distance not in DISTANCES:
        raise VidsslError(
            f"Unknown distance {distance!r}.{nearest(distance, DISTANCES)} Known: {', '.join(DISTANCES)}."
        )
    if k < 1:
        raise VidsslError(f"k is {k}; it must be at least 1.")
    return on_measuring_device(lambda device: _search(gallery, queries, min(k, len(gallery)), distance, device))


def _search(
    gallery: FeatureRows, queries: FeatureRows, k: int, distance: str, device: torch.device | None
) -> Neighbours:
    blas = ThreadpoolController().select(user_api="blas")
    num_threads = max((library["num_threads"] for library in blas.info()), default=1)
    search = _Search.of(gallery, queries, k, distance, device)
    # BLAS gets one thread and every thread of ours queries of its own: nothing waits, and selection is parallel too
    with blas.limit(limits=1), ThreadPoolExecutor(num_threads) as pool:
        parts = [part for bounds in _passes(queries, num_threads) for part in search.one_pass(pool, bounds)]
    keys = np.concatenate([keys for _, keys in parts])
    return Neighbours(np.concatenate([rows for rows, _ in parts]), DISTANCES[distance].distances(keys))


def _passes(queries: FeatureRows, num_threads: int) -> Iterator[list[tuple[int, int]]]:
    """Yield, for every pass over the gallery, where its blocks of queries start and stop."""
    in_a_pass = max(1, QUERY_BYTES_AT_ONCE // (4 * queries.width))
    for first in range(0, len(queries), in_a_pass):
        last = min(first + in_a_pass, len(queries))
        num_blocks = -(-(last - first) // (QUERIES_AT_ONCE * num_threads)) * num_threads  # as many for every thread
        size = -(-(last - first) // num_blocks)
        yield [(start, min(start + size, last)) for start in range(first, last, size)]


def _wait_for(search: Future[None] | None) -> None:
    """Wait until a block was searched, if there is one, and raise what went wrong there."""
    if search is not None:
        search.result()


class _QueryBlock:
    """Some queries on their way through the gallery."""

    def __init__(self, search: _Search, start: int, stop: int) -> None:
        self.search = search
        self.start = start
        self.shifted = search.shifted(search.queries.take(slice(start, stop)))
        self.lengths = np.sqrt(sum_rows(np.square(self.shifted.astype(np.float64))))
        self.candidates = Candidates(stop - start, search.k, self._exact_keys)
        self.error = np.zeros(stop - start)

    def see(self, block: Block, longest: float, before: Future[None] | None) -> None:
        """Score a block of the gallery once the one before it is done; `longest` is the greatest length up to it."""
        _wait_for(before)
        self.error = self.search.error(self.lengths, longest)
        for queries, columns, scores in block.scores(self.shifted):
            self.candidates.offer(scores, queries, block.rows[columns], self.error)

    def nearest(self, before: Future[None] | None) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and keys of the nearest, see `Candidates.nearest`, once the last block is done."""
        _wait_for(before)
        return self.candidates.nearest(self.error)

    def _exact_keys(self, query: int, rows: np.ndarray) -> np.ndarray:
        place = self.start + query
        vector = self.search.queries.take(slice(place, place + 1))[0].astype(np.float64)
        keys = [
            self.search.distance.keys(vector, self.search.gallery.take(some))
            for some in np.array_split(rows, -(-len(rows) * len(vector) // PRECISE_NUMBERS_AT_ONCE))
        ]
        return np.concatenate(keys)


@dataclass(frozen=True)
class _Search:
    """What stays the same from block to block.

    Scores are products of rows shifted to `origin` (which changes no order, and makes rounding errors small where all
    features point the same way) and scaled by a power of two (which makes none, and keeps squares from overflowing).
    """

    gallery: FeatureRows
    queries: FeatureRows
    k: int
    distance: Cosine | Euclidean
    origin: np.ndarray
    scale: np.float32
    searched: np.ndarray  # the rows of the gallery that can be among the nearest
    device: torch.device | None  # that computes products; None for the CPU

    @classmethod
    def of(
        cls, gallery: FeatureRows, queries: FeatureRows, k: int, distance: str, device: torch.device | None
    ) -> _Search:
        sample = np.unique(np.linspace(0, len(gallery) - 1, ORIGIN_ROWS).astype(np.int64))
        origin = gallery.take(sample).mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = np.float32(1)
        if distance == "l2":
            longest = np.sqrt(max(gallery.squares.max(), queries.squares.max()))
            scale = np.float32(2.0 ** -np.clip(np.ceil(np.log2(max(longest, 1e-30))), -100, 100))
        searched = np.setdiff1d(np.arange(len(gallery)), spare_copies(gallery, k), assume_unique=True)
        return cls(gallery, queries, k, DISTANCES[distance], origin, scale, searched, device)

    def shifted(self, rows: np.ndarray) -> np.ndarray:
        """Move rows, float32 (n, D), about the origin, in place."""
        if self.scale != 1:  # before anything is subtracted, or it might overflow
            rows *= self.scale
        rows -= self.origin * self.scale
        return rows

    def error(self, lengths: np.ndarray, longest: float) -> np.ndarray:
        """Return what the scores of queries of these shifted lengths (m,) may be off by, float64 (m,)."""
        terms = self.gallery.width + ROUNDINGS_BESIDE_THE_SUM
        of_products = 1.01 * terms * ROUNDING * lengths * longest
        of_offsets = 4 * ROUNDING * self.distance.offset_bound(longest, self.origin)
        underflow = terms * 2.0**-126 if longest > 0 else 0.0
        return of_products + of_offsets + underflow

    def one_pass(self, pool: ThreadPoolExecutor, bounds: list[tuple[int, int]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Take blocks of queries through the whole gallery; return rows and keys of their nearest, block by block."""
        queries = list(pool.map(lambda bound: _QueryBlock(self, *bound), bounds))
        longest = 0.0
        before: list[Future[None] | None] = [None] * len(queries)
        for block in self._blocks(pool):
            longest = max(longest, block.longest)
            now = [pool.submit(query.see, block, longest, done) for query, done in zip(queries, before, strict=True)]
            for done in before:  # so that no more than two blocks are searched at a time
                _wait_for(done)
            before = [*now]
        return list(pool.map(_QueryBlock.nearest, queries, before))

    def _blocks(self, pool: ThreadPoolExecutor) -> Iterator[Block]:
        """Yield the blocks of the gallery; while one is searched, the next is prepared."""
        size = max(1, GALLERY_BYTES_AT_ONCE // (4 * self.gallery.width))
        blocks = [self.searched[start : start + size] for start in range(0, len(self.searched), size)]
        coming = pool.submit(self._block, blocks[0])
        for rows in blocks[1:]:
            block, coming = coming.result(), pool.submit(self._block, rows)
            yield block
        yield coming.result()

    def _block(self, rows: np.ndarray) -> Block:
        shifted = np.empty((len(rows), self.gallery.width), np.float32)
        offsets, longest = np.empty(len(rows), np.float32), 0.0
        at_once, origin = max(1, PRECISE_NUMBERS_AT_ONCE // self.gallery.width), self.origin.astype(np.float64)
        for start in range(0, len(rows), at_once):
            part = slice(start, start + at_once)
            shifted[part] = self.shifted(self.gallery.take(rows[part]))
            longest = max(longest, float(np.einsum("ij,ij->i", shifted[part], shifted[part]).max()))
            offsets[part] = self.distance.offsets(shifted[part], origin)
        return Block(shifted, rows, offsets, LENGTH_MARGIN * float(np.sqrt(longest)), self.device)
