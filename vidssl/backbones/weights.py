"""Loading weights from our own checkpoints and other people's, with a report of what matched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vidssl.backbones.checkpoints import check_averaged, read_checkpoint
from vidssl.backbones.contract import Backbone
from vidssl.backbones.inflation import image_shapes, inflate
from vidssl.errors import VidsslError

MINIMUM_MATCH = 0.9
_NAMES_SHOWN = 4
# Last word of a prefix that wins when several hold the same names: the encoder that learns, not its moving average.
_LEARNING_ENCODERS = ("backbone", "encoder_q", "encoder", "module", "model")
# BatchNorm counts its batches in this buffer. Older files lack it, and with a fixed momentum nothing depends on it.
_COUNTER = "num_batches_tracked"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoadReport:
    """The result of loading a file into a backbone; printing it gives a readable summary.

    Attributes:
        source: the file.
        prefix: what was removed from the names in the file, such as ``backbone.``.
        matched: names of the backbone's tensors found in the file with the right shape.
        missing: names of the backbone's tensors that the file lacks.
        unexpected: names in the file that the backbone has no place for, such as a classifier's.
        mismatched: (name, shape in the backbone, shape in the file).
        inflated: those of the matched that are 2D kernels in the file.
        identities: those of the matched that the file has no counterpart of, temporal kernels set to the identity.
    """

    source: str
    prefix: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, Shape, Shape], ...]
    inflated: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()

    @property
    def fraction(self) -> float:
        """Share of the backbone's tensors that matched, in [0, 1]; BatchNorm's batch counters are left out."""
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        return len(self.matched) / total if total else 0.0

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        cut = f" (without the prefix {self.prefix!r})" if self.prefix else ""
        shapes = [f"{name} {_times(ours)}, in the file {_times(theirs)}" for name, ours, theirs in self.mismatched]
        lines = [f"{self.source}{cut}: {len(self.matched)} of {total} tensors matched ({self.fraction:.0%})"]
        for title, names in (
            ("inflated from 2D kernels", self.inflated),
            ("temporal kernels set to the identity", self.identities),
            ("missing from the file", self.missing),
            ("of another shape", shapes),
            ("in the file but not used", self.unexpected),
        ):
            if names:
                lines.append(f"  {title}: {len(names)} ({_shortened(names)})")
        return "\n".join(lines)


def load_weights(backbone: Backbone, source: str | Path) -> LoadReport:
    """Load the weights in `source` into `backbone`, in place.

    Reads our Lightning checkpoints and exports, files of torchvision and PyTorchVideo, checkpoints of MoCo and MCL, and
    bare state dicts. A prefix of the names (``module.``, ``backbone.``, ``encoder_q.``, ...) is cut off where more
    names match without it. A 2D ResNet's file is inflated where the backbone can be (see `inflation`).

    Args:
        backbone: any backbone; untouched when an error is raised.
        source: a file; ``.safetensors``, or one that torch reads with ``weights_only=True``.

    Returns:
        What matched and what did not. Up to 10 % of the backbone's tensors may be left as they were.

    Raises:
        VidsslError: the file cannot be read (see `read_checkpoint`), or less than 90 % of the tensors match.
    """
    content = read_checkpoint(source)
    check_averaged(content)
    found = content.tensors
    tensors, report = _by_name(backbone, found, str(source))
    if report.fraction < 1:
        tensors, report = max((tensors, report), _by_inflation(backbone, found, str(source)), key=_fraction)
    if report.fraction < MINIMUM_MATCH:
        raise VidsslError(
            f"{report}\nLess than {MINIMUM_MATCH:.0%} of the tensors match: was this checkpoint made with another "
            "architecture, or with other options (width)?"
        )
    _copy(backbone, tensors)
    return report


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Return the shape of every tensor of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def compare(own: Mapping[str, Shape], found: Mapping[str, Tensor], prefix: str, source: str) -> LoadReport:
    """Compare a backbone's names and shapes with the tensors of a file, once `prefix` is cut off their names."""
    theirs = _below(prefix, found)
    needed = {name: shape for name, shape in own.items() if not name.endswith(_COUNTER)}
    shared = [name for name in needed if name in theirs]
    return LoadReport(
        source=source,
        prefix=prefix,
        matched=tuple(name for name in shared if needed[name] == tuple(theirs[name].shape)),
        missing=tuple(name for name in needed if name not in theirs),
        unexpected=tuple(n for n in found if not (n.startswith(prefix) and n.removeprefix(prefix) in own)),
        mismatched=tuple(
            (name, needed[name], tuple(theirs[name].shape))
            for name in shared
            if needed[name] != tuple(theirs[name].shape)
        ),
    )


def find_prefix(found: Mapping[str, Tensor], own: Mapping[str, Shape]) -> str:
    """Return the prefix of names in `found` without which most of them match `own`, in shape first, then in name.

    Among equals, the name of a learning encoder wins over a moving average's, the shorter over the longer, and the
    first in the file over the next.
    """
    names: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    for full_name, tensor in found.items():
        for prefix in _prefixes(full_name):
            name = full_name.removeprefix(prefix)
            names[prefix] += name in own
            shapes[prefix] += own.get(name) == tuple(tensor.shape)

    def merit(prefix: str) -> tuple[int, int, bool, int]:
        last_word = prefix.rstrip(".").rpartition(".")[2]
        return shapes[prefix], names[prefix], last_word in _LEARNING_ENCODERS, -prefix.count(".")

    return max(names, key=merit, default="")


def _prefixes(name: str) -> list[str]:
    words = name.split(".")
    return ["".join(f"{word}." for word in words[:count]) for count in range(len(words))]


def _by_name(backbone: Backbone, found: Mapping[str, Tensor], source: str) -> tuple[dict[str, Tensor], LoadReport]:
    own = shapes_of(backbone.state_dict())
    prefix = find_prefix(found, own)
    return _below(prefix, found), compare(own, found, prefix, source)


def _by_inflation(backbone: Backbone, found: Mapping[str, Tensor], source: str) -> tuple[dict[str, Tensor], LoadReport]:
    images = image_shapes(backbone)
    prefix = find_prefix(found, images)
    inflated = inflate(backbone, _below(prefix, found))
    # Without a 2D kernel this is no 2D network, and its temporal kernels must not be replaced by the identity.
    tensors = inflated.tensors if inflated.kernels else {}
    report = replace(
        compare(shapes_of(backbone.state_dict()), tensors, "", source),
        prefix=prefix,
        unexpected=compare(images, found, prefix, source).unexpected,
        inflated=inflated.kernels,
        identities=inflated.identities,
    )
    return tensors, report


def _fraction(candidate: tuple[dict[str, Tensor], LoadReport]) -> float:
    return candidate[1].fraction


def _below(prefix: str, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}


def _copy(backbone: Backbone, tensors: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in backbone.state_dict().items():
            theirs = tensors.get(name)
            if theirs is not None and theirs.shape == tensor.shape:
                tensor.copy_(theirs)


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _shortened(names: Iterable[str]) -> str:
    names = list(names)
    more = [f"and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ", ".join([*names[:_NAMES_SHOWN], *more])
