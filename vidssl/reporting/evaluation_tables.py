"""What ``vidssl evaluate`` prints: protocols with every setting, metrics, accuracy by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

MAX_CLASSES = 24
"""Of a table by class on the screen; of more the worst are shown."""


def protocol_lines(record: Mapping[str, Any]) -> list[str]:
    """Return everything that a number depends on beside the network, as lines of text.

    Args:
        record: see `vidssl.evaluation.records`.
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
        return f"training on {drawn['num_views']} drawn views a video ({_pairs(drawn)}), queries by each view"
    return {"mean": "mean of their features", "each": "features of each view"}[protocol["query_views"]]


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
    told = dict.fromkeys(line for record in records for line in ["\n".join(protocol_lines(record))])
    for text in told:
        console.print(escape(text), soft_wrap=True)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print metrics in %.

    Args:
        headings: of the columns after the first.
        rows: the name of a metric and its values.
        console: where to print.
    """
    console.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("%", overflow="fold")
    for heading in headings:
        table.add_column(escape(heading), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def print_by_class(record: Mapping[str, Any], console: Console) -> None:
    """Print the accuracy within each class, the lowest first; of many classes the lowest."""
    classes = record["per_class"]
    if not classes:
        return
    lowest = sorted(classes.items(), key=lambda entry: (entry[1]["accuracy"], entry[0]))
    rest = len(lowest) - MAX_CLASSES
    console.print()
    name = record["protocol"]["name"]
    console.print(f"[italic]{escape(name)}, by class{f' (the lowest {MAX_CLASSES})' if rest > 0 else ''}[/]")
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("class", "left"), ("videos", "right"), ("%", "right")):
        table.add_column(heading, justify=justify)
    for label, told in lowest[:MAX_CLASSES]:
        table.add_row(escape(label), f"{told['videos']:,}", f"{100 * told['accuracy']:.1f}")
    console.print(table)
