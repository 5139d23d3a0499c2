"""The wording of numbers in a comparison, the same in every output."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vidssl.reporting.compare.comparison import Comparison, Heading, Row
from vidssl.reporting.compare.runs import Run
from vidssl.reporting.compare.statistics import FEWEST_FOR_INTERVAL, PairedDifference, Spread
from vidssl.reporting.percent import percent as share_in_percent

NOTHING = "–"
MINUS = "−"
SECONDS_PER_MINUTE = 60
MINUTES_PER_HOUR = 60
HOURS_PER_DAY = 24
NAMED_TITLES = 4  # of the metrics that are not shown
COST_TITLES = {
    "wall_seconds": "wall time",
    "device_hours": "device-hours",
    "steps": "steps",
    "videos_per_second": "videos/s",
    "clips_per_second": "clips/s",
    "backbone_parameters": "backbone",
    "trainable_parameters": "trainable",
}


def number(value: float, *, percent: bool) -> str:
    """Return a value as text: in % with one decimal, or with three digits where it is not a share."""
    if not math.isfinite(value):
        return NOTHING
    return share_in_percent(value) if percent else f"{value:.3g}"


def spread_text(spread: Spread, *, percent: bool) -> str:
    """Say mean and standard deviation: ``71.3 ± 2.0``; one seed has no deviation."""
    mean = number(spread.mean, percent=percent)
    return mean if spread.deviation is None else f"{mean} ± {number(spread.deviation, percent=percent)}"


def signed(value: float, *, percent: bool) -> str:
    """Return a difference with its sign (a typographic minus); a difference that rounds to 0 has no sign."""
    text = number(value, percent=percent)
    if text.strip("-0.") == "":
        return text.lstrip("-")
    return text.replace("-", MINUS) if text.startswith("-") else f"+{text}"


def difference_text(difference: PairedDifference, *, percent: bool) -> str:
    """Say a difference and its interval: ``+2.3 [−1.0, 5.6]``."""
    mean = signed(difference.mean, percent=percent)
    if difference.low is None or difference.high is None:
        return mean
    low, high = (number(end, percent=percent).replace("-", MINUS) for end in (difference.low, difference.high))
    return f"{mean} [{low}, {high}]"


def heading_text(heading: Heading) -> str:
    """Title of a column, with the letter that tells it from one measured otherwise."""
    return heading.column.title + (f" ({heading.mark})" if heading.mark else "")


def costs_text(key: str, values: Sequence[float | None]) -> list[str]:
    """Say the cost of every method with its unit, and with as many decimals as the smallest of them needs."""
    return [cost_text(key, value, smallest=min((it for it in values if it), default=1.0)) for value in values]


def cost_text(key: str, value: float | None, *, smallest: float | None = None) -> str:
    """Say a cost with its unit.

    Args:
        key: of `COST_TITLES`.
        value: what it is; None where nobody knows.
        smallest: the value that chooses the number of decimals, above 0; None takes the value itself.
    """
    if value is None:
        return NOTHING
    if key == "wall_seconds":
        return duration_text(value)
    if key.endswith("_parameters"):
        return parameters_text(value)
    if key == "steps":
        return f"{value:,.0f}"
    decimals = _decimals(value if smallest is None else smallest)
    return f"{value:.{decimals}f}"


def _decimals(value: float) -> int:
    """How many decimals show two digits of a value below 1, and one of any other."""
    return 1 if value >= 1 or value <= 0 else 1 - math.floor(math.log10(value))


def duration_text(seconds: float) -> str:
    """Say a time: ``42 s``, ``2 min 08 s``, ``3 h 05 min``, ``2 d 04 h``."""
    if seconds < SECONDS_PER_MINUTE - 0.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), SECONDS_PER_MINUTE)
    if minutes < MINUTES_PER_HOUR:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, MINUTES_PER_HOUR)
    if hours < HOURS_PER_DAY:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // HOURS_PER_DAY} d {hours % HOURS_PER_DAY:02d} h"


def parameters_text(count: float) -> str:
    """Say a number of parameters: ``0.49 M``."""
    millions = count / 1e6
    return f"{millions:.2f} M" if millions < 1 else f"{millions:.1f} M"


def legend(comparison: Comparison) -> list[str]:
    """Say what the numbers are and what may be concluded from them."""
    percent = any(heading.percent for heading in comparison.headings)
    lines = [
        ("Accuracies in %: mean" if percent else "Mean")
        + " and standard deviation (n − 1) over seeds, at the end of training; the best mean is bold."
    ]
    compared = [cell.against for row in comparison.rows for cell in row.cells.values() if cell.against is not None]
    fewest = min((against.n for against in compared), default=0)
    most = max((against.n for against in compared), default=0)
    if most == 1:
        lines.append(f"Differences from {comparison.baseline} come from a single shared seed: they may be chance.")
    elif 1 < most < FEWEST_FOR_INTERVAL:
        lines.append(
            f"Differences from {comparison.baseline} are paired over {most} shared seeds, too few for an interval: "
            "they may be chance."
        )
    elif most >= FEWEST_FOR_INTERVAL:
        seeds = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        lines.append(
            f"Differences from {comparison.baseline} are paired over {seeds} shared seeds, with the 95 % interval of "
            "their mean (Student's t); bold intervals exclude 0. The interval describes seeds, not other videos, and "
            "is not corrected for looking at many columns."
        )
    if comparison.repeats:
        same = "; ".join(f"{title} = {other}" for title, other in comparison.repeats.items())
        lines.append(f"The same numbers, shown once: {same}.")
    if most >= FEWEST_FOR_INTERVAL >= fewest:
        lines.append(
            "Two seeds have no interval. With three, only large and steady differences exclude 0. An interval that "
            "contains 0 does not show that methods are equal."
        )
    return lines


def not_shown_text(comparison: Comparison) -> str:
    """Say which metrics were measured and are not shown; an empty text where all are."""
    titles = comparison.not_shown
    if not titles:
        return ""
    more = f" and {len(titles) - NAMED_TITLES} more" if len(titles) > NAMED_TITLES else ""
    return f"Not shown: {', '.join(titles[:NAMED_TITLES])}{more}. --metrics '*' shows all, --metrics top5 shows one."


def left_out_text(run: Run) -> str:
    """Say that a run did not finish, and how far it got."""
    steps, seconds = run.facts.get("steps"), run.facts.get("wall_seconds") or 0.0
    return (
        f"Left out because it did not finish: {run.folder} ({steps} steps in {duration_text(seconds)}; {run.ended}). "
        "vidssl fit --ckpt_path continues it, --include-unfinished includes it."
    )


def counted(count: int, what: str) -> str:
    """Say a number of things: ``1 seed``, ``2 seeds``."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def seeds_text(row: Row, headings: Sequence[Heading]) -> str:
    """Number of seeds behind a row: ``3``, or ``2-3`` where columns differ."""
    counts = sorted({row.cells[heading.column].spread.n for heading in headings if heading.column in row.cells})
    if not counts:
        return "0"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def shared_seeds_text(row: Row, headings: Sequence[Heading]) -> str:
    """Number of seeds that a row's differences are paired over: ``3``, or ``2-3`` where columns differ."""
    cells = [row.cells[heading.column] for heading in headings if heading.column in row.cells]
    counts = sorted({cell.against.n for cell in cells if cell.against is not None})
    return "-".join(map(str, dict.fromkeys([counts[0], counts[-1]]))) if counts else "0"


def stacked_heading(heading: Heading) -> tuple[str, str, str]:
    """Data set, protocol and metric, to be set above each other."""
    mark = f" ({heading.mark})" if heading.mark else ""
    return heading.column.data, heading.column.protocol, heading.column.metric + mark


def cell_text(row: Row, heading: Heading, headings: Sequence[Heading]) -> str:
    """A method's numbers in a column, with their own number of seeds where the row's columns have different ones."""
    cell = row.cells.get(heading.column)
    if cell is None:
        return NOTHING
    text = spread_text(cell.spread, percent=heading.percent)
    return text if "-" not in seeds_text(row, headings) else f"{text} (n={cell.spread.n})"


def against_text(row: Row, heading: Heading) -> str:
    """How far a method is from the baseline in a column, with its interval."""
    cell = row.cells.get(heading.column)
    if cell is None or cell.against is None:
        return NOTHING
    return difference_text(cell.against, percent=heading.percent)


def notes_below(comparison: Comparison) -> list[str]:
    """The notes below the tables."""
    return [*legend(comparison), *comparison.notes, *map(left_out_text, comparison.left_out)]


def cost_keys(comparison: Comparison) -> list[str]:
    """The costs that are known of any method."""
    return [key for key in COST_TITLES if any(costs[key] is not None for costs in comparison.costs.values())]
