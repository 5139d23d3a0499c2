"""``vidssl show --checkpoint``: what networks look at, how much of it moves, and where they put the videos."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidssl.cli import VerbParser
from vidssl.errors import VidsslError

if TYPE_CHECKING:
    import numpy as np

    from vidssl.cli.evaluate.subjects import Subject
    from vidssl.evaluation.attention.clips import LookedAt
    from vidssl.evaluation.attention.overlap import Overlap
    from vidssl.reporting.attention_pictures import AttentionPage
    from vidssl.reporting.show_pages import NetworkFindings

USAGE = """vidssl show --checkpoint FILE [FILE ...] [options]

Compare trained networks on the same videos, in one page (attention.html):
  attention              Grad-CAM over a few clips, and their motion: a sheet and a moving picture per video
  attention on motion    the share of attention on the quarter of the cells that move most (evenly spread: 25 %%)
  map of the features    the features of all videos on a plane, coloured by class

  vidssl show --checkpoint runs/cvrl/checkpoints/last.ckpt runs/mcl/checkpoints/last.ckpt --untrained
  vidssl show --checkpoint runs/*_weizmann*/checkpoints/last.ckpt --data data/weizmann.catalog --projection tsne

Runs that differ only in their seed are one method. Numbers are mean and spread over them, pictures the first run."""

LEAST_CLIPS = 3  # a clip is compared with the mean of the others of its video
ATTENTION_FILE, MAP_FILE, PAGE_FILE = "attention.json", "features_{}.png", "attention.html"


def networks_parser() -> argparse.ArgumentParser:
    """Return the parser of the verb with networks; --help needs no torch."""
    from vidssl.cli.evaluate.arguments import add_network_arguments

    parser = VerbParser(prog="vidssl show", usage=USAGE, allow_abbrev=False)
    add_network_arguments(parser.add_argument_group("the networks").add_argument)
    add = parser.add_argument_group("the videos").add_argument
    add("--data", type=Path, metavar="CATALOG", help="catalog of vidssl prepare (that of the first checkpoint's run)")
    add("--root", type=Path, metavar="FOLDER", help="folder of the videos (as recorded in the catalog)")
    add("--split", metavar="NAME", help="split of the videos (the queries of the run's evaluation, else all)")
    add("--measure", type=int, default=200, metavar="N", help="number of videos measured, evenly spaced (%(default)s)")
    add("--videos", type=int, default=4, metavar="N", help="number of videos to draw (%(default)s)")
    add("--num-workers", type=int, metavar="N", help="loader workers (that of the run, or 2)")
    add = parser.add_argument_group("the pictures").add_argument
    add("--motion", default="codec", metavar="NAME", help="estimator of the motion: codec, dis, ... (%(default)s)")
    add("--projection", default="pca", metavar="NAME", help="map of the features: pca, tsne, umap (%(default)s)")
    add("--output", type=Path, default=Path("show"), metavar="FOLDER", help="folder of the pictures (%(default)s)")
    return parser


@dataclass(frozen=True)
class _Seen:
    """What came out for one network."""

    subject: Subject
    features: np.ndarray  # (N, V, D)
    attention: np.ndarray  # (N, V, T', H', W')
    overlap: Overlap

    @property
    def of_videos(self) -> np.ndarray:
        """Features of the videos: means over their clips, float (N, D)."""
        return self.features.mean(axis=1)

    @property
    def rank(self) -> float:
        """Effective rank of the features of the videos."""
        from vidssl.reporting.feature_map import feature_rank

        return feature_rank(self.of_videos)


def show_networks(args: Sequence[str]) -> int:
    """Run the verb; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    options = networks_parser().parse_args(args)
    options.name = None
    _check(options)
    from vidssl.cli.evaluate.subjects import load_subjects
    from vidssl.reporting.feature_map import check_projection
    from vidssl.reporting.show_pages import NetworkFindings
    from vidssl.video.decoding import DecodingError

    check_projection(options.projection)
    subjects = load_subjects(options)
    looked_at = _looked_at(subjects, options)
    try:
        seen = [_look(subject, looked_at) for subject in subjects]
    except DecodingError as error:
        raise VidsslError(f"A video cannot be read, and none is left out: {error}") from error
    methods: dict[str, list[_Seen]] = {}
    for one in seen:
        methods.setdefault(one.subject.method, []).append(one)
    options.output.mkdir(parents=True, exist_ok=True)
    clips = _clips(methods, looked_at, options)
    findings = [
        NetworkFindings(method, [one.overlap for one in runs], runs[0].of_videos, [one.rank for one in runs])
        for method, runs in methods.items()
    ]
    files = [*_draw_attention(clips, looked_at, options), _draw_map(findings, looked_at, options)]
    files += [_write_numbers(methods, looked_at, options), _write_page(findings, clips, looked_at, options)]
    _report(findings, _measured(looked_at), files)
    return 0


def _check(options: argparse.Namespace) -> None:
    if not options.checkpoint and options.backbone is None:
        raise VidsslError("Say which networks: --checkpoint FILE, or --backbone NAME for an untrained one.")
    if not options.checkpoint and options.data is None:
        raise VidsslError("Without a checkpoint there is no run to take the videos from: --data CATALOG.")
    if options.measure < 3 or options.videos < 0:
        raise VidsslError("--measure must be at least 3, --videos at least 0.")


def _looked_at(subjects: Sequence[Subject], options: argparse.Namespace) -> LookedAt:
    """The videos and clips of the first run; clips of another size would show the networks different things."""
    import numpy as np

    from vidssl.cli.evaluate.measuring import data_module
    from vidssl.data.settings import EvaluationClips
    from vidssl.evaluation.attention.clips import LookedAt
    from vidssl.motion.settings import MotionSettings

    first = subjects[0].config
    base = first.clips or EvaluationClips()
    others = [subject.name for subject in subjects if subject.config.clips not in (None, first.clips)]
    if others:
        print(f"vidssl: note: {', '.join(others)} evaluated other clips; all see those of {subjects[0].name} here.")
    data = data_module(subjects[0], options)
    split = options.split or (base.query_split if first.clips is not None else "all")
    rows = np.sort(data.catalog.split(split))
    if len(rows) < 3:
        raise VidsslError(f"--split {split}: it has {len(rows)} videos; attention is compared over at least 3.")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(options.measure, len(rows))).round().astype(int))]
    clips = replace(base, num_clips=LEAST_CLIPS, num_crops=1)
    return LookedAt(data, rows, clips, MotionSettings(estimator=options.motion))


def _look(subject: Subject, looked_at: LookedAt) -> _Seen:
    import torch

    encoder = subject.loaded.encoder.to("cuda" if torch.cuda.is_available() else "cpu")
    features = looked_at.features(encoder)
    attention = looked_at.attention(encoder, features)
    encoder.to("cpu")
    return _Seen(subject, features, attention, looked_at.overlap(attention))


def _clips(
    methods: dict[str, list[_Seen]], looked_at: LookedAt, options: argparse.Namespace
) -> dict[int, AttentionPage]:
    """What is drawn of the videos, by their rows: the clips of a few, evenly spaced."""
    from vidssl.reporting.attention_pictures import attention_page

    attention = {method: runs[0].attention for method, runs in methods.items()}
    count, total = min(options.videos, len(looked_at.rows)), len(looked_at.rows)
    places = [(2 * number + 1) * total // (2 * count) for number in range(count)]
    return {int(looked_at.rows[place]): attention_page(looked_at, place, attention) for place in places}


def _draw_attention(clips: dict[int, AttentionPage], looked_at: LookedAt, options: argparse.Namespace) -> list[Path]:
    from vidssl.reporting.attention_pictures import attention_animation, attention_sheet

    files = []
    for row, page in clips.items():
        stem = options.output / f"attention_{row:06d}_{Path(looked_at.data.catalog.path(row)).stem}"
        files += [attention_sheet(page, stem.with_suffix(".png")), attention_animation(page, stem.with_suffix(".webp"))]
    return files


def _labels(looked_at: LookedAt) -> tuple[np.ndarray, list[str]]:
    """Class numbers of the videos, and the names of the classes; -1, no label, is the last."""
    catalog = looked_at.data.catalog
    return catalog.labels[looked_at.rows], [*catalog.classes, "no label"]


def _draw_map(findings: Sequence[NetworkFindings], looked_at: LookedAt, options: argparse.Namespace) -> Path:
    from vidssl.reporting.feature_map import feature_map

    file = options.output / MAP_FILE.format(options.projection)
    return feature_map({one.method: one.features for one in findings}, *_labels(looked_at), options.projection, file)


def _write_page(
    findings: Sequence[NetworkFindings],
    clips: dict[int, AttentionPage],
    looked_at: LookedAt,
    options: argparse.Namespace,
) -> Path:
    from vidssl.reporting.show_pages import networks_page
    from vidssl.storage.files import replacing

    labels, classes = _labels(looked_at)
    page = networks_page(
        findings,
        list(clips.values()),
        labels,
        classes,
        projection=options.projection,
        lead=_measured(looked_at),
    )
    file = options.output / PAGE_FILE
    with replacing(file) as passing:
        passing.write_text(page, encoding="utf-8")
    return file


def _write_numbers(methods: dict[str, list[_Seen]], looked_at: LookedAt, options: argparse.Namespace) -> Path:
    from vidssl.storage.files import replacing

    file = options.output / ATTENTION_FILE
    with replacing(file) as passing:
        passing.write_text(json.dumps(_document(methods, looked_at), indent=2) + "\n")
    return file


def _measured(looked_at: LookedAt) -> str:
    """What was measured, in a sentence."""
    clips, settings = looked_at.clips, looked_at.motion_settings
    return (
        f"Attention (Grad-CAM towards the video's other clips) and motion ({settings.estimator}) of "
        f"{len(looked_at.rows)} videos x {clips.num_clips} clips of {clips.num_frames} frames at stride "
        f"{clips.stride}, {clips.crop_size} pixels."
    )


def _report(findings: Sequence[NetworkFindings], measured: str, files: Sequence[Path]) -> None:
    from rich.console import Console

    from vidssl.reporting.evaluation_tables import print_table
    from vidssl.reporting.show_pages.networks import TITLES

    console = Console(highlight=False)
    console.print(measured, soft_wrap=True)
    values = zip(*(one.values for one in findings), strict=True)
    rows = [[title, *row] for title, row in zip(TITLES, values, strict=True)]
    print_table([one.name for one in findings], rows, console, corner="")
    for path in files:
        console.print(f"  {path}", soft_wrap=True)


def _document(methods: dict[str, list[_Seen]], looked_at: LookedAt) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "data": {"catalog_digest": looked_at.data.catalog.digest, "rows": [int(row) for row in looked_at.rows]},
        "clips": asdict(looked_at.clips),
        "motion": asdict(looked_at.motion_settings),
        "networks": [
            {"name": one.subject.name, "method": method, "checkpoint": one.subject.loaded.provenance}
            | one.overlap.plain()
            | {"effective_rank": one.rank}
            for method, runs in methods.items()
            for one in runs
        ],
    }
