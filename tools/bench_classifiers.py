"""Measure the linear classifiers on frozen features, time and memory, beside those of scikit-learn.

    python tools/bench_classifiers.py --rows 240000 --dims 2048 --classes 400 --json FILE

Features are random but can be learnt: a middle for each class, noise around it, columns of falling size as networks
have them. They are memory-mapped. Each classifier runs in a process of its own with the same number of threads.
scikit-learn would take too long for all rows, so that both are compared on a subset (`--subset-rows`,
`--subset-classes`), and ours are measured on everything as well. CPU time stands beside wall time, since it says more
on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from bench_retrieval import ROWS_WRITTEN_AT_ONCE, PeakOfOwnMemory

SIGNAL = 3.5  # length of a class's middle, the noise being 1 in every direction: classes overlap, as real ones do
LARGEST_OVER_SMALLEST_COLUMN = 30.0


@dataclass(frozen=True)
class Task:
    """What is classified: float32 files of rows of `dims` columns; row i is of class ``i % num_classes``."""

    folder: str
    rows: int
    test_rows: int
    dims: int
    num_classes: int

    def load(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the memory map of "train" or "test", and the labels."""
        rows = self.rows if name == "train" else self.test_rows
        features = np.memmap(Path(self.folder) / name, np.float32, "r", shape=(rows, self.dims))
        return features, np.arange(rows) % self.num_classes


def write_features(file: Path, task: Task, rows: int, seed: int) -> None:
    """Write one split, a few thousand rows at a time."""
    middles = np.random.default_rng(0).standard_normal((task.num_classes, task.dims), np.float32)
    middles *= np.float32(SIGNAL / np.sqrt(task.dims))
    sizes = np.geomspace(1.0, 1.0 / LARGEST_OVER_SMALLEST_COLUMN, task.dims).astype(np.float32)
    rng = np.random.default_rng([1, seed])
    with file.open("wb") as stream:
        for start in range(0, rows, ROWS_WRITTEN_AT_ONCE):
            labels = np.arange(start, min(start + ROWS_WRITTEN_AT_ONCE, rows)) % task.num_classes
            block = rng.standard_normal((len(labels), task.dims), np.float32)
            block += middles[labels]
            np.multiply(block, sizes, out=block).tofile(stream)


# --- classifiers: each returns the share of test rows that it classifies rightly ---


def _ours(task: Task, measure_name: str) -> float:
    from vidssl.evaluation.classifiers.linear import LinearLayer, LogisticRegression
    from vidssl.evaluation.classifiers.svm import LinearSVM
    from vidssl.evaluation.features.video_features import VideoFeatures

    measure = {
        "svm": LinearSVM(c=1.0, normalisation="none"),
        "logistic": LogisticRegression(c=100.0, normalisation="l2"),
        "layer": LinearLayer(),
    }[measure_name]
    gallery, query = (
        VideoFeatures(features[:, None], labels, np.full(len(labels), -1), np.arange(len(labels)))
        for features, labels in (task.load("train"), task.load("test"))
    )
    return measure(gallery, query).metrics["top1"]


def _scikit_svm(task: Task) -> float:
    from sklearn.svm import LinearSVC

    train, labels = task.load("train")
    return float(LinearSVC(C=1.0, random_state=0).fit(train, labels).score(*task.load("test")))


def _scikit_logistic(task: Task) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    classifier = make_pipeline(Normalizer(), LogisticRegression(C=100.0, max_iter=1000))
    train, labels = task.load("train")
    return float(classifier.fit(train, labels).score(*task.load("test")))


CLASSIFIERS: dict[str, Callable[[Task], float]] = {
    "svm": lambda task: _ours(task, "svm"),
    "scikit-learn svm": _scikit_svm,
    "logistic": lambda task: _ours(task, "logistic"),
    "scikit-learn logistic": _scikit_logistic,
    "layer": lambda task: _ours(task, "layer"),
}


def measure(name: str, task: Task, connection: Connection) -> None:
    """Fit and score, in a process of its own; send the figures."""
    CLASSIFIERS[name](replace(task, rows=64, test_rows=8, num_classes=2))  # imports, threads
    memory = PeakOfOwnMemory()
    memory.start()
    wall, cpu = time.perf_counter(), time.process_time()
    top1 = CLASSIFIERS[name](task)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory.finished.set()
    connection.send(
        {
            "top1": top1,
            "wall_seconds": wall,
            "cpu_seconds": cpu,
            "peak_own_memory_mib": memory.mib,
            "peak_resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


def measure_apart(name: str, task: Task) -> dict[str, float]:
    """Run `measure` in a fresh process, and print a line."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(name, task, theirs))
    process.start()
    theirs.close()
    figures = ours.recv()
    process.join()
    print(
        f"{task.rows:7} x {task.dims} x {task.num_classes:3}  {name:22} top-1 {100 * figures['top1']:5.1f} %   "
        f"wall {figures['wall_seconds']:7.1f} s   CPU {figures['cpu_seconds']:7.1f} s   "
        f"own memory {figures['peak_own_memory_mib']:6.0f} MiB   resident {figures['peak_resident_mib']:6.0f} MiB",
        flush=True,
    )
    return figures


def run(task: Task, names: list[str]) -> dict[str, object]:
    """Write the features of a task and measure every classifier on them."""
    with tempfile.TemporaryDirectory(dir=task.folder) as folder:
        task = replace(task, folder=folder)
        write_features(Path(folder) / "train", task, task.rows, seed=0)
        write_features(Path(folder) / "test", task, task.test_rows, seed=1)
        figures = {name: measure_apart(name, task) for name in names}
    return {"task": {key: value for key, value in asdict(task).items() if key != "folder"}, "figures": figures}


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=24000, help="training rows, for ours")
    parser.add_argument("--dims", type=int, default=512, help="columns")
    parser.add_argument("--classes", type=int, default=40, help="classes")
    parser.add_argument("--subset-rows", type=int, default=4000, help="training rows, for both; 0 leaves this out")
    parser.add_argument("--subset-classes", type=int, default=20, help="classes of the subset")
    parser.add_argument("--test-rows", type=int, default=4000, help="rows that are classified")
    parser.add_argument("--classifiers", nargs="+", choices=list(CLASSIFIERS), default=list(CLASSIFIERS))
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each classifier")
    parser.add_argument("--folder", type=Path, help="where the features are written and removed; default: temporary")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read by the processes that classify
    folder = str(args.folder or tempfile.gettempdir())
    results = []
    if args.subset_rows:
        subset = Task(folder, args.subset_rows, args.test_rows, args.dims, args.subset_classes)
        results.append(run(subset, args.classifiers))
    if args.rows:
        whole = Task(folder, args.rows, args.test_rows, args.dims, args.classes)
        results.append(run(whole, [name for name in args.classifiers if not name.startswith("scikit-learn")]))
    if args.json:
        args.json.write_text(json.dumps({"threads": args.threads, "runs": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
