"""Which frames: pure index arithmetic over an explicit generator.

Every sampler maps a video's length to one index array a view, without touching a file. Source of the interval
sampler: Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021, section 3.2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidssl.errors import VidsslError, nearest
from vidssl.motion.maps import VideoMotion
from vidssl.registry import Registry

SAMPLERS = Registry(
    "sampler", "vidssl.samplers", check="vidssl.data.contracts.sampler:fault_of", is_named_by_class=True
)
"""Name -> class below `ClipSampler`; ``data.sampler`` of a configuration takes these names."""


def clip_span(num_frames: int, stride: int) -> int:
    """Distance in frames between the first and the last frame of a clip."""
    return (num_frames - 1) * stride


def max_start_offset(num_video_frames: int, num_frames: int, stride: int) -> tuple[int, bool]:
    """Return the end T of the half-open range [0, T) of start frames, and whether the video must be looped.

    T is L - span where the video is longer than the clip's span; otherwise the video is looped (frame index
    modulo L) and T is L.

    Args:
        num_video_frames: L, the frames of the video that decode, at least 1.
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip.
    """
    span = clip_span(num_frames, stride)
    if num_video_frames > span:
        return num_video_frames - span, False
    return num_video_frames, True


def clip_indices(start: int, num_video_frames: int, num_frames: int, stride: int) -> np.ndarray:
    """Return the frame numbers of one clip, int64 of shape (num_frames,), looped where the video ends early."""
    return (start + np.arange(num_frames, dtype=np.int64) * stride) % num_video_frames


# --- How far apart the two clips are: an interval t in [0, 1) of the largest possible one, from u in [0, 1) ---


def decreasing_interval(u: float, power: float) -> float:
    """Invert F(x) = (p+1)/p * (x - x^(p+1)/(p+1)), the cumulative of the density f(x) ~ 1 - x^p on [0, 1)."""
    if power == 1:
        return 1.0 - math.sqrt(1.0 - u)
    low, high = 0.0, 1.0
    for _ in range(60):  # F is strictly increasing, and 60 halvings exhaust a float
        middle = 0.5 * (low + high)
        below = (power + 1) / power * middle - middle ** (power + 1) / power < u
        low, high = (middle, high) if below else (low, middle)
    return low


def increasing_interval(u: float, power: float) -> float:
    """Mirror the decreasing density: f(x) ~ 1 - (1 - x)^p."""
    return 1.0 - decreasing_interval(1.0 - u, power)


INTERVAL_DENSITIES: dict[str, Callable[[float, float], float]] = {
    "decreasing": decreasing_interval,
    "uniform": lambda u, power: u,
    "increasing": increasing_interval,
    "zero": lambda u, power: 0.0,
    "farthest": lambda u, power: math.nextafter(1.0, 0.0),
}


class ClipSampler(ABC):
    """Chooses the frames of each view of a video.

    Attributes:
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip; the first choice where `strides` has several.
        num_clips: index arrays that a call returns.
    """

    num_frames: int
    stride: int
    num_clips: int

    @property
    def uses_motion(self) -> bool:
        """Whether a call needs the motion of the video; computing it costs time."""
        return False

    @property
    def strides(self) -> tuple[int, ...]:
        """Every stride that a clip may have; more than one where a sampler draws it, as for clips at several speeds."""
        return (self.stride,)

    def stride_of(self, indices: np.ndarray, num_video_frames: int) -> int:
        """Return which of `strides` a clip was drawn with; it goes into the batch (`ClipBatch.strides`).

        Args:
            indices: int64 (num_frames,), frame numbers of the clip.
            num_video_frames: frames of the video that decode, in which a clip may go round.

        Raises:
            VidsslError: none of the strides leads from the first frame to the second.
        """
        if len(self.strides) == 1 or len(indices) == 1:
            return self.strides[0]
        step = int(indices[1] - indices[0]) % num_video_frames
        fitting = [stride for stride in self.strides if stride % num_video_frames == step]
        if not fitting:
            raise VidsslError(
                f"{type(self).__name__} drew frames {indices[0]} and {indices[1]}, and its strides are "
                f"{', '.join(map(str, self.strides))}: let the property `strides` name every one that it draws."
            )
        return fitting[0]

    @property
    def clip_length(self) -> int:
        """Frames of a video that the longest clip spans, its first and last included."""
        return clip_span(self.num_frames, max(self.strides)) + 1

    def shortcomings(self) -> list[tuple[int, str]]:
        """Return what a video is too short for: the frames that it needs, and what becomes of one that has fewer."""
        return [(self.clip_length, f"shorter than a clip of {self.clip_length} frames and are looped")]

    @abstractmethod
    def __call__(
        self, num_video_frames: int, rng: np.random.Generator, motion: VideoMotion | None = None
    ) -> list[np.ndarray]:
        """Return `num_clips` index arrays, each int64 of shape (num_frames,) with values in [0, num_video_frames).

        Args:
            num_video_frames: frames of the video that decode, at least 1.
            rng: the only source of randomness.
            motion: of this video; None where there is none, or none is used.
        """


@dataclass
class IntervalSampler(ClipSampler):
    """Two clips, a time interval apart that is drawn from a named density (CVRL, section 3.2).

    The interval t is drawn on [0, T), the first start uniformly on [0, T - t), the second is first + t, and a coin
    toss decides which of the two is view 1. Where the video has to be looped, both starts are independent.

    Args:
        num_frames: frames per clip (16 in the paper).
        stride: distance in frames between two frames of a clip (2 in the paper).
        density: ``decreasing`` (density proportional to 1 - (t/T)^power), ``uniform``, ``increasing`` (mirrored),
            ``zero`` (both clips at the same time) or ``farthest`` (as far apart as the video allows).
        power: p of the decreasing and increasing densities; 1, the linear one, is the paper's best.

    Raises:
        VidsslError: an unknown density, or a size that is not positive.
    """

    num_frames: int = 16
    stride: int = 2
    density: str = "decreasing"
    power: float = 1.0

    def __post_init__(self) -> None:
        check_clip(self.num_frames, self.stride)
        self.num_clips = 2
        if self.density not in INTERVAL_DENSITIES:
            known = ", ".join(INTERVAL_DENSITIES)
            raise VidsslError(
                f"data.sampler.density: unknown density {self.density!r}."
                f"{nearest(self.density, INTERVAL_DENSITIES)} Known: {known}."
            )
        if self.power <= 0:
            raise VidsslError(f"data.sampler.power must be above 0, got {self.power}.")

    def shortcomings(self) -> list[tuple[int, str]]:
        """Add the videos whose two clips cannot be apart, see `ClipSampler`."""
        two = 2 * self.clip_length
        apart = (
            [] if self.density == "zero" else [(two, f"shorter than two clips ({two} frames), which always overlap")]
        )
        return super().shortcomings() + apart

    def interval(self, max_offset: int, rng: np.random.Generator) -> float:
        """Draw the distance in frames between the two starts, in [0, max_offset)."""
        return max_offset * INTERVAL_DENSITIES[self.density](rng.random(), self.power)

    def __call__(
        self, num_video_frames: int, rng: np.random.Generator, motion: VideoMotion | None = None
    ) -> list[np.ndarray]:
        """Return the two clips' index arrays, see `ClipSampler`."""
        max_offset, looped = max_start_offset(num_video_frames, self.num_frames, self.stride)
        if looped:
            starts = [int(rng.integers(max_offset)), int(rng.integers(max_offset))]
        else:
            interval = self.interval(max_offset, rng)
            first = rng.random() * (max_offset - interval)
            # rounding of first + interval may touch the open end of the range
            starts = [int(first), min(int(first + interval), max_offset - 1)]
            if rng.random() < 0.5:
                starts.reverse()
        return [clip_indices(start, num_video_frames, self.num_frames, self.stride) for start in starts]


@dataclass
class UniformSampler(ClipSampler):
    """Clips whose starts are independent and uniform over the video, in the order in which they are drawn.

    With rho clips it is the sampling of Feichtenhofer et al., "A Large-Scale Study on Unsupervised Spatiotemporal
    Representation Learning", CVPR 2021 (released code: no bounds on the distance of two clips).

    Args:
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip.
        num_clips: how many clips.
    """

    num_frames: int = 16
    stride: int = 2
    num_clips: int = 2

    def __post_init__(self) -> None:
        check_clip(self.num_frames, self.stride, self.num_clips)

    def __call__(
        self, num_video_frames: int, rng: np.random.Generator, motion: VideoMotion | None = None
    ) -> list[np.ndarray]:
        """Return the clips' index arrays, see `ClipSampler`."""
        max_offset, _ = max_start_offset(num_video_frames, self.num_frames, self.stride)
        starts = rng.integers(max_offset, size=self.num_clips)
        return [clip_indices(int(start), num_video_frames, self.num_frames, self.stride) for start in starts]


@dataclass
class EvenlySpacedSampler(ClipSampler):
    """Clips spread evenly from the first possible start to the last; a single clip is the middle one. For evaluation.

    A video that is too short gives the looped clip from its beginning, `num_clips` times.

    Args:
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip.
        num_clips: how many clips.
    """

    num_frames: int = 16
    stride: int = 2
    num_clips: int = 10

    def __post_init__(self) -> None:
        check_clip(self.num_frames, self.stride, self.num_clips)

    def __call__(
        self, num_video_frames: int, rng: np.random.Generator | None = None, motion: VideoMotion | None = None
    ) -> list[np.ndarray]:
        """Return the clips' index arrays, see `ClipSampler`; nothing is drawn."""
        max_offset, looped = max_start_offset(num_video_frames, self.num_frames, self.stride)
        last = 0 if looped else max_offset - 1
        if self.num_clips == 1:
            starts = np.array([last // 2])
        else:
            starts = np.linspace(0, last, self.num_clips).round().astype(np.int64)
        return [clip_indices(int(start), num_video_frames, self.num_frames, self.stride) for start in starts]


def check_clip(num_frames: int, stride: int, num_clips: int = 1) -> None:
    """Check the sizes that every sampler takes.

    Raises:
        VidsslError: one of them is below 1; the message names the key.
    """
    for name, value in (("num_frames", num_frames), ("stride", stride), ("num_clips", num_clips)):
        if value < 1:
            raise VidsslError(f"data.sampler.{name} must be at least 1, got {value}.")


# under the names that a configuration uses (class_path)
SAMPLERS.register("IntervalSampler", IntervalSampler, summary="two clips, a random interval apart (CVRL)")
SAMPLERS.register("UniformSampler", UniformSampler, summary="clips at independent uniform starts")
SAMPLERS.register("EvenlySpacedSampler", EvenlySpacedSampler, summary="clips spread evenly over the video (evaluation)")
SAMPLERS.register(
    "MotionSampler",
    "vidssl.data.motion_sampling:MotionSampler",
    summary="clips with much motion, the query's clip apart from the others (MCL)",
)
