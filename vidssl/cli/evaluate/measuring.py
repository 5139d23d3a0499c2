"""From networks and tasks to records."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vidssl.cli.evaluate.announcing import Watch, amount
from vidssl.cli.evaluate.arguments import settings_of, trainer_settings
from vidssl.cli.evaluate.subjects import Subject
from vidssl.cli.evaluate.summary import Result
from vidssl.cli.evaluate.tasks import Task, WantedSplits, check_splits, make_task
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.settings import EvaluationClips
from vidssl.errors import VidsslError
from vidssl.evaluation.device import CPU, measuring_on
from vidssl.evaluation.features.extraction import FeatureRequest, extract_all
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.contract import Protocol
from vidssl.evaluation.protocols.leakage import check_unseen, seen_in_training
from vidssl.evaluation.protocols.records import RECORDS_FILE, Measured, append_record
from vidssl.jobs.progress import show_progress
from vidssl.jobs.threads import not_starved

FEATURES_FOLDER = "features"


@dataclass(frozen=True)
class Work:
    """What is to be measured of a network.

    Attributes:
        subject: the network.
        data: the videos, with the loaders that its run had.
        tasks: the measurements.
    """

    subject: Subject
    data: VideoDataModule
    tasks: list[Task]


@dataclass(frozen=True)
class Step:
    """One measurement of one network.

    Attributes:
        work: what is to be measured of the network.
        task: the measurement.
        place: among all, in the order of the command line.
    """

    work: Work
    task: Task
    place: int

    def requests(self) -> list[FeatureRequest]:
        """Return the features that are needed: of the gallery and of the queries."""
        return [_gallery_request(self.task), _query_request(self.task)]


def _gallery_request(task: Task) -> FeatureRequest:
    protocol = task.protocol
    clips = task.clips if protocol.training_clips is None else protocol.training_clips.over(task.clips)
    keep = protocol.gallery_views
    return FeatureRequest(task.pair.gallery, clips, keep, protocol.training_views, protocol.changes_of(keep))


def _query_request(task: Task) -> FeatureRequest:
    keep = task.protocol.query_views
    return FeatureRequest(task.pair.query, task.clips, keep, time_changes=task.protocol.changes_of(keep))


def plan_work(subject: Subject, protocols: Sequence[Protocol], options: argparse.Namespace) -> Work:
    """Decide what is measured of a network, and refuse what cannot be measured before anything is encoded.

    Raises:
        VidsslError: splits that are missing or do not suit a protocol, query videos that were trained on, settings that
            do not fit.
    """
    data = data_module(subject, options)
    wanted = WantedSplits(options.gallery_split, options.query_split, options.splits)
    base, settings = subject.config.clips, settings_of(options)
    tasks = []
    for protocol in protocols:
        for pair in wanted.pairs(data.catalog, base, protocol.leaves_out_groups):
            check_splits(protocol, data.catalog, pair)
            tasks.append(make_task(protocol, settings, base or EvaluationClips(), pair, options.batch_size))
    if not options.allow_seen_videos:
        for split in dict.fromkeys(task.pair.query for task in tasks):
            rows = data.evaluation_rows(split)
            check_unseen(subject.loaded.trained_on, data.catalog, rows, subject.name, "say --allow-seen-videos")
    return Work(subject, data, tasks)


def data_module(subject: Subject, options: argparse.Namespace) -> VideoDataModule:
    """Open the catalog, by default that of the network's run.

    Raises:
        VidsslError: there is no catalog, or no folder of videos.
    """
    facts = subject.config.data
    of_run = facts.get("catalog")
    catalog = options.data or of_run
    if catalog is None:
        raise VidsslError(f"{subject.name} is not in the folder of a run, so name its videos: --data CATALOG.")
    same = of_run is not None and Path(catalog).absolute() == Path(of_run).absolute()
    root = options.root or (facts.get("root") if same else None)
    name = options.name or (facts.get("name") if same else None)
    return VideoDataModule(
        str(catalog),
        root=None if root is None else str(root),
        name=name,
        train_split="all",
        loading=subject.config.loading
        if options.num_workers is None
        else replace(subject.config.loading, num_workers=options.num_workers),
    )


def steps_of(works: Sequence[Work]) -> list[Step]:
    """Return all measurements, the cheapest first: those with the fewest pixels for the network."""
    steps = [Step(work, task, place) for place, (work, task) in enumerate(_pairs(works))]
    return sorted(steps, key=lambda step: sum(amount(step, request).pixels for request in step.requests()))


def _pairs(works: Sequence[Work]) -> Iterator[tuple[Work, Task]]:
    for work in works:
        for task in work.tasks:
            yield work, task


def extract(step: Step, options: argparse.Namespace) -> list[VideoFeatures] | None:
    """Compute the features of the gallery and of the queries; None on all processes but the first.

    Raises:
        VidsslError: a video that cannot be read, and whatever else `extract_all` has to say.
    """
    subject, data, requests = step.work.subject, step.work.data, step.requests()
    folder = options.features or subject.folder / FEATURES_FOLDER
    total = sum(amount(step, request).videos for request in requests)
    with show_progress(total, "encoding", "encoded") as tell:
        settings = {**trainer_settings(options), "callbacks": [Watch(tell, total)]}
        return extract_all(subject.loaded, data, requests, settings, folder)


def measure(step: Step, features: Sequence[VideoFeatures], options: argparse.Namespace) -> tuple[Result, Measured]:
    """Carry out a measurement and keep its record.

    Args:
        step: what is to be measured.
        features: of the gallery and of the queries.
        options: of the command line, which say where to compute.

    Raises:
        VidsslError: what a measure has to say, with the names of network and protocol before it.
    """
    subject, catalog, task = step.work.subject, step.work.data.catalog, step.task
    gallery, query = features
    try:
        with measuring_on(_device_of(options)), not_starved():
            outcome = task.protocol.run(gallery, query)
    except VidsslError as error:
        raise VidsslError(f"{subject.name}, {task.named.name} on {task.pair}: {error}") from error
    measured = Measured(task.protocol, step.work.data.name, catalog, task.clips, gallery, query, outcome, task.named)
    seen = seen_in_training(subject.loaded.trained_on, catalog, query.index)
    provenance = subject.loaded.provenance
    record = measured.record(
        epoch=provenance["epoch"], checkpoint=provenance, seen_in_training=None if seen is None else len(seen)
    )
    append_record(subject.folder / RECORDS_FILE, record)
    return Result(subject.name, subject.method, task.pair.query, record), measured


def _device_of(options: argparse.Namespace) -> torch.device:
    is_gpu = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if is_gpu else CPU
