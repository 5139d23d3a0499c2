"""What an augmentation is, as plain data: the recipe to draw from, and the plan that was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from vidssl.data.operations import Drawn, Operation, class_of_operation
from vidssl.data.operations.shipped import Blur, Grey, Jitter, Solarise
from vidssl.errors import VidsslError


def require(condition: bool, name: str, value: Any, wanted: str) -> None:
    """Raise a VidsslError naming `name` and what it must be, unless `condition` holds."""
    if not condition:
        raise VidsslError(f"{name} is {value!r}; it must be {wanted}.")


@dataclass(frozen=True)
class MotionCrop:
    """How a crop is drawn where most moves; the defaults are those of MCL's released code, except `num_sizes`.

    Attributes:
        percentile: share of the cells of a 7 x 7 grid, in percent, that move less than the moving region's; the region
            is the box around the others.
        required_coverage: pairs (cells, share), smallest first: a crop must cover this share of a region of at most
            this many cells, and nothing of a larger region. ``[[49, 0.8]]`` is the paper's rule.
        num_sizes: areas and aspects that are tried before the crop that covered most is taken. The released code
            keeps the first that fits into the frame: 1.
        num_positions: places at which each of them is tried.
    """

    percentile: float = 90.0
    required_coverage: tuple[tuple[int, float], ...] = ((4, 0.9), (8, 0.8), (12, 0.7))
    num_sizes: int = 20
    num_positions: int = 40

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            VidsslError: a value is out of its range; the message names the key.
        """
        require(0.0 <= self.percentile < 100.0, "motion_crop.percentile", self.percentile, "from 0 to below 100")
        cells, shares = zip(*self.required_coverage, strict=True) if self.required_coverage else ((), ())
        require(
            list(cells) == sorted(cells) and all(0.0 <= share <= 1.0 for share in shares),
            "motion_crop.required_coverage",
            self.required_coverage,
            "pairs of a number of cells, growing, and a share from 0 to 1",
        )
        for name in ("num_sizes", "num_positions"):
            require(getattr(self, name) >= 1, f"motion_crop.{name}", getattr(self, name), "at least 1")


@dataclass(frozen=True)
class AugmentationRecipe:
    """The distributions from which the plan of a view is drawn; the defaults only change the size.

    Attributes:
        crop_size: side of the square result, pixels.
        crop_area: smallest and greatest area of the crop, as a share of the frame's (0-1].
        crop_aspect: smallest and greatest width / height of the crop, drawn uniformly in its logarithm.
        flip_probability: probability of mirroring left and right (0-1, like every probability here).
        jitter_probability: probability of changing brightness, contrast, saturation and hue, in a random order.
        brightness: strength; the factor is drawn from [max(0, 1 - brightness), 1 + brightness].
        contrast: strength, as for brightness.
        saturation: strength, as for brightness.
        hue: strength; the shift is drawn from [-hue, hue], in turns of the colour circle (0-0.5).
        grey_probability: probability of making the clip grey (luma).
        blur_probability: probability of a Gaussian blur, whose kernel is about a tenth of `crop_size` wide.
        blur_sigma: smallest and greatest sigma of the blur, pixels of the result.
        solarise_probability: probability of inverting all values at or above the threshold.
        solarise_threshold: level of 0-255; 128 is the "0.5" of the papers.
        temporally_consistent: one draw for all frames of a clip; false draws again for every frame.
        motion_crop: draw the crop where most moves in the clip; needs `data.motion`. None draws it anywhere.
        operations: what else happens to the pixels, after all of this and in their order.
    """

    crop_size: int = 224
    crop_area: tuple[float, float] = (1.0, 1.0)
    crop_aspect: tuple[float, float] = (1.0, 1.0)
    flip_probability: float = 0.0
    jitter_probability: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey_probability: float = 0.0
    blur_probability: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarise_probability: float = 0.0
    solarise_threshold: int = 128
    temporally_consistent: bool = True
    motion_crop: MotionCrop | None = None
    operations: tuple[Operation, ...] = ()

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            VidsslError: a value is out of its range; the message names the key.
        """
        require(self.crop_size >= 1, "crop_size", self.crop_size, "at least 1 pixel")
        for name in ("crop_area", "crop_aspect", "blur_sigma"):
            low, high = getattr(self, name)
            require(0.0 < low <= high, name, (low, high), "two positive numbers, the smaller first")
        require(self.crop_area[1] <= 1.0, "crop_area", self.crop_area, "a share of the frame, at most 1")
        for field in fields(self):
            if field.name.endswith("_probability"):
                value = getattr(self, field.name)
                require(0.0 <= value <= 1.0, field.name, value, "a probability from 0 to 1")
        for name in ("brightness", "contrast", "saturation"):
            require(getattr(self, name) >= 0.0, name, getattr(self, name), "at least 0")
        require(0.0 <= self.hue <= 0.5, "hue", self.hue, "from 0 to 0.5 turns of the colour circle")
        require(0 <= self.solarise_threshold <= 255, "solarise_threshold", self.solarise_threshold, "from 0 to 255")
        object.__setattr__(self, "operations", tuple(self.operations))

    @cached_property
    def pixel_operations(self) -> tuple[Operation, ...]:
        """All operations on pixels in their order, after crop and flip; those of the keys come before `operations`."""
        strengths = {name: getattr(self, name) for name in ("brightness", "contrast", "saturation", "hue")}
        return (
            Jitter(self.jitter_probability, **strengths),
            Grey(self.grey_probability),
            Blur(self.blur_probability, self.blur_sigma),
            Solarise(self.solarise_probability, self.solarise_threshold),
            *self.operations,
        )


# CVRL, appendix, table of augmentations of the two views.
CVRL_VIEW_1 = AugmentationRecipe(
    crop_size=224,
    crop_area=(0.3, 1.0),
    crop_aspect=(0.5, 2.0),
    flip_probability=0.5,
    jitter_probability=0.8,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    grey_probability=0.2,
    blur_probability=1.0,
    blur_sigma=(0.1, 2.0),
    solarise_probability=0.0,
    solarise_threshold=128,
)
CVRL_VIEW_2 = replace(CVRL_VIEW_1, blur_probability=0.1, solarise_probability=0.2)

# MCL, section 3.2 and the released code: the same for the query and all keys.
MCL_VIEW = AugmentationRecipe(
    crop_size=224,
    crop_area=(0.2, 1.0),
    crop_aspect=(3 / 4, 4 / 3),
    flip_probability=0.5,
    jitter_probability=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    grey_probability=0.2,
    blur_probability=0.5,
    blur_sigma=(0.1, 2.0),
    motion_crop=MotionCrop(),
)


@dataclass(frozen=True)
class FramePlan:
    """What happens to one frame, in the order of the attributes.

    Attributes:
        crop: top, left, height, width of the part that is used, pixels of the source.
        resize: height and width to which that part is resized, pixels.
        window: top and left of the result inside the resized part, pixels; (0, 0) unless only a part of it is used.
        flip: mirror left and right.
        operations: what happens to the pixels: path of an operation's class, and what it drew.
    """

    crop: tuple[int, int, int, int]
    resize: tuple[int, int]
    window: tuple[int, int] = (0, 0)
    flip: bool = False
    operations: tuple[Drawn, ...] = ()

    def __post_init__(self) -> None:
        """Check that the operations can be found.

        Raises:
            VidsslError: one cannot.
        """
        for path, _ in self.operations:
            class_of_operation(path)

    def drawn(self) -> dict[str, dict[str, Any]]:
        """Return the operations by the names of their classes, with what they drew; of two alike the last one."""
        return {path.rpartition(":")[2]: dict(values) for path, values in self.operations}


@dataclass(frozen=True)
class Plan:
    """What happens to a clip; plain data, equal plans do equal things.

    Attributes:
        num_frames: frames of the clip.
        source_size: height and width of the frames the plan was drawn for, pixels.
        crop_size: side of the square result, pixels.
        frames: one plan for all frames, or one for each.
    """

    num_frames: int
    source_size: tuple[int, int]
    crop_size: int
    frames: tuple[FramePlan, ...]

    def __post_init__(self) -> None:
        """Check that there is a plan for every frame.

        Raises:
            VidsslError: there are neither one nor `num_frames` of them.
        """
        if len(self.frames) not in (1, self.num_frames):
            raise VidsslError(
                f"A plan for {self.num_frames} frames holds {len(self.frames)} frame plans; give one, or one per frame."
            )

    def of_frame(self, number: int) -> FramePlan:
        """Return what happens to a frame of the clip."""
        return self.frames[number if len(self.frames) > 1 else 0]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it (numbers, strings, lists)."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """Return the plan whose `to_dict`, perhaps through JSON, gave `values`.

        Raises:
            VidsslError: a key is missing or unknown.
        """
        try:
            frames = tuple(FramePlan(**_tuples(frame)) for frame in values["frames"])
            return cls(**{**_tuples(values), "frames": frames})
        except (KeyError, TypeError) as error:
            raise VidsslError(f"This is not an augmentation plan: {error}. Give what Plan.to_dict returned.") from error

    def parts(self) -> Iterator[tuple[slice, FramePlan]]:
        """Yield the frames that share a plan, as a slice, with their plan."""
        if len(self.frames) == 1:
            yield slice(0, self.num_frames), self.frames[0]
            return
        for number, frame_plan in enumerate(self.frames):
            yield slice(number, number + 1), frame_plan


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with the lists that JSON makes of tuples turned back."""
    return {key: _tuple(value) for key, value in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list | tuple) else value
