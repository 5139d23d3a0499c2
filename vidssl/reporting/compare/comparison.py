"""The comparison itself: a row per method, a column per metric under one set of conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vidssl.reporting.compare.methods import Method
from vidssl.reporting.compare.runs import Column, Conditions, Run
from vidssl.reporting.compare.statistics import PairedDifference, Spread


@dataclass(frozen=True)
class Heading:
    """The heading of a column.

    Attributes:
        column: what is measured.
        conditions: how.
        mark: a letter where another column has the same title and other conditions, else empty.
        percent: whether values are shares in [0, 1], shown in %.
    """

    column: Column
    conditions: Conditions
    mark: str
    percent: bool

    @property
    def group(self) -> tuple[str, str, str]:
        """Equal for the columns of one protocol under the same conditions."""
        return self.column.data, self.column.protocol, self.column.digest

    @property
    def marked_protocol(self) -> str:
        """Name of the protocol, with the letter."""
        return self.column.protocol + (f" ({self.mark})" if self.mark else "")


@dataclass(frozen=True)
class Cell:
    """A method's numbers in a column.

    Attributes:
        spread: over seeds.
        best: whether its mean is the highest of the methods.
        against: difference from the baseline, on the same seeds; None for the baseline itself and without such seeds.
    """

    spread: Spread
    best: bool = False
    against: PairedDifference | None = None


@dataclass(frozen=True)
class Row:
    """A method, or a network before training.

    Attributes:
        label: its name.
        cells: of each column that it was measured in.
        method: None for an untrained network.
    """

    label: str
    cells: Mapping[Column, Cell]
    method: Method | None = None


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        headings: the columns.
        rows: untrained networks first, then methods.
        baseline: label of the method that the others are compared with; None where there is only one.
        notes: what a reader must know: runs left out, conditions that differ, seeds that are missing.
        left_out: runs that did not finish.
        costs: label -> cost of a run, means over its runs; sizes of the network.
        not_shown: titles of columns that were measured and not asked for.
        repeats: title of a column that is left out -> that of the one that holds the same numbers.
    """

    headings: Sequence[Heading]
    rows: Sequence[Row]
    baseline: str | None
    notes: Sequence[str]
    left_out: Sequence[Run] = ()
    costs: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    not_shown: Sequence[str] = ()
    repeats: Mapping[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> list[Method]:
        """The methods, in the order of their rows."""
        return [row.method for row in self.rows if row.method is not None]
