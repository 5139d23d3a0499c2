"""What ``vidssl evaluate`` prints: protocols with every setting, metrics, accuracy by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidssl.reporting.percent import percent

MAX_CLASSES = 24
"""Rows of the table by class; of more classes those with the lowest accuracy are shown."""


def protocol_lines(record: Mapping[str, Any]) -> list[str]:
    """Return everything that a number depends on beside the network, as lines of text.

    Args:
        record: see `vidssl.evaluation.protocols.records`.
    """
    protocol, data = record["protocol"], record["data"]
    clips = data["clips"]
    crops = "1 crop" if clips["num_crops"] == 1 else f"{clips['num_crops']} crops"
    views = f"{clips['num_clips']} clips x {crops} of {clips['num_frames']} frames"
    pixels = f"stride {clips['stride']}, short side {clips['resize']}, crop {clips['crop_size']}"
    same = data["gallery_split"] == data["query_split"]
    gallery = (
        "groups of them held out in turn" if same else f"gallery {data['gallery_split']} {data['gallery_videos']:,}"
    )
    lines = [
        f"{protocol['name']} (version {protocol['version']}): {protocol['summary']}",
        f"  source   {protocol['source']}",
        f"  measure  {_settings(protocol['measure'])}",
        f"  clips    {views}, {pixels}; {_views(protocol)}",
        f"  videos   {data['name']} ({data['catalog_digest']}): query {data['query_split']} "
        f"{data['query_videos']:,}, {gallery}",
    ]
    if record["modified"]:
        lines.append(f"  changed  {_pairs(record['modified'])}")
    if record["seen_in_training"]:
        lines.append(f"  seen     {record['seen_in_training']:,} query videos were trained on, without their labels")
    return lines


def _views(protocol: Mapping[str, Any]) -> str:
    drawn = protocol["training_views"]
    if drawn is not None:
        return f"training on {drawn['num_views']} drawn views per video ({_pairs(drawn)}), queries by each view"
    facts = {
        "mean": "mean of their features",
        "each": "features of each view",
        "changed": "mean of their features, under each change in time",
    }
    return facts[protocol["query_views"]]


def _settings(measure: Mapping[str, Any]) -> str:
    inner = [f"of {_settings(value)}" for value in measure.values() if _is_measure(value)]
    own = {key: value for key, value in measure.items() if key != "name" and not _is_measure(value)}
    return " ".join([measure["name"], *([f"({_pairs(own)})"] if own else []), *inner])


def _is_measure(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_pairs(value)})"
    return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def print_protocols(records: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print each protocol once, as it was used."""
    facts = dict.fromkeys(line for record in records for line in ["\n".join(protocol_lines(record))])
    for text in facts:
        console.print(escape(text), soft_wrap=True)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console, *, corner: str = "%") -> None:
    """Print metrics.

    Args:
        headings: of the columns after the first.
        rows: the name of a metric and its values.
        console: where to print.
        corner: heading of the first column, such as a unit that all rows share.
    """
    console.print()
    table = Table(box=None, pad_edge=False)
    table.add_column(corner, no_wrap=True)
    for heading in headings:
        table.add_column(escape(heading), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def print_by_class(records: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the accuracy within each class, a column a protocol, the lowest first; of many classes the lowest.

    Args:
        records: of the same queries; those that classify nothing are left out.
        console: where to print.
    """
    tables = {record["protocol"]["name"]: record["per_class"] for record in records if record["per_class"]}
    if not tables:
        return
    first = next(iter(tables.values()))
    mean = {label: fmean(table[label]["accuracy"] for table in tables.values()) for label in first}
    lowest = sorted(first, key=lambda label: (mean[label], label))
    shown = f" (the lowest {MAX_CLASSES} of {len(lowest)})" if len(lowest) > MAX_CLASSES else ""
    console.print(f"\n[italic]By class, %{shown}[/]")
    columns = Table(box=None, pad_edge=False)
    columns.add_column("class", no_wrap=True)
    for heading in ("videos", *tables):
        columns.add_column(escape(heading), justify="right", overflow="fold")
    for label in lowest[:MAX_CLASSES]:
        accuracies = (percent(table[label]["accuracy"]) for table in tables.values())
        columns.add_row(escape(label), f"{first[label]['videos']:,}", *accuracies)
    console.print(columns)
