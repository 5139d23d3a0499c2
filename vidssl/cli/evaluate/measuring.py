"""From networks and tasks to records."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidssl.cli.evaluate.arguments import settings_of, trainer_settings
from vidssl.cli.evaluate.subjects import Subject
from vidssl.cli.evaluate.summary import Result
from vidssl.cli.evaluate.tasks import Task, WantedSplits, check_splits, make_task
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.settings import EvaluationClips
from vidssl.errors import VidsslError
from vidssl.evaluation.features.extraction import FeatureRequest, extract_all
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.contract import Protocol
from vidssl.evaluation.protocols.leakage import check_unseen, seen_in_training
from vidssl.evaluation.protocols.records import RECORDS_FILE, Measured, append_record

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

    def requests(self) -> list[FeatureRequest]:
        """Return the features that the tasks need: of the gallery and of the queries of each task."""
        return [request for task in self.tasks for request in (_gallery_request(task), _query_request(task))]


def _gallery_request(task: Task) -> FeatureRequest:
    protocol = task.protocol
    clips = task.clips if protocol.training_clips is None else protocol.training_clips.over(task.clips)
    return FeatureRequest(task.pair.gallery, clips, protocol.gallery_views, protocol.training_views)


def _query_request(task: Task) -> FeatureRequest:
    return FeatureRequest(task.pair.query, task.clips, task.protocol.query_views)


def plan_work(subject: Subject, protocols: Sequence[Protocol], options: argparse.Namespace) -> Work:
    """Decide what is measured of a network, and refuse what cannot be before anything is encoded.

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
    told = subject.config.data
    of_run = told.get("catalog")
    catalog = options.data or of_run
    if catalog is None:
        raise VidsslError(f"{subject.name} lies in no run that says which videos it is of: --data CATALOG.")
    same = of_run is not None and Path(catalog).absolute() == Path(of_run).absolute()
    root = options.root or (told.get("root") if same else None)
    name = options.name or (told.get("name") if same else None)
    return VideoDataModule(
        str(catalog),
        root=None if root is None else str(root),
        name=name,
        train_split="all",
        loading=subject.config.loading
        if options.num_workers is None
        else replace(subject.config.loading, num_workers=options.num_workers),
    )


def extract(work: Work, options: argparse.Namespace, progress: bool) -> list[VideoFeatures] | None:
    """Compute the features that the work needs; None on all processes but the first.

    Raises:
        VidsslError: a video that cannot be read, and whatever else `extract_all` has to say.
    """
    folder = options.features or work.subject.folder / FEATURES_FOLDER
    return extract_all(work.subject.loaded, work.data, work.requests(), trainer_settings(options, progress), folder)


def measure(work: Work, features: Sequence[VideoFeatures]) -> Iterator[tuple[Result, Measured]]:
    """Carry out the tasks one after the other, and keep the record of each.

    Args:
        work: what is to be measured.
        features: those that it asked for, in that order.

    Raises:
        VidsslError: what a measure has to say, with the names of network and protocol before it.
    """
    subject, catalog = work.subject, work.data.catalog
    for task, gallery, query in zip(work.tasks, features[0::2], features[1::2], strict=True):
        try:
            outcome = task.protocol.run(gallery, query)
        except VidsslError as error:
            raise VidsslError(f"{subject.name}, {task.named.name} on {task.pair}: {error}") from error
        measured = Measured(task.protocol, work.data.name, catalog, task.clips, gallery, query, outcome, task.named)
        seen = seen_in_training(subject.loaded.trained_on, catalog, query.index)
        provenance = subject.loaded.provenance
        record = measured.record(
            epoch=provenance["epoch"], checkpoint=provenance, seen_in_training=None if seen is None else len(seen)
        )
        append_record(subject.folder / RECORDS_FILE, record)
        yield Result(subject.name, subject.method, task.pair.query, record), measured
