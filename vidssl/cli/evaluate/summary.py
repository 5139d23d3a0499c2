"""From single records to a table: mean and spread over splits and over runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vidssl.reporting.foreign_text import markdown_code, markdown_text
from vidssl.reporting.percent import percent


@dataclass(frozen=True)
class Result:
    """The record of one measurement, and which network it is of.

    Attributes:
        subject: name of the network.
        method: what it is an example of.
        split: the query videos.
        record: see `vidssl.evaluation.protocols.records`.
    """

    subject: str
    method: str
    split: str
    record: dict[str, Any]

    @property
    def protocol(self) -> str:
        """The protocol's name; a star says that some of its settings were changed."""
        return self.record["protocol"]["name"] + ("*" if self.record["modified"] else "")


@dataclass(frozen=True)
class Cell:
    """A metric of a method.

    Attributes:
        method: the method.
        protocol: the protocol's name.
        metric: its name.
        by_run: of each network the value of each split, in [0, 1]; NaN is None.
        intervals: of each network and split the 95 % interval over the videos, where the record has one.
    """

    method: str
    protocol: str
    metric: str
    by_run: dict[str, dict[str, float | None]]
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """Of each run the mean over its splits; of a single run the value of each split."""
        rows = [[value for value in splits.values() if value is not None] for splits in self.by_run.values()]
        if any(len(row) < len(splits) for row, splits in zip(rows, self.by_run.values(), strict=True)):
            return []
        return rows[0] if len(rows) == 1 else [statistics.fmean(row) for row in rows]

    @property
    def mean(self) -> float | None:
        """The mean over `values`; None where one is missing."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation of the sample (n - 1) `values`; None where there are fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self) -> str:
        """Return mean and spread in %, as "71.3 ± 2.0"; of a single value its interval, where there is one."""
        if self.mean is None:
            return "-"
        if len(self.values) == 1 and len(self.by_run) == 1:
            ((subject, splits),) = self.by_run.items()
            return self.single(subject, next(iter(splits)))
        return percent(self.mean) + ("" if self.spread is None else f" ± {percent(self.spread)}")

    def single(self, subject: str, split: str) -> str:
        """Return a network's value on a split in %, as "71.3" or, with an interval, "71.3 [65.1, 77.0]"."""
        value = self.by_run[subject].get(split)
        if value is None:
            return ""
        ends = self.intervals.get(subject, {}).get(split)
        return percent(value) + ("" if ends is None else f" [{percent(ends[0])}, {percent(ends[1])}]")


@dataclass(frozen=True)
class Summary:
    """All results of a command.

    Attributes:
        cells: in the order they were measured.
    """

    cells: list[Cell]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Summary:
        """Put results together."""
        cells: dict[tuple[str, str, str], Cell] = {}
        for result in results:
            for metric, value in result.record["metrics"].items():
                key = (result.method, result.protocol, metric)
                cell = cells.setdefault(key, Cell(*key, by_run={}))
                cell.by_run.setdefault(result.subject, {})[result.split] = value
                low, high = result.record["intervals"].get(metric, (None, None))
                if low is not None:
                    cell.intervals.setdefault(result.subject, {})[result.split] = (low, high)
        return cls(list(cells.values()))

    @property
    def methods(self) -> dict[str, int]:
        """How many runs of each method there are."""
        return {cell.method: len(cell.by_run) for cell in self.cells}

    @property
    def rows(self) -> list[tuple[str, str]]:
        """(protocol, metric), a row of the table each."""
        return list(dict.fromkeys((cell.protocol, cell.metric) for cell in self.cells))

    def text(self, method: str, row: tuple[str, str]) -> str:
        """Return the entries of a row of the table below a method."""
        found = [cell for cell in self.cells if (cell.method, (cell.protocol, cell.metric)) == (method, row)]
        return found[0].text() if found else ""

    def headings(self) -> list[str]:
        """Return the heading of each method's column."""
        return [method if runs == 1 else f"{method} ({runs} runs)" for method, runs in self.methods.items()]

    def markdown(self) -> str:
        """Return the table in Markdown, accuracies in %."""
        lines = [f"| % | {' | '.join(map(markdown_text, self.headings()))} |", "|---" * (1 + len(self.methods)) + "|"]
        for row in self.rows:
            texts = [self.text(method, row) for method in self.methods]
            lines.append(f"| {markdown_code('/'.join(row))} | {' | '.join(texts)} |")
        return "\n".join(lines)

    def plain(self) -> list[dict[str, Any]]:
        """Return the table as plain values."""
        return [
            {
                "method": cell.method,
                "protocol": cell.protocol.rstrip("*"),
                "modified": cell.protocol.endswith("*"),
                "metric": cell.metric,
                "runs": len(cell.by_run),
                "mean": cell.mean,
                "spread": cell.spread,
                "values": cell.by_run,
                "intervals": cell.intervals,
            }
            for cell in self.cells
        ]
