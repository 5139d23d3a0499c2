"""The verb ``vidssl check``: the contract of an objective, or whether a file is as it was written."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vidssl.cli import VerbParser
from vidssl.errors import VidsslError

_USAGE = """vidssl check catalog FILE [--root DIR]
       vidssl check motion FILE
       vidssl check objective NAME [--config FILE ...] [--plugin FILE] [--model.KEY VALUE ...]

catalog     compare every column with its checksum, and every video with its size and contents when it was prepared
motion      compare every column of stored motion with its checksum
objective   train for a few steps on random clips, on the CPU, and check the contract of a method:

  class       it can be built from a configuration
  loss        the loss is a finite scalar
  gradients   they reach every trainable parameter; parameters without a gradient are named
  state       the state dict holds everything that a step depends on
  training    two short epochs with evaluation
  resuming    a run that is killed in the middle of an epoch and continued ends with the same weights, bit by bit
  processes   two processes with half of the videos each have the loss and gradients of one, if the class declares so
  data        with --config: data.sampler and data.motion provide what the method needs

  vidssl check catalog data/ucf101.catalog
  vidssl check objective CVRL
  vidssl check objective MyMethod --plugin my_method.py
  vidssl check objective MyMethod --config my_method.yaml --model.temperature 0.2 --size 32

With --config, backbone and clips are those of the file. Without it, clips are small, and the backbone is the default of
the method, or else the backbone named small."""


def run_check(args: Sequence[str]) -> int:
    """Run ``vidssl check``; return the exit code, 1 if a check failed.

    Raises:
        VidsslError: an objective that cannot be used, or a mistake in a file or a flag.
    """
    parser = VerbParser(prog="vidssl check", usage=_USAGE, allow_abbrev=False)
    add = parser.add_argument
    add("kind", choices=["objective", *_FILES], help="what to check")
    add("name", metavar="NAME", help="registered name (vidssl list objectives), or a file")
    add("--root", metavar="DIR", help="folder of the catalog's videos (the recorded one)")
    add("-c", "--config", action="append", default=[], metavar="FILE", help="configuration that trains the objective")
    add("--videos", type=int, metavar="N", help="videos per step, an even number (4)")
    add("--frames", type=int, metavar="N", help="frames of a clip (those of the configuration, or 4)")
    add("--size", type=int, metavar="PIXELS", help="height and width of a clip (those of the configuration, or 32)")
    options, overrides = parser.parse_known_args(args)
    if options.kind in _FILES:
        if overrides:
            raise VidsslError(f"vidssl check {options.kind} takes a file, not {overrides[0]!r}.")
        return _FILES[options.kind](options)
    return _check(options, overrides)


# --- files ---


def _check_catalog(options: argparse.Namespace) -> int:
    from vidssl.catalogs.catalog import Catalog
    from vidssl.catalogs.checking import changed_videos
    from vidssl.catalogs.copies import copies_told
    from vidssl.catalogs.layout import printable
    from vidssl.jobs.progress import show_progress

    catalog = Catalog.open(options.name, options.root, verify="whole")
    print(printable(f"{catalog.file}: {len(catalog):,} videos in {catalog.root}\n  columns as they were written"))
    if not catalog.knows_files:
        print("  how the videos' files were is not known: version 0.1 made this catalog; prepare it again")
    with show_progress(len(catalog), doing="looking at", done="looked at") as watch:
        changed = changed_videos(catalog, watch)
    whole = len(catalog) - len(changed)
    print(f"  {whole:,} of {len(catalog):,} videos are {'as they were prepared' if catalog.knows_files else 'there'}")
    for line in [*(f"{path}: {difference}" for path, difference in changed.items()), *copies_told(catalog)]:
        print(printable(f"    {line}"))
    return 1 if changed else 0


def _check_motion(options: argparse.Namespace) -> int:
    from vidssl.motion.store import MotionStore

    store = MotionStore.open(options.name, verify="whole")
    print(f"{store.file}: the motion of {len(store):,} videos, columns as they were written")
    return 0


_FILES = {"catalog": _check_catalog, "motion": _check_motion}


# --- an objective ---


def _check(options: argparse.Namespace, overrides: list[str]) -> int:
    from vidssl.cli.objective_names import class_path_of, load_plugins
    from vidssl.objectives.contract_checks import CHECKS, Contract

    config_flags = [f"--config={file}" for file in options.config]
    load_plugins(config_flags)
    class_path = class_path_of(options.name)
    model_flags, data_flags = _split(overrides)
    settings = _settings(class_path, config_flags, model_flags)
    data = _data(config_flags, data_flags) if config_flags else None
    clips = _clip_shape(options, data)
    contract = Contract(options.name, settings, clips)
    print(
        f"objective {options.name} ({class_path}), backbone {settings['backbone']['name']}: random clips of "
        f"{clips.num_frames} x {clips.size} x {clips.size}, {clips.num_videos} videos per step",
        flush=True,
    )
    results = []
    for check in CHECKS:
        results.append(contract.run(check))
        print(f"  {results[-1]}", flush=True)
        if check == "class" and results[-1].outcome == "failed":
            print("  the other checks need an objective that can be built")
            return 1
    if data is not None:
        results.append(_check_data(contract, data))
        print(f"  {results[-1]}")
    failed = sum(result.outcome == "failed" for result in results)
    print(f"{failed} of {len(results)} checks failed." if failed else "No check failed.")
    return 1 if failed else 0


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the command line into flags of the model and flags of the data, each with its values."""
    groups: dict[str, list[str]] = {"--model": [], "--data": []}
    current: list[str] | None = None
    for word in overrides:
        if word.startswith("--"):
            current = groups.get(word.partition("=")[0].split(".")[0])
        if current is None or word.partition("=")[0] == "--model":
            raise VidsslError(
                f"vidssl check does not take {word!r}: settings are --model.KEY VALUE and --data.KEY VALUE."
            )
        current.append(word)
    return groups["--model"], groups["--data"]


def _settings(class_path: str, config_flags: Sequence[str], model_flags: Sequence[str]) -> dict[str, Any]:
    """Return what the objective is built with, as plain values."""
    from vidssl.cli.config_errors import worded
    from vidssl.cli.data_group import partial_parser
    from vidssl.cli.objective_names import prepare_arguments
    from vidssl.objectives.base import BackboneSpec, Objective
    from vidssl.objectives.contract_case import SMALL_BACKBONE

    parser = partial_parser("check", reads=("model",))
    parser.add_subclass_arguments(Objective, "model")
    args = [*prepare_arguments(config_flags), f"--model={class_path}", *model_flags]
    with worded(parser, "check", args):
        settings = parser.parse_args(args).model.init_args.as_dict()
    if not config_flags and settings["backbone"] == asdict(BackboneSpec()):  # nobody chose it: a small one is faster
        settings["backbone"] |= SMALL_BACKBONE
    return settings


def _data(config_flags: Sequence[str], data_flags: Sequence[str]) -> Any:
    from vidssl.cli.data_group import parse_data

    return parse_data("check", [*config_flags, *data_flags]).data


def _clip_shape(options: argparse.Namespace, data: Any) -> Any:
    from vidssl.objectives.contract_case import ClipShape

    asked = {"num_videos": options.videos, "num_frames": options.frames, "size": options.size}
    chosen = {key: value for key, value in asked.items() if value is not None}
    if data is not None and data.augmentations:
        chosen.setdefault("size", data.augmentations[0].crop_size)
    if data is not None and data.sampler is not None:
        chosen.setdefault("num_frames", data.sampler.init_args.get("num_frames", ClipShape.num_frames))
    if data is not None and data.motion is not None:
        chosen["motion_views"] = data.motion.views
    return ClipShape(**chosen)


def _check_data(contract: Any, data: Any) -> Any:
    """Compare what the configuration's data module would deliver with what the objective needs."""
    from jsonargparse import ArgumentParser

    from vidssl.data.sampling import ClipSampler, IntervalSampler
    from vidssl.objectives.contract_checks import CheckResult

    sampler = IntervalSampler()
    if data.sampler is not None:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(ClipSampler, "sampler")
        sampler = parser.instantiate_classes(parser.parse_object({"sampler": data.sampler.as_dict()})).sampler
    try:
        contract.case.build().check_data(sampler.num_clips, data.motion)
    except VidsslError as error:
        return CheckResult("data", "failed", str(error))
    motion = " and motion" if data.motion is not None else ""
    return CheckResult("data", "passed", f"data.sampler gives {sampler.num_clips} views per video{motion}")
