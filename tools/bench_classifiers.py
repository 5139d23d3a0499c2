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
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmark import in_a_process, parser, report, told_costs, with_costs, write_rows

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
    """Write one split."""
    middles = np.random.default_rng(0).standard_normal((task.num_classes, task.dims), np.float32)
    middles *= np.float32(SIGNAL / np.sqrt(task.dims))
    sizes = np.geomspace(1.0, 1.0 / LARGEST_OVER_SMALLEST_COLUMN, task.dims).astype(np.float32)
    rng = np.random.default_rng([1, seed])

    def draw(start: int, end: int) -> np.ndarray:
        block = rng.standard_normal((end - start, task.dims), np.float32)
        block += middles[np.arange(start, end) % task.num_classes]
        return np.multiply(block, sizes, out=block)

    write_rows(file, rows, draw)


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


def classify(name: str, task: Task) -> dict[str, float]:
    """Fit and score; return the accuracy, and what it cost."""
    CLASSIFIERS[name](replace(task, rows=64, test_rows=8, num_classes=2))  # imports, threads
    top1, costs = with_costs(partial(CLASSIFIERS[name], task))
    return {"top1": top1, **costs}


def compare(task: Task, names: list[str]) -> dict[str, object]:
    """Write the features of a task, measure every classifier on them in a process of its own, print a line each."""
    figures = {}
    with tempfile.TemporaryDirectory(dir=task.folder) as folder:
        task = replace(task, folder=folder)
        write_features(Path(folder) / "train", task, task.rows, seed=0)
        write_features(Path(folder) / "test", task, task.test_rows, seed=1)
        for name in names:
            figures[name] = in_a_process(classify, name, task)
            told = f"{task.rows:7} x {task.dims} x {task.num_classes:3}  {name:22}"
            print(f"{told} top-1 {100 * figures[name]['top1']:5.1f} %   {told_costs(figures[name])}", flush=True)
    return {"task": {key: value for key, value in asdict(task).items() if key != "folder"}, "figures": figures}


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Measure on the subset and on everything, and return the figures."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # read by the processes that classify
    folder = str(options.folder or tempfile.gettempdir())
    results = []
    if options.subset_rows:
        subset = Task(folder, options.subset_rows, options.test_rows, options.dims, options.subset_classes)
        results.append(compare(subset, options.classifiers))
    if options.rows:
        whole = Task(folder, options.rows, options.test_rows, options.dims, options.classes)
        results.append(compare(whole, [name for name in options.classifiers if not name.startswith("scikit-learn")]))
    return {"threads": options.threads, "runs": results}


def main() -> None:
    """Parse the command line, measure, print and write."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, default=24000, help="training rows, for ours")
    made.add_argument("--dims", type=int, default=512, help="columns")
    made.add_argument("--classes", type=int, default=40, help="classes")
    made.add_argument("--subset-rows", type=int, default=4000, help="training rows, for both; 0 leaves this out")
    made.add_argument("--subset-classes", type=int, default=20, help="classes of the subset")
    made.add_argument("--test-rows", type=int, default=4000, help="rows that are classified")
    made.add_argument("--classifiers", nargs="+", choices=list(CLASSIFIERS), default=list(CLASSIFIERS), help="which")
    made.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each classifier")
    made.add_argument("--folder", type=Path, help="where the features are written and removed; None is temporary")
    report(made, measure)


if __name__ == "__main__":
    main()
