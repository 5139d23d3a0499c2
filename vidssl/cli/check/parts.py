"""Checks the contract of a sampler or an augmentation operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidssl.contract_checks import CheckResult
from vidssl.errors import VidsslError


@dataclass(frozen=True)
class Part:
    """A kind of part that is checked by itself.

    Attributes:
        registry: ``package.module:NAME`` of its registry.
        base: ``package.module:Class`` that it is below.
        contract: ``package.module:Class`` of its checks.
    """

    registry: str
    base: str
    contract: str


PARTS = {
    "sampler": Part(
        "vidssl.data.sampling:SAMPLERS",
        "vidssl.data.sampling:ClipSampler",
        "vidssl.data.contracts.sampler:SamplerContract",
    ),
    "operation": Part(
        "vidssl.data.operations:OPERATIONS",
        "vidssl.data.operations:Operation",
        "vidssl.data.contracts.operation:OperationContract",
    ),
}
"""Word of the command line -> what it names."""


def check_part(kind: str, name: str, overrides: Sequence[str]) -> int:
    """Run the checks of a part and print a line for each.

    Args:
        kind: one of `PARTS`.
        name: registered name.
        overrides: its settings, as ``--sampler.KEY VALUE``.

    Returns:
        the exit code, 1 if a check failed.

    Raises:
        VidsslError: nothing that can be used has this name, or a setting that it does not take.
    """
    part = PARTS[kind]
    _imported(part.registry).get(name)
    for word in overrides:
        if word.startswith("--") and not word.startswith(f"--{kind}."):
            raise VidsslError(f"vidssl check {kind} does not take {word!r}: settings are --{kind}.KEY VALUE.")
    contract = _imported(part.contract)(_built(kind, name, overrides))
    print(f"{kind} {name}", flush=True)
    results: list[CheckResult] = contract.results()
    for result in results:
        print(f"  {result}")
    failed = sum(result.outcome == "failed" for result in results)
    print(f"{failed} of {len(results)} checks failed." if failed else "No check failed.")
    return 1 if failed else 0


def _built(kind: str, name: str, overrides: Sequence[str]) -> Any:
    from jsonargparse import ArgumentParser

    from vidssl.cli.config_errors import unwrapped, worded
    from vidssl.cli.data_group import parser_settings

    parser = ArgumentParser(**parser_settings("check"))
    parser.add_subclass_arguments(_imported(PARTS[kind].base), kind)
    args = [f"--{kind}={name}", *overrides]
    with worded(parser, "check", args):
        config = parser.parse_args(args)
    with unwrapped():
        return getattr(parser.instantiate(config), kind)


def _imported(path: str) -> Any:
    import importlib

    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
