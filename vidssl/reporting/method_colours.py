"""The colour of a method depends on its name, so it is the same on every page and in every picture."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

# Okabe and Ito's colours without the yellow and the black; shapes and dashes say the same again.
ON_LIGHT = ("#0072b2", "#d55e00", "#00916a", "#b8528c", "#b07d00", "#2f93d1", "#7a5ba6", "#5d6b76")
ON_DARK = ("#56a9e8", "#ff8a4a", "#2fc79c", "#e58fc0", "#e9b949", "#9bd4f7", "#b49ae0", "#a9b4be")
UNTRAINED = "untrained"
UNTRAINED_ON_LIGHT, UNTRAINED_ON_DARK = "#7d8790", "#8d979f"
VARIABLES = {
    "light": {**{f"m{place}": colour for place, colour in enumerate(ON_LIGHT)}, UNTRAINED: UNTRAINED_ON_LIGHT},
    "dark": {**{f"m{place}": colour for place, colour in enumerate(ON_DARK)}, UNTRAINED: UNTRAINED_ON_DARK},
}
"""The colours as variables of CSS, for a light and a dark ground."""
SHIPPED = ("CVRL", "MCL", "SimCLR", "MoCo", "BYOL", "SwAV", "VICReg", "SimSiam")
"""Their places among the colours are fixed; the place of any other name follows from its letters."""


def method_places(labels: Sequence[str]) -> dict[str, int]:
    """Return the place of each method's colour, at least 0.

    Two methods of one page never share a place: of those that would, the first by name keeps it, and the others take
    the next free one. With more methods than colours the places go on.

    Args:
        labels: names of the methods, each once.
    """
    count, taken = len(ON_LIGHT), dict[int, str]()
    for label in sorted(labels, key=lambda label: (label not in SHIPPED, label)):
        place = SHIPPED.index(label) if label in SHIPPED else zlib.crc32(label.encode()) % count
        while place in taken:
            place = (place + 1) % count if len(taken) < count else place + count
        taken[place] = label
    return {label: place for place, label in taken.items()}


def colour_variable(label: str) -> str:
    """Return the variable of CSS that holds the colour of a method, such as ``m0``."""
    if label.startswith(UNTRAINED):
        return UNTRAINED
    return f"m{method_places([label])[label] % len(ON_LIGHT)}"


def colour_on_light(label: str) -> str:
    """Return the colour of a method for a picture with a light ground, such as ``#0072b2``."""
    return VARIABLES["light"][colour_variable(label)]
