"""The options of ``vidssl evaluate``; nothing here imports torch."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vidssl.backbones.pretrained import weights_file
from vidssl.cli import VerbParser
from vidssl.errors import VidsslError

ALL_THAT_APPLY = "all"
_USAGE = """vidssl evaluate --checkpoint FILE [FILE ...] --data CATALOG --protocol NAME [NAME ...] [options]

Measure trained networks. Features of every video are computed once, and every protocol is measured on them. A protocol
(vidssl list protocols) sets everything that its numbers depend on; what it leaves open (frames, stride, size) is as in
the evaluation of the checkpoint's run. Every number is stored with its protocol in evaluations.jsonl of the run.

  vidssl evaluate --checkpoint runs/cvrl_ucf101/checkpoints/last.ckpt --data data/ucf101.catalog \\
      --protocol linear-svm/mcl retrieval/mean --splits 1 2 3
  vidssl evaluate --checkpoint runs/*/checkpoints/last.ckpt --untrained --data data/weizmann.catalog \\
      --protocol all --allow-seen-videos             a table of methods, with mean and spread over their runs
  vidssl evaluate --checkpoint k400.pyth --backbone slow_r50 --data data/hmdb51.catalog --protocol knn \\
      --set num_frames=8 stride=8                    weights that vidssl did not write
  vidssl evaluate --pretrained cvrl_small_synthetic --data data/synthetic/synthetic.catalog --protocol knn linear
  vidssl evaluate --backbone r3d_18 --data data/ucf101.catalog --protocol knn      an untrained network
  torchrun --nproc_per_node 8 -m vidssl.cli.main evaluate --devices 8 ...              several processes"""


def evaluate_parser() -> argparse.ArgumentParser:
    """Return the parser of the verb."""
    parser = VerbParser(prog="vidssl evaluate", usage=_USAGE, allow_abbrev=False)
    add_network_arguments(parser.add_argument_group("the network").add_argument)
    _add_videos(parser.add_argument_group("the videos").add_argument)
    _add_measuring(parser.add_argument_group("how it is measured").add_argument)
    _add_machine(parser.add_argument_group("the machine").add_argument)
    _add_results(parser.add_argument_group("the results").add_argument)
    return parser


def add_network_arguments(add: Any) -> None:
    """Add the options that `load_subjects` takes."""
    words = (
        "checkpoints of vidssl fit, folders of its runs (for their last checkpoint), files of vidssl export, or other "
        "weights (with --backbone); several files make one table"
    )
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "dest": "checkpoint", "default": []}
    add("--checkpoint", type=Path, metavar="FILE", help=words, **several)
    words = "networks that come with vidssl, by name (vidssl list pretrained)"
    add("--pretrained", type=weights_file, metavar="NAME", help=words, **several)
    words = "names of the networks, in their order; networks with the same name are one method"
    add("--label", nargs="+", default=[], metavar="NAME", help=words)
    add("--backbone", metavar="NAME", help="the network, if the file does not name it (vidssl list backbones)")
    add("--backbone-options", type=_json_object, default={}, metavar="JSON", help="its options, as in a configuration")
    numbers = {"nargs": 3, "type": float, "metavar": ("R", "G", "B")}
    add("--pixel-mean", **numbers, help="with --backbone: subtracted from pixels in [0, 1] (0.45 0.45 0.45)")
    add("--pixel-std", **numbers, help="with --backbone: divides the result (0.225 0.225 0.225)")
    add("--untrained", action="store_true", help="also measure each network as it was before training")
    add("--seed", type=int, metavar="N", help="seed of the untrained network (that of the run, or 0)")


def _add_videos(add: Any) -> None:
    add("--data", type=Path, metavar="CATALOG", help="catalog of vidssl prepare (that of the checkpoint's run)")
    add("--root", type=Path, metavar="FOLDER", help="folder of the videos (as recorded in the catalog)")
    add("--name", metavar="WORD", help="name of the data set in records (the catalog's file name)")
    words = "labelled videos that classifiers are trained on and that are retrieved (those of the run, else train1)"
    add("--gallery-split", metavar="NAME", help=words)
    add("--query-split", metavar="NAME", help="videos that are classified (those of the run, else test1)")
    words = "numbers of official splits (train1 and test1, and so on); measures each split and their mean"
    add("--splits", nargs="+", type=int, default=[], metavar="N", help=words)
    words = "measure even if query videos were trained on (without labels); the records count them"
    add("--allow-seen-videos", action="store_true", help=words)


def _add_measuring(add: Any) -> None:
    words = "names from vidssl list protocols, or 'all' for all that fit these videos"
    add("--protocol", nargs="+", default=[], metavar="NAME", help=words)
    words = "change settings of the protocols: num_frames=8 resize=128 c=10; records and tables mark the change"
    add("--set", nargs="+", type=_setting, default=[], metavar="KEY=VALUE", help=words)


def _add_machine(add: Any) -> None:
    add("--devices", default="1", metavar="N", help="processes on this machine (%(default)s)")
    add("--num-nodes", type=int, default=1, metavar="N", help="machines (%(default)s)")
    add("--accelerator", default="auto", metavar="NAME", help="auto, cpu, gpu, ... (%(default)s)")
    add("--precision", default="32-true", metavar="NAME", help="precision: 32-true, bf16-mixed, ... (%(default)s)")
    add("--num-workers", type=int, metavar="N", help="loader workers of each process (that of the run, or 2)")
    add("--batch-size", type=int, metavar="N", help="videos per batch of each process (that of the run, or 8)")


def _add_results(add: Any) -> None:
    words = "folder for evaluations.jsonl and features (that of the run, or of the checkpoint)"
    add("--output", type=Path, metavar="FOLDER", help=words)
    words = "folder of stored features, which are used again (OUTPUT/features); delete it to free disk space"
    add("--features", type=Path, metavar="FOLDER", help=words)
    add("--json", type=Path, metavar="FILE", help="write all records and the table to this file")
    add("--markdown", type=Path, metavar="FILE", help="write the table to this file")
    words = "write pages with pictures: neighbours of queries, confusion of classes (OUTPUT/pages)"
    add("--show", nargs="?", const="", metavar="FOLDER", help=words)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON such as '{{\"width\": 2}}'") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object such as '{{\"width\": 2}}'")
    return value


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE such as num_frames=8")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{value!r} is not a value") from error


def check_arguments(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        VidsslError: they do.
    """
    if not options.checkpoint and options.backbone is None:
        raise VidsslError("Say what to measure: --checkpoint FILE, or --backbone NAME for an untrained network.")
    if not options.protocol:
        raise VidsslError("Say how to measure: `vidssl list protocols` lists the names for --protocol NAME [NAME ...].")
    if options.splits and (options.gallery_split or options.query_split):
        raise VidsslError("--splits names both splits; leave --gallery-split and --query-split out.")
    if not options.checkpoint and options.data is None:
        raise VidsslError("Without a checkpoint there is no run to take the videos from: --data CATALOG.")
    for name in ("num_nodes", "batch_size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise VidsslError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}.")


def settings_of(options: argparse.Namespace) -> Mapping[str, Any]:
    """Return ``--set`` as a mapping.

    Raises:
        VidsslError: a key came twice.
    """
    keys = [key for key, _ in options.set]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise VidsslError(f"--set {twice}: it is set twice.")
    return dict(options.set)


def trainer_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer."""
    devices = int(options.devices) if options.devices.lstrip("-").isdigit() else options.devices
    return {
        "accelerator": options.accelerator,
        "devices": devices,
        "num_nodes": options.num_nodes,
        "strategy": "ddp" if has_several_processes(options) else "auto",
        "precision": options.precision,
        "enable_progress_bar": False,
    }


def has_several_processes(options: argparse.Namespace) -> bool:
    """Whether processes share the work."""
    return options.num_nodes > 1 or options.devices != "1"


def repeated(args: Sequence[str]) -> str:
    """Return the command as one would type it."""
    return shlex.join(["vidssl", "evaluate", *args])
