"""The networks that come with vidssl: `small`, trained by each method on the embedded videos.

They show that a method works, and give a first network to evaluate or to start from; they are no substitute for one
that was trained on real videos. ``weights.json`` beside the files says what each is; `tools/export_weights.py` writes
both.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidssl.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from vidssl.backbones.contract import Backbone

FOLDER = Path(__file__).parent
INDEX = FOLDER / "weights.json"
CONFIGURATION = "configuration"
"""In the header of a file: the configuration that trained the network, as JSON."""


@cache
def described() -> dict[str, dict[str, Any]]:
    """Return name -> what the network is: ``objective``, ``seed``, ``steps``, ``sha256``, ``accuracy``, ..."""
    content: dict[str, dict[str, Any]] = json.loads(INDEX.read_text(encoding="utf-8"))
    return content


def summaries() -> dict[str, str]:
    """Return one line for every name."""
    return {
        name: f"{weights['backbone']} by {weights['objective']}, {weights['steps']} steps on the embedded videos; "
        f"linear {100 * weights['accuracy']['linear']['this']:.1f} %"
        for name, weights in described().items()
    }


def weights_file(name: str) -> Path:
    """Return the file of a network that comes with vidssl.

    Raises:
        UnknownNameError: none has this name; the message lists what there is.
    """
    if name not in described():
        known = ", ".join(described())
        raise UnknownNameError(f"Unknown pretrained network {name!r}.{nearest(name, described())} Known: {known}.")
    return FOLDER / f"{name}.safetensors"


def brought_along(file: Path) -> dict[str, Any]:
    """Return the configuration in the header of a file of weights (`CONFIGURATION`), empty if there is none."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, framework="pt") as content:
            held: dict[str, Any] = json.loads((content.metadata() or {}).get(CONFIGURATION, "{}"))
            return held
    except (SafetensorError, OSError):
        return {}  # whoever reads the weights says what is wrong with the file


def load(name: str) -> Backbone:
    """Return a network that comes with vidssl, in evaluation mode; nothing is downloaded or unpickled.

    Clips are normalised by the mean 0.45 and the standard deviation 0.225, as its file says (`vidssl.nn.ClipInput`).

    Args:
        name: one of ``vidssl list pretrained``, such as ``cvrl_small_synthetic``.

    Returns:
        The network: clips B x 3 x T x H x W, float and normalised, to features (B, 128).

    Raises:
        UnknownNameError: none has this name.
        VidsslError: the file is damaged.
    """
    from vidssl.backbones.export import load_exported

    return load_exported(weights_file(name))
