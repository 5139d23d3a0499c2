"""The contract of a sampler, as checks: those behind ``vidssl check sampler``, which your own tests can use, too.

contract = SamplerContract(MySampler(num_frames=8))
assert [result for result in contract.results() if result.outcome == "failed"] == []
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from vidssl.contract_checks import ContractError
from vidssl.data.contracts.global_generators import other_global_state
from vidssl.data.contracts.part import PartContract, fault_of_class
from vidssl.data.sampling import ClipSampler
from vidssl.motion.maps import VideoMotion

VIDEO_LENGTHS = (1, 2, 7, 30, 48, 301)
"""Frames of the videos that a sampler is checked with: the shortest ones must be looped."""
SEEDS = range(5)
_GRID = (3, 4)


def fault_of(sampler: Any) -> str | None:
    """Return what keeps `sampler` from being used as one, in words for its author, or None.

    Args:
        sampler: anything that a plug-in offers as a sampler.
    """
    return fault_of_class(sampler, ClipSampler)


def moving_video(num_frames: int) -> VideoMotion:
    """Return random motion of a video with `num_frames` frames."""
    maps = np.random.default_rng(num_frames).random((num_frames, *_GRID)).astype(np.float32)
    return VideoMotion(maps, stride=1, num_frames=num_frames)


def _draw(sampler: ClipSampler, num_frames: int, seed: int, with_motion: bool = True) -> list[np.ndarray]:
    motion = moving_video(num_frames) if with_motion and sampler.uses_motion else None
    return sampler(num_frames, np.random.default_rng(seed), motion)


def check_sizes(sampler: ClipSampler) -> str:
    """The attributes that a data module reads are there."""
    fault = fault_of(type(sampler))
    if fault is not None:
        raise ContractError(fault)
    counts = {name: getattr(sampler, name, None) for name in ("num_frames", "stride", "num_clips")}
    for name, value in {**counts, **{f"strides[{n}]": stride for n, stride in enumerate(sampler.strides)}}.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ContractError(f"{name} must be a whole number, 1 or more, got {value!r}")
    if sampler.stride not in sampler.strides:
        raise ContractError(f"stride is {sampler.stride}, which is not among strides, {sampler.strides}")
    for num_frames, wording in sampler.shortcomings():
        if not isinstance(wording, str) or num_frames < 1:
            raise ContractError(f"shortcomings must return (frames, text), got ({num_frames!r}, {wording!r})")
    strides = ", ".join(map(str, sampler.strides))
    motion = ", uses motion" if sampler.uses_motion else ""
    return f"{sampler.num_clips} clips of {sampler.num_frames} frames, stride {strides}{motion}"


def check_clips(sampler: ClipSampler) -> str:
    """Videos of every length, looped where they are too short, give clips of the right shape inside the video."""
    for num_frames in VIDEO_LENGTHS:
        for seed in SEEDS:
            for with_motion in (True, False):  # a video whose motion is not known has none
                clips = _draw(sampler, num_frames, seed, with_motion)
                _check_clips(sampler, clips, f"a video of {num_frames} frames")
    return f"videos of {', '.join(map(str, VIDEO_LENGTHS))} frames"


def _check_clips(sampler: ClipSampler, clips: Any, video: str) -> None:
    if not isinstance(clips, list) or len(clips) != sampler.num_clips:
        got = f"{len(clips)} clips" if isinstance(clips, list) else f"a {type(clips).__name__}"
        raise ContractError(
            f"a call must return a list of {sampler.num_clips} arrays (num_clips), got {got} of {video}"
        )
    for number, indices in enumerate(clips):
        if not isinstance(indices, np.ndarray) or indices.shape != (sampler.num_frames,):
            shape = getattr(indices, "shape", type(indices).__name__)
            raise ContractError(f"clip {number} must be an array of shape ({sampler.num_frames},), got {shape}")
        if indices.dtype != np.int64:
            raise ContractError(f"clip {number} must be int64, got {indices.dtype}")


def check_range(sampler: ClipSampler) -> str:
    """Every frame number is one of the video's."""
    for num_frames in VIDEO_LENGTHS:
        for seed in SEEDS:
            for number, indices in enumerate(_draw(sampler, num_frames, seed)):
                wrong = indices[(indices < 0) | (indices >= num_frames)]
                if len(wrong):
                    raise ContractError(
                        f"clip {number} of a video of {num_frames} frames holds frame {wrong[0]}: take frame numbers "
                        "modulo the length of the video, as vidssl.data.sampling.clip_indices does"
                    )
    return "frame numbers are in the video"


def check_strides(sampler: ClipSampler) -> str:
    """The stride of each clip is one of those that the sampler names."""
    found = set()
    for num_frames in VIDEO_LENGTHS:
        for seed in SEEDS:
            found |= {sampler.stride_of(np.asarray(clip), num_frames) for clip in _draw(sampler, num_frames, seed)}
    return f"clips have stride {', '.join(map(str, sorted(found)))}"


def check_draws(sampler: ClipSampler) -> str:
    """Clips depend on the generator alone, so that an interrupted run continues with the same ones."""
    expected = {(length, seed): _draw(sampler, length, seed) for length in VIDEO_LENGTHS for seed in SEEDS}
    for (length, seed), clips in reversed(expected.items()):
        with other_global_state():
            again = _draw(sampler, length, seed)
        if not all(np.array_equal(one, other) for one, other in zip(clips, again, strict=True)):
            raise ContractError(
                f"the same generator gave other clips of a video of {length} frames: draw from `rng` alone, and "
                "remember nothing from one call to the next"
            )
    return "the same generator gives the same clips"


def check_workers(sampler: ClipSampler) -> str:
    """A loader worker gets a copy that draws the same."""
    copy = pickle.loads(pickle.dumps(sampler))
    for one, other in zip(_draw(sampler, 48, 0), _draw(copy, 48, 0), strict=True):
        if not np.array_equal(one, other):
            raise ContractError("a copy, as loader workers get one, draws other clips")
    return "a copy in another process draws the same"


class SamplerContract(PartContract[ClipSampler]):
    """The checks of one sampler."""

    checks = {
        "sizes": check_sizes,
        "clips": check_clips,
        "range": check_range,
        "strides": check_strides,
        "draws": check_draws,
        "workers": check_workers,
    }
