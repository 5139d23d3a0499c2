"""What to type after a catalog has been written."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidssl.catalogs.catalog import ALL, Catalog

# Evaluation needs labels and videos that were not trained on; without them a run leaves it out.
NO_EVALUATION = ("--trainer.limit_val_batches", "0", "--trainer.num_sanity_val_steps", "0")


@dataclass(frozen=True)
class _Config:
    """What one of the configurations in ``configs/`` says that a catalog may have to say otherwise."""

    file: str
    name: str
    train_split: str
    query_split: str
    batch_size: int


_UCF101 = _Config("configs/cvrl_ucf101.yaml", "ucf101", "train1", "test1", 128)
_KINETICS = _Config("configs/cvrl_kinetics400.yaml", "kinetics400", "train", "val", 1024)


def next_command(catalog: Catalog, file: str | Path) -> str:
    """Return the command that trains on a catalog, with the flags without which its configuration would not do.

    Args:
        catalog: the videos.
        file: the catalog's file, as it should appear in the command.
    """
    config = _KINETICS if catalog.source.get("kind") == "kinetics" else _UCF101
    name = Path(file).stem
    words = ["vidssl", "fit", "--config", config.file, "--data.catalog", str(file)]
    training = next((split for split in catalog.split_names if _is_training(catalog, split)), ALL)
    if training != config.train_split:
        words += ["--data.train_split", training]
    if name != config.name:
        words += ["--data.name", name, "--run_dir", f"runs/cvrl_{name}"]
    num_videos = len(catalog.split(training))
    if num_videos < config.batch_size:
        words += ["--data.batch_size", str(num_videos)]
    query = _query_split(catalog, training)
    if query is None:
        words += NO_EVALUATION
    elif (training, query) != (config.train_split, config.query_split):
        words += ["--data.evaluation.gallery_split", training, "--data.evaluation.query_split", query]
    return shlex.join(words)


def split_command(catalog: Catalog, file: str | Path) -> str | None:
    """Return the command that draws test videos, or None if there are splits already or no classes to recognise.

    Args:
        catalog: the videos.
        file: the catalog's file, as it should appear in the command.
    """
    if catalog.split_names or _num_classes(catalog, ALL) < 2:
        return None
    unit = ["--by", "group"] if len(catalog.group_names) > 1 else []
    output = Path(file).with_name(f"{Path(file).stem}_split.catalog")
    return shlex.join(["vidssl", "split", str(file), *unit, "--test-share", "0.3", "--output", str(output)])


def _is_training(catalog: Catalog, split: str) -> bool:
    return split.startswith("train") and len(catalog.split(split)) > 0


def _query_split(catalog: Catalog, training: str) -> str | None:
    """The split to evaluate on, or None if there is none, or if the training videos' labels teach nothing."""
    number = re.sub(r"^train(ing)?", "", training)
    wanted = [f"{part}{number}" for part in ("test", "val", "validation")]
    usable = [split for split in wanted if split in catalog.split_names and _num_classes(catalog, split) > 0]
    return usable[0] if training != ALL and usable and _num_classes(catalog, training) > 1 else None


def _num_classes(catalog: Catalog, split: str) -> int:
    labels = catalog.labels[catalog.split(split)]
    return len(np.unique(labels[labels >= 0]))
