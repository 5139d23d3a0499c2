"""The verb ``vidssl check``: checks the contract of a plug-in, or whether a file is undamaged."""

from __future__ import annotations

from collections.abc import Sequence

from vidssl.cli import VerbParser
from vidssl.cli.check.files import check_catalog, check_motion
from vidssl.cli.check.objective import check_objective
from vidssl.cli.check.parts import PARTS, check_part
from vidssl.errors import VidsslError

_USAGE = """vidssl check catalog FILE [--root DIR]
       vidssl check motion FILE
       vidssl check objective NAME [--config FILE ...] [--plugin FILE] [--model.KEY VALUE ...]
       vidssl check sampler NAME [--plugin FILE] [--sampler.KEY VALUE ...]
       vidssl check operation NAME [--plugin FILE] [--operation.KEY VALUE ...]

catalog     compare every column with its checksum, and every video with its size and contents when it was prepared
motion      compare every column of stored motion with its checksum
sampler     draw clips of short and long videos, and check the contract of a sampler
operation   draw and apply, and check the contract of an augmentation operation
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
  vidssl check sampler MySampler --plugin my_sampler.py --sampler.num_frames 8
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
    add("kind", choices=["objective", *PARTS, *_FILES], help="what to check")
    add("name", metavar="NAME", help="registered name (vidssl list), or a file")
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
    if options.kind in PARTS:
        return check_part(options.kind, options.name, overrides)
    return check_objective(options, overrides)


_FILES = {"catalog": check_catalog, "motion": check_motion}
