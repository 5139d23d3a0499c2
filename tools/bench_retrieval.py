"""Measure exact search of nearest neighbours, time and memory, beside the exact index of FAISS.

    python tools/bench_retrieval.py --queries 20000 --gallery 240000 --dims 2048 --json FILE

Each search runs in a process of its own, on the same memory-mapped random features and with the same number of
threads. FAISS (`pip install faiss-cpu`) is left out, with a message, where it is not installed. CPU time stands beside
wall time, since it says more on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

SECONDS_BETWEEN_LOOKS = 0.02
ROWS_WRITTEN_AT_ONCE = 8192


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
    with file.open("wb") as stream:
        for start in range(0, rows, ROWS_WRITTEN_AT_ONCE):
            block = rng.standard_normal((min(ROWS_WRITTEN_AT_ONCE, rows - start), dims), np.float32)
            np.maximum(block, 0, out=block).tofile(stream)


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


class PeakOfOwnMemory(threading.Thread):
    """Looks at this process's memory again and again, without pages of mapped files, which are only borrowed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib = 0.0
        self.finished = threading.Event()

    def run(self) -> None:
        """Look until it is told to stop."""
        while not self.finished.wait(SECONDS_BETWEEN_LOOKS):
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.mib = max(self.mib, int(fields["RssAnon"].split()[0]) / 1024)


def measure(name: str, task: Task, connection: Connection) -> None:
    """Search, in a process of its own; send the figures and the neighbours."""
    SEARCHES[name](Task(**{**asdict(task), "num_gallery": 100, "num_queries": 10, "k": 1}))  # imports, threads
    memory = PeakOfOwnMemory()
    memory.start()
    wall, cpu = time.perf_counter(), time.process_time()
    places = SEARCHES[name](task)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory.finished.set()
    figures = {
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_own_memory_mib": memory.mib,
        "peak_resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    connection.send((figures, places))


def measure_apart(name: str, task: Task) -> tuple[dict[str, float], np.ndarray]:
    """Run `measure` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(name, task, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def compare(task: Task, names: list[str], repeats: int) -> dict[str, object]:
    """Measure every search on the same task, in turn; print a line each and what is in the middle."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    places = {}
    for _ in range(repeats):
        for name in names:
            figures, places[name] = measure_apart(name, task)
            runs[name].append(figures)
            print(f"{task.distance:7} {name:7} {line(figures)}", flush=True)
    medians = {
        name: {key: statistics.median(figures[key] for figures in several) for key in several[0]}
        for name, several in runs.items()
    }
    if repeats > 1:
        for name in names:
            print(f"{task.distance:7} {name:7} {line(medians[name])}   (median)")
    result: dict[str, object] = {"task": asdict(task), "runs": runs, "medians": medians}
    if len(names) == len(SEARCHES):
        same = [np.isin(a, b).mean() for a, b in zip(places["vidssl"], places["faiss"], strict=True)]
        result["share_of_neighbours_in_common"] = float(np.mean(same))
        result["time_of_faiss_over_ours"] = {
            key: medians["faiss"][key] / medians["vidssl"][key] for key in ("wall_seconds", "cpu_seconds")
        }
        print(f"{task.distance:7} neighbours in common: {100 * np.mean(same):.4f} %")
    return result


def line(figures: dict[str, float]) -> str:
    """Return figures as text."""
    return (
        f"wall {figures['wall_seconds']:7.1f} s   CPU {figures['cpu_seconds']:7.1f} s   "
        f"own memory {figures['peak_own_memory_mib']:6.0f} MiB   resident {figures['peak_resident_mib']:6.0f} MiB"
    )


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=2000, help="number of queries")
    parser.add_argument("--gallery", type=int, default=24000, help="number of rows searched")
    parser.add_argument("--dims", type=int, default=2048, help="columns of both")
    parser.add_argument("--neighbours", type=int, default=50, help="how many are found for a query")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each search")
    parser.add_argument("--distance", nargs="+", choices=("cosine", "l2"), default=["cosine", "l2"])
    parser.add_argument("--repeats", type=int, default=1, help="how often each is measured, in turn")
    parser.add_argument("--folder", type=Path, help="where the features are written and removed; default: temporary")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read by the processes that search
    names = list(SEARCHES)
    if importlib.util.find_spec("faiss") is None:
        names.remove("faiss")
        print("FAISS is not installed (pip install faiss-cpu): measured without it.")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        write_features(Path(folder) / "gallery", args.gallery, args.dims, seed=0)
        write_features(Path(folder) / "queries", args.queries, args.dims, seed=1)
        tasks = [
            Task(folder, args.gallery, args.queries, args.dims, args.neighbours, distance) for distance in args.distance
        ]
        results = [compare(task, names, args.repeats) for task in tasks]
    if args.json:
        for result in results:
            del result["task"]["folder"]
        args.json.write_text(json.dumps({"threads": args.threads, "comparisons": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
