"""What is done to features before a classifier sees them; part of every protocol, since it moves the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from vidssl.errors import UnknownNameError, nearest


@dataclass(frozen=True)
class Normaliser:
    """A normalisation with the statistics of a training set; applied to a chunk of rows whenever they are read.

    Attributes:
        shift: float64 (D,), subtracted from every row, or None.
        scale: float64 (D,), multiplies every row, or None.
        unit_rows: bring every row to length one; a row of zeros stays one.
    """

    shift: Tensor | None = None
    scale: Tensor | None = None
    unit_rows: bool = False

    def __call__(self, rows: Tensor) -> Tensor:
        """Return rows, any float type (..., D), normalised in their own type; `rows` itself is left as it is."""
        if self.unit_rows:
            lengths = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
            return rows / lengths.masked_fill_(lengths == 0, 1.0)
        if self.shift is None or self.scale is None:
            return rows
        return (rows - self.shift.to(rows.dtype)).mul_(self.scale.to(rows.dtype))


def _standard(chunks: Iterable[Tensor]) -> Normaliser:
    scaler = StandardScaler()  # a column that is constant is only shifted, to zero
    for chunk in chunks:
        scaler.partial_fit(chunk.double().numpy())
    return Normaliser(torch.from_numpy(scaler.mean_), torch.from_numpy(1.0 / scaler.scale_))


_FITS: dict[str, Callable[[Iterable[Tensor]], Normaliser]] = {
    "l2": lambda chunks: Normaliser(unit_rows=True),
    "standard": _standard,
    "none": lambda chunks: Normaliser(),
}
NORMALISATIONS = tuple(_FITS)


def check_normalisation(name: str) -> None:
    """Refuse the name of a normalisation that does not exist.

    Raises:
        UnknownNameError: naming those that do.
    """
    if name not in _FITS:
        raise UnknownNameError(
            f"Unknown normalisation {name!r}.{nearest(name, NORMALISATIONS)} Known: {', '.join(NORMALISATIONS)}."
        )


def fit_normaliser(name: str, chunks: Iterable[Tensor]) -> Normaliser:
    """Return the normalisation of this name, with statistics of the training set alone.

    Args:
        name: "l2" (every row to length one), "standard" (every column to mean 0 and deviation 1; one that is constant
            to 0) or "none".
        chunks: all rows of the training set, float32 (n, D) at a time; read only where statistics are needed.

    Raises:
        UnknownNameError: there is no such normalisation.
    """
    check_normalisation(name)
    return _FITS[name](chunks)
