"""The settings of motion maps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from vidssl.errors import UnknownNameError, VidsslError, nearest
from vidssl.motion import FLOW_ESTIMATORS
from vidssl.motion.boundary import POOLS

# Part of every digest: raise it when the same settings start to give other maps.
MAPS_VERSION = 4


@dataclass(frozen=True)
class MotionSettings:
    """How motion maps are computed from a video.

    Attributes:
        estimator: ``codec``, ``dis``, ``farneback``, ``tvl1``, ``exact`` (embedded videos only), or that of a plug-in.
        fallback: estimator for videos whose streams hold no motion vectors; used by ``codec`` alone.
        short_side: short side in pixels of the grey frames on which flow is computed; None keeps the video's own size.
            Frames are never enlarged. ``codec`` and ``exact`` do not use it.
        options: arguments of the estimator, such as ``{preset: medium}`` for ``dis``.
        fallback_options: arguments of the fallback.
        grid: rows and columns of a map; its cells divide the whole frame evenly.
        stride: frames from one map to the next.
        window: flows around a map's frame that the map is pooled over; 8 for UCF101, 4 for Kinetics in the paper.
        pool: ``signed`` sums the flow's derivatives over the window before taking the magnitude, as the released code
            of MCL does; ``magnitude`` averages the magnitudes of the flows, as the paper's eq. (1).
        border_fraction: share of the frame zeroed at each side: 8 of 224 pixels in the released code.
        floor: quantile of each map that counts as the noise of the estimator and is subtracted: 0.75 where things
            move in less than a quarter of the frame; 0, as in the paper, subtracts nothing.

    Raises:
        VidsslError: a value out of its range; the message names the key.
        UnknownNameError: an unknown estimator.
    """

    estimator: str = "codec"
    fallback: str = "dis"
    short_side: int | None = 120
    options: dict[str, Any] = field(default_factory=dict)
    fallback_options: dict[str, Any] = field(default_factory=dict)
    grid: tuple[int, int] = (28, 28)
    stride: int = 8
    window: int = 8
    pool: str = "signed"
    border_fraction: float = 8 / 224
    floor: float = 0.0

    def __post_init__(self) -> None:
        _check_estimator("estimator", self.estimator)
        _check_estimator("fallback", self.fallback)
        if self.fallback == "codec":
            raise VidsslError(f"{_PREFIX}fallback serves where 'codec' finds nothing; it cannot be 'codec' itself.")
        for key in ("options", "fallback_options"):
            if not isinstance(getattr(self, key), dict):
                raise VidsslError(f"{_PREFIX}{key} is a mapping from argument to value, got {getattr(self, key)!r}.")
        object.__setattr__(self, "grid", tuple(self.grid))
        if len(self.grid) != 2 or any(not _is_count(cells) for cells in self.grid):
            raise VidsslError(f"{_PREFIX}grid is [rows, columns], each at least 1, got {list(self.grid)}.")
        for key in ("stride", "window"):
            if not _is_count(getattr(self, key)):
                raise VidsslError(f"{_PREFIX}{key} must be a whole number, at least 1, got {getattr(self, key)!r}.")
        if self.short_side is not None and not (_is_count(self.short_side) and self.short_side >= 16):
            raise VidsslError(f"{_PREFIX}short_side must be at least 16 pixels, or null, got {self.short_side!r}.")
        if self.pool not in POOLS:
            hint = nearest(str(self.pool), POOLS)
            raise VidsslError(f"{_PREFIX}pool must be one of {', '.join(POOLS)}, got {self.pool!r}.{hint}")
        if not 0 <= self.border_fraction < 0.5:
            raise VidsslError(f"{_PREFIX}border_fraction is a share in [0, 0.5), got {self.border_fraction}.")
        if not 0 <= self.floor < 1:
            raise VidsslError(f"{_PREFIX}floor is a quantile in [0, 1), got {self.floor}.")

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that differ wherever any setting that changes the maps does."""
        settings = asdict(self)
        if not self.floor:  # stored motion from before there was one stays valid
            del settings["floor"]
        words = json.dumps({"version": MAPS_VERSION, **settings}, sort_keys=True, default=str)
        return hashlib.sha256(words.encode()).hexdigest()[:12]


_PREFIX = "data.motion.settings."


def _check_estimator(key: str, name: str) -> None:
    known = FLOW_ESTIMATORS.names()
    if name not in known:
        hint = f"{nearest(str(name), known)} Known: {', '.join(known)}."
        raise UnknownNameError(f"{_PREFIX}{key}: unknown flow estimator {name!r}.{hint}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
