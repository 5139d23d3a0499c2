"""The meaning of values in tables: which are missing, which are whole numbers, and which are doubtful."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from vidssl.errors import VidsslError

NONE_WORDS = ("", "nan", "<na>", "na", "n/a", "none", "null")
"""Values that mean "none", in small or capital letters; -1 does too where all other values are whole numbers."""

_WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?(e\+?\d{1,2})?", re.ASCII | re.IGNORECASE)
_NAMED = 4


def is_none(value: str) -> bool:
    """Whether a value means "none"."""
    return value.lower() in NONE_WORDS


def read_names(column: str, values: Sequence[str]) -> tuple[list[str | None], list[str]]:
    """Read a column of names, such as that of the labels.

    Whole numbers are whole numbers however they are written: ``3``, ``3.0`` and ``03`` are one name.

    Args:
        column: its name, for messages.
        values: as the table has them.

    Returns:
        The names, None for none; and what the user should look at, as sentences.

    Raises:
        VidsslError: there are numbers below -1.
    """
    words = [None if is_none(value) else value for value in values]
    given = [value for value in words if value is not None]
    names = dict(zip(given, given, strict=True))
    if given and all(_WHOLE_NUMBER.fullmatch(value) for value in given):
        names = _number_names(column, set(given))
    read = [None if value is None else names.get(value) for value in words]
    missing = Counter(value for value, name in zip(values, read, strict=True) if name is None and value)
    return read, [*_none_notes(column, missing), *_doubts(column, {name for name in read if name is not None})]


def sort_names(names: Iterable[str]) -> list[str]:
    """Sort names: as numbers where all of them are whole, so that 10 does not come before 2; else as text."""
    names = sorted(names)
    return sorted(names, key=_number) if all(_WHOLE_NUMBER.fullmatch(name) for name in names) else names


def spelling_notes(column: str, names: Iterable[str]) -> list[str]:
    """Return a sentence about names that differ in nothing but capital letters and white space."""
    spellings = defaultdict(list)
    for name in sorted(names):
        spellings["".join(name.split()).lower()].append(name)
    alike = [" and ".join(map(repr, same)) for same in spellings.values() if len(same) > 1]
    return [f"{column}: {_first(alike)} differ in capital letters or spaces only, and count as different"] * bool(alike)


def _number(value: str) -> int:
    return int(Decimal(value))


def _number_names(column: str, values: set[str]) -> dict[str, str]:
    """Return what whole numbers are called; -1 is not among them."""
    negative = sorted((value for value in values if _number(value) < 0), key=_number)
    if negative and _number(negative[0]) < -1:
        raise VidsslError(
            f"The column {column!r} holds {_first(negative)}: of numbers below 0 only -1 has a meaning, none. Write "
            "names in place of numbers, or leave the value empty where there is none."
        )
    spellings = defaultdict(set)
    for value in values:
        # 007 stays 007 where nothing else is 7
        spellings[_number(value)].add(value if value.isdecimal() else str(_number(value)))
    names = {number: same.pop() if len(same) == 1 else str(number) for number, same in spellings.items()}
    return {value: names[_number(value)] for value in values if _number(value) >= 0}


def _none_notes(column: str, missing: Counter[str]) -> list[str]:
    counts = [f"{value!r} ({count:,} times)" for value, count in sorted(missing.items())]
    return [f"{column}: {_first(counts)} means none"] * bool(counts)


def _doubts(column: str, names: set[str]) -> list[str]:
    numbers = sorted((name for name in names if _WHOLE_NUMBER.fullmatch(name)), key=_number)
    others = sorted(names.difference(numbers))
    notes = spelling_notes(column, names)
    if numbers and others:
        notes.append(
            f"{column}: {_first([repr(name) for name in others])} is not a whole number, {len(numbers):,} others are; "
            "so all are ordered as text (10 before 2)"
        )
    if numbers and not others and column == "label" and _number(numbers[-1]) != len(numbers) - 1:
        notes.append(
            f"label: {len(numbers):,} different numbers from {numbers[0]} to {numbers[-1]} become the classes "
            f"0 to {len(numbers) - 1}"
        )
    return notes


def _first(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_NAMED]) + (", ..." if len(texts) > _NAMED else "")
