"""The command ``vidssl``: Lightning's verbs and our own."""

from __future__ import annotations

import errno
import importlib
import os
import re
import select
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import vidssl
from vidssl.errors import VidsslError, nearest
from vidssl.jobs.lost_process import connection_message, say_lost_processes
from vidssl.jobs.signals import INTERRUPTED, READER_LEFT
from vidssl.registry import PLUGINS_SWITCH

TRAINER_VERBS = {
    "fit": "train an objective on unlabelled videos",
    "validate": "measure the frozen features of a checkpoint, as fit does every few epochs",
    "test": "the same, logged by the test loop",
    "predict": "write the features of every video in a catalog",
}
OWN_VERBS = {
    "prepare": "read a data set, decode its videos once and write the catalog that training reads",
    "split": "add training and test splits to a catalog, by share or by group",
    "pack": "encode or copy a catalog's videos for fast reading: tar shards, or a folder",
    "motion": "compute the motion of a catalog's videos once, for training to read",
    "show": "draw what training sees of a few videos (motion, clips, crops, views), or what networks look at",
    "evaluate": "measure trained networks by named protocols: linear, k-NN, SVM, retrieval",
    "compare": "compare methods from the folders of their runs: tables, curves, a page",
    "export": "write the backbone of a checkpoint without heads, with its provenance",
    "list": "list methods, networks, samplers and all other names of a configuration",
    "doctor": "report what this machine has: decoders, codecs, FFmpeg, shared memory, GPU, wandb",
    "new": "write a working plug-in package, as a start for your own method",
    "check": "check the contract of a plug-in, or whether a catalog or stored motion is undamaged",
}
NO_CONFIG = """vidssl {verb} needs a configuration (vidssl {verb} --help). The quick start:
  vidssl prepare synthetic --output data/synthetic
  vidssl fit --config configs/quickstart.yaml"""
NO_PLUGINS = "--no-plugins"
# What a full disk or a read-only folder looks like while running; anything else is our fault and shows its traceback.
DISK_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT}
LOST_WORKER = (
    "Its memory may have run out (see dmesg), or shared memory (docker run --shm-size): lower data.loading.num_workers "
    "or data.batch_size; for slow videos raise data.loading.timeout_seconds."
)


def _help() -> str:
    lines = [
        "vidssl: self-supervised learning from unlabelled video",
        "",
        "usage: vidssl VERB [options]        vidssl VERB --help        vidssl --version",
        "",
        *(f"  {verb:<10}{what}" for verb, what in {**TRAINER_VERBS, **OWN_VERBS}.items()),
        "",
        "with every verb:",
        "  --plugin FILE   use parts of your own Python file: methods, networks, samplers, ... (may be repeated)",
        "  --no-plugins    leave installed plug-ins out, as VIDSSL_PLUGINS=0 does",
        "",
        "examples:",
        "  vidssl prepare synthetic --output data/synthetic",
        "  vidssl fit --config configs/quickstart.yaml",
        "  vidssl fit --config configs/quickstart.yaml --model.temperature 0.2 --run_dir runs/warmer",
        "  vidssl list backbones",
    ]
    return "\n".join(lines)


def _run(verb: str, args: Sequence[str]) -> int:
    """Run a verb; its module is imported only now, so that help and lists answer at once."""
    say_lost_processes()
    if verb in TRAINER_VERBS and not args:
        raise VidsslError(NO_CONFIG.format(verb=verb))
    if verb in TRAINER_VERBS:
        from vidssl.cli.trainer_verbs import run

        return run(verb, args)
    module = importlib.import_module(f"vidssl.cli.{verb}")
    return getattr(module, f"run_{verb}")(args)


def dispatch(args: Sequence[str]) -> int:
    """Run the verb that `args` begin with, and return its exit code.

    Raises:
        VidsslError: an unknown verb, or whatever the verb has to say to the user.
    """
    if not args or args[0] in ("-h", "--help"):
        print(_help())
        return 0
    if args[0] == "--version":
        print(f"vidssl {vidssl.__version__}")
        return 0
    verbs = {**TRAINER_VERBS, **OWN_VERBS}
    if args[0] not in verbs:
        raise VidsslError(f"Unknown verb {args[0]!r}.{nearest(args[0], verbs)} Known: {', '.join(verbs)}.")
    if NO_PLUGINS in args:
        os.environ[PLUGINS_SWITCH] = "0"  # in the environment, for processes that start later
    return _run(args[0], _without_plugins(args[0], [arg for arg in args[1:] if arg != NO_PLUGINS]))


def _without_plugins(verb: str, args: Sequence[str]) -> Sequence[str]:
    """Load the files of ``--plugin`` and return the rest; verbs that read configurations do so with those in them."""
    if verb in TRAINER_VERBS or not any(arg.partition("=")[0] == "--plugin" for arg in args):
        return args
    from vidssl.cli.objective_names import take_plugin_flags
    from vidssl.plugins.files import load_plugin_files

    files, rest = take_plugin_flags(args)
    try:
        load_plugin_files(files)
    except VidsslError as error:
        if verb != "list":
            raise
        print(f"BROKEN: {error}")  # and all others are listed
    return rest


def worker_message(error: Exception) -> str | None:
    """Return what a user needs of an exception that torch brings from a loader worker; None if it is not one of ours.

    torch raises it again with the worker's traceback as its text, and as a RuntimeError where the class takes other
    arguments than a text.
    """
    text = str(error)
    if not text.startswith("Caught "):
        lost = re.match(r"DataLoader (worker \(pid.*(killed|exited).*|timed out.*)", text)
        if lost and (signalled := re.search(r"killed by signal: (Terminated|Interrupt|Hangup)", text)):
            return f"A loader worker was ended by a signal ({signalled[1]}), as kill, scancel and Ctrl-C send it."
        return f"{text.splitlines()[0]} {LOST_WORKER}" if lost else None
    raised = re.findall(r"^(?:[\w.]+\.)?(?:\w+)(?:Error|Exception): ", text, re.MULTILINE)
    last = raised[-1] if raised else ""
    if not last.startswith("vidssl."):
        return None
    return text.rpartition(f"\n{last}")[2].strip()


def _reader_has_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more, as in ``vidssl list backbones | head -1``."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):  # no file: a test or a notebook took its place
        return False
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; a user's mistake ends in one message and exit code 2, a signal in its number + 128."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        code = dispatch(sys.argv[1:] if args is None else args)
        sys.stdout.flush()  # here, and not while Python ends, a reader that has left is noticed
        return code
    except KeyboardInterrupt:
        print("vidssl: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except VidsslError as error:
        print(f"vidssl: error: {worker_message(error) or error}", file=sys.stderr)
    except RuntimeError as error:
        message = worker_message(error) or connection_message(error)
        if message is None:
            raise
        print(f"vidssl: error: {message}", file=sys.stderr)
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still in the buffer goes nowhere
        return READER_LEFT
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or "where the run writes"
        print(
            f"vidssl: error: {error.strerror}: {where}. Nothing more was written; make room or choose another folder, "
            "then continue with --ckpt_path last.",
            file=sys.stderr,
        )
    return 2


if __name__ == "__main__":
    sys.exit(main())
