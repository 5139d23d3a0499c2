"""Checks the contract of an objective, see `vidssl.objectives.contract_checks`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vidssl.errors import VidsslError


def check_objective(options: argparse.Namespace, overrides: list[str]) -> int:
    """Run the checks of an objective and print a line for each; return the exit code."""
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

    from vidssl.contract_checks import run_check
    from vidssl.data.sampling import ClipSampler, IntervalSampler
    from vidssl.objectives.checks import Delivered, check_delivered

    def check() -> str:
        sampler = IntervalSampler()
        if data.sampler is not None:
            parser = ArgumentParser(exit_on_error=False)
            parser.add_subclass_arguments(ClipSampler, "sampler")
            sampler = parser.instantiate_classes(parser.parse_object({"sampler": data.sampler.as_dict()})).sampler
        check_delivered(contract.case.build(), Delivered(sampler, data.motion, tuple(data.extras or ())))
        motion = " and motion" if data.motion is not None else ""
        return f"data.sampler gives {sampler.num_clips} views per video{motion}"

    return run_check("data", check)
