"""Measure exact search of nearest neighbours, time and memory, beside the exact index of FAISS.

    python tools/bench_retrieval.py --queries 20000 --gallery 240000 --dims 2048 --json FILE

Each search runs in a process of its own, on the same memory-mapped random features and with the same number of
threads. FAISS (`pip install faiss-cpu`) is left out, with a message, where it is not installed. CPU time stands beside
wall time, since it says more on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmark import in_a_process, parser, report, told_costs, with_costs, write_rows


@dataclass(frozen=True)
class Task:
    """What is searched: float32 files of `num_gallery` and `num_queries` rows of `dims` columns."""

    folder: str
    num_gallery: int
    num_queries: int
    dims: int
    k: int
    distance: str

    def load(self, name: str) -> np.ndarray:
        """Return the memory map of "gallery" or "queries"."""
        shape = (getattr(self, f"num_{name}"), self.dims)
        return np.memmap(Path(self.folder) / name, np.float32, "r", shape=shape)


def write_features(file: Path, rows: int, dims: int, seed: int) -> None:
    """Write what features look like that went through a ReLU: normal numbers, the negative ones zero."""
    rng = np.random.default_rng(seed)

    def draw(start: int, end: int) -> np.ndarray:
        return np.maximum(rng.standard_normal((end - start, dims), np.float32), 0)

    write_rows(file, rows, draw)


def search_vidssl(task: Task) -> np.ndarray:
    """Return the neighbours that `vidssl.evaluation.neighbours.search` finds, int64 (queries, k)."""
    from vidssl.evaluation.neighbours.feature_rows import feature_rows
    from vidssl.evaluation.neighbours.search import exact_neighbours

    scaling = {"cosine": "unit-length", "l2": "none"}[task.distance]
    gallery, queries = (feature_rows(task.load(name), name, scaling) for name in ("gallery", "queries"))
    return exact_neighbours(gallery, queries, task.k, task.distance).places


def search_faiss(task: Task) -> np.ndarray:
    """Return the neighbours that the exact index of FAISS finds, int64 (queries, k)."""
    import faiss

    gallery, queries = (np.array(task.load(name)) for name in ("gallery", "queries"))
    if task.distance == "cosine":
        faiss.normalize_L2(gallery)
        faiss.normalize_L2(queries)
    index = (faiss.IndexFlatIP if task.distance == "cosine" else faiss.IndexFlatL2)(task.dims)
    index.add(gallery)
    del gallery  # the index has its own copy
    return index.search(queries, task.k)[1]


SEARCHES: dict[str, Callable[[Task], np.ndarray]] = {"vidssl": search_vidssl, "faiss": search_faiss}


def search(name: str, task: Task) -> tuple[np.ndarray, dict[str, float]]:
    """Return the neighbours, and what it cost to find them."""
    SEARCHES[name](replace(task, num_gallery=100, num_queries=10, k=1))  # imports, threads
    return with_costs(partial(SEARCHES[name], task))


def compare(task: Task, names: list[str], repeats: int) -> dict[str, object]:
    """Measure every search on the same task, in turn; print a line each and what is in the middle."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    places = {}
    for _ in range(repeats):
        for name in names:
            places[name], costs = in_a_process(search, name, task)
            runs[name].append(costs)
            print(f"{task.distance:7} {name:7} {told_costs(costs)}", flush=True)
    medians = {
        name: {key: statistics.median(figures[key] for figures in several) for key in several[0]}
        for name, several in runs.items()
    }
    if repeats > 1:
        for name in names:
            print(f"{task.distance:7} {name:7} {told_costs(medians[name])}   (median)")
    described = {key: value for key, value in asdict(task).items() if key != "folder"}
    result: dict[str, object] = {"task": described, "runs": runs, "medians": medians}
    if len(names) == len(SEARCHES):
        same = [np.isin(a, b).mean() for a, b in zip(places["vidssl"], places["faiss"], strict=True)]
        result["share_of_neighbours_in_common"] = float(np.mean(same))
        result["time_of_faiss_over_ours"] = {
            key: medians["faiss"][key] / medians["vidssl"][key] for key in ("wall_seconds", "cpu_seconds")
        }
        print(f"{task.distance:7} neighbours in common: {100 * np.mean(same):.4f} %")
    return result


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Write the features, search them, and return the figures."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # read by the processes that search
    names = list(SEARCHES)
    if importlib.util.find_spec("faiss") is None:
        names.remove("faiss")
        print("FAISS is not installed (pip install faiss-cpu): measured without it.")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        write_features(Path(folder) / "gallery", options.gallery, options.dims, seed=0)
        write_features(Path(folder) / "queries", options.queries, options.dims, seed=1)
        sizes = (options.gallery, options.queries, options.dims, options.neighbours)
        tasks = [Task(folder, *sizes, distance) for distance in options.distance]
        comparisons = [compare(task, names, options.repeats) for task in tasks]
    return {"threads": options.threads, "comparisons": comparisons}


def main() -> None:
    """Read the command line, measure, print and write."""
    made = parser(__doc__)
    made.add_argument("--queries", type=int, default=2000, help="number of queries")
    made.add_argument("--gallery", type=int, default=24000, help="number of rows searched")
    made.add_argument("--dims", type=int, default=2048, help="columns of both")
    made.add_argument("--neighbours", type=int, default=50, help="how many are found for a query")
    made.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each search")
    made.add_argument("--distance", nargs="+", choices=("cosine", "l2"), default=["cosine", "l2"], help="what is near")
    made.add_argument("--repeats", type=int, default=1, help="how often each is measured, in turn")
    made.add_argument("--folder", type=Path, help="where the features are written and removed; None is temporary")
    report(made, measure)


if __name__ == "__main__":
    main()
