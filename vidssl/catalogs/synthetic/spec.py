"""The specification of a set of embedded videos, and the file that stores it beside them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vidssl.catalogs.synthetic.patterns import LABELS
from vidssl.errors import VidsslError, nearest

CHOICES = {
    "appearance": ("shared", "unique", "background"),
    "placement": ("centre", "off-centre"),
    "activity": ("full", "partial"),
    "labels": tuple(LABELS),
}
SPEC_NAME = "spec.json"
DRAWING_VERSION = 2  # raise it whenever the same specification would give other pixels
# Pixels of a texture and of the picture of the shape, in frames of REFERENCE_SIDE and in smaller ones.
TILE_SIZE, SPRITE_SIZE, REFERENCE_SIDE = 128, 64, 80
# What earlier versions could draw is drawn as they did, and described as they did.
_FIRST_APPEARANCES = ("shared", "unique")
_LATER_KEYS = ("placement", "activity", "labels")


@dataclass(frozen=True)
class SyntheticSpec:
    """What to write.

    Attributes:
        num_train: videos in the split "train".
        num_test: videos in the split "test".
        num_frames: frames of each video.
        height: in pixels, even.
        width: in pixels, even.
        fps: frames per second.
        appearance: "shared" (textures from a pool shared by all videos), "unique" (own textures for every video) or
            "background" (own backgrounds, and shapes with textures from the pool).
        seed: of all drawing. Video i of a split depends on the seed, the split and i, not on how many there are.
        placement: "centre" (the shape is large and near the middle) or "off-centre" (small and anywhere).
        activity: "full" (the shape moves all the time) or "partial" (it rests about half of the time).
        labels: "pattern" (how the shape moves) or "order" (what comes first; every class shows the same frames).

    Raises:
        VidsslError: a value out of its range; the message names it.
    """

    num_train: int = 480
    num_test: int = 240
    num_frames: int = 48
    height: int = 80
    width: int = 80
    fps: int = 25
    appearance: str = "shared"
    seed: int = 0
    placement: str = "centre"
    activity: str = "full"
    labels: str = "pattern"

    def __post_init__(self) -> None:
        for key, known in CHOICES.items():
            value = getattr(self, key)
            if value not in known:
                hint = nearest(str(value), known)
                raise VidsslError(f"Unknown {key} {value!r}; choose from {', '.join(known)}.{hint}")
        for name in ("num_train", "num_test"):
            value, least = getattr(self, name), len(self.classes)
            if value < least:
                raise VidsslError(f"{name} is {value}: one video per class takes at least {least}.")
        for name in ("height", "width"):
            if getattr(self, name) < 16 or getattr(self, name) % 2:
                raise VidsslError(f"{name} is {getattr(self, name)}: it must be even and at least 16 pixels.")
        if self.num_frames < 2 or self.fps < 1 or self.seed < 0:
            raise VidsslError(
                f"num_frames is {self.num_frames}, fps {self.fps}, seed {self.seed}: "
                "at least 2 frames, 1 frame per second and a seed of 0 or more are needed."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(LABELS[self.labels])

    @property
    def scale(self) -> float:
        """Pixels of a texture's tile, and of the shape, relative to `TILE_SIZE` and `SPRITE_SIZE`.

        Textures grow with the frame, so that a larger frame shows the same picture more finely. Where they do not, they
        repeat inside frames of more than `TILE_SIZE` pixels, and the shape is blurred.
        """
        is_of_old = self.appearance in _FIRST_APPEARANCES and not self._later_choices
        return 1.0 if is_of_old else max(1.0, min(self.height, self.width) / REFERENCE_SIDE)

    @property
    def _later_choices(self) -> set[str]:
        """The keys that earlier versions did not know and that are not at their defaults."""
        return {one.name for one in fields(self) if one.name in _LATER_KEYS and getattr(self, one.name) != one.default}


def read_spec(folder: Path) -> SyntheticSpec:
    """Return what the embedded videos in a folder were drawn from.

    Raises:
        VidsslError: there is no `SPEC_NAME`, or it is not one of this version.
    """
    path = folder / SPEC_NAME
    if not path.is_file():
        raise VidsslError(f"There is no {SPEC_NAME} in {folder}: it holds no videos of `vidssl prepare synthetic`.")
    present = _read(path)
    version = present.pop("drawing_version", None)
    if version != DRAWING_VERSION:
        raise VidsslError(
            f"{path} is of drawing version {version}, this vidssl draws {DRAWING_VERSION}; draw them again."
        )
    try:
        return SyntheticSpec(**present)
    except TypeError as error:
        raise VidsslError(f"{path} is of another version of vidssl ({error}); draw the videos again.") from error


def claim(folder: Path, spec: SyntheticSpec) -> bool:
    """Return True when the folder was claimed for `spec` before; claim it when it is new."""
    spec_path = folder / SPEC_NAME
    if spec_path.is_file():
        _refuse_other_spec(spec_path, spec)
        return True
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise VidsslError(f"{folder} is not empty and holds no {SPEC_NAME}; choose a new folder for synthetic videos.")
    spec_path.write_text(json.dumps(described(spec), indent=2) + "\n")
    return False


def _refuse_other_spec(spec_path: Path, spec: SyntheticSpec) -> None:
    present, wanted = _read(spec_path), described(spec)
    if present == wanted:
        return
    defaults = {one.name: one.default for one in fields(SyntheticSpec)}
    differing = [
        f"{name} is {there!r}, not {here!r}"
        for name in {**wanted, **present}
        if (there := present.get(name, defaults.get(name))) != (here := wanted.get(name, defaults.get(name)))
    ]
    raise VidsslError(
        f"{spec_path.parent} already holds other synthetic videos ({'; '.join(differing)}). "
        "Choose another folder, or delete this one to draw it again."
    )


def described(spec: SyntheticSpec) -> dict[str, Any]:
    """Return what spec.json holds."""
    facts = {key: value for key, value in asdict(spec).items() if key not in _LATER_KEYS or key in spec._later_choices}
    return {**facts, "drawing_version": DRAWING_VERSION}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise VidsslError(f"{path} is not readable as JSON ({error}); delete the folder and run again.") from error
    if not isinstance(found, dict):
        raise VidsslError(f"{path} is not a specification of embedded videos; delete the folder and run again.")
    return found
