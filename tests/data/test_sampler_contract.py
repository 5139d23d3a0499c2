"""The checks of a sampler: ours pass, and what is wrong with others is named."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

from vidssl.data import EvenlySpacedSampler, IntervalSampler, MotionSampler, UniformSampler
from vidssl.data.contracts.sampler import SamplerContract, fault_of
from vidssl.data.sampling import SAMPLERS, ClipSampler, clip_indices
from vidssl.errors import VidsslError


@dataclass
class Broken(ClipSampler):
    """What the ones below have in common."""

    num_frames: int = 4
    stride: int = 2
    num_clips = 1

    def __call__(self, num_video_frames, rng, motion=None):
        return [clip_indices(int(rng.integers(num_video_frames)), num_video_frames, self.num_frames, self.stride)]


class Beyond(Broken):
    def __call__(self, num_video_frames, rng, motion=None):
        return [np.arange(4) * 2]


class TwoOfOne(Broken):
    def __call__(self, num_video_frames, rng, motion=None):
        return super().__call__(num_video_frames, rng) * 2


class OtherStride(Broken):
    strides = (2, 3)

    def __call__(self, num_video_frames, rng, motion=None):
        return [clip_indices(0, num_video_frames, self.num_frames, 1)]


class OwnDraws(Broken):
    def __call__(self, num_video_frames, rng, motion=None):
        start = np.random.randint(num_video_frames)  # noqa: NPY002
        return [clip_indices(start, num_video_frames, self.num_frames, self.stride)]


class Remembers(Broken):
    calls = 0

    def __call__(self, num_video_frames, rng, motion=None):
        self.calls += 1
        return [clip_indices(self.calls % num_video_frames, num_video_frames, self.num_frames, self.stride)]


class Floats(Broken):
    def __call__(self, num_video_frames, rng, motion=None):
        return [np.zeros(4)]


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_ours_keep_the_contract(name):
    results = SamplerContract(SAMPLERS.get(name)(num_frames=4)).results()
    assert [str(result) for result in results if result.outcome != "passed"] == []


@pytest.mark.parametrize(
    ("sampler", "check", "told"),
    [
        (Broken(num_frames=0), "sizes", "num_frames must be a whole number, 1 or more, got 0"),
        (TwoOfOne(), "clips", r"a list of 1 arrays \(num_clips\), got 2 clips of a video of 1 frames"),
        (Floats(), "clips", "clip 0 must be int64, got float64"),
        (Beyond(), "range", "clip 0 of a video of 1 frames holds frame 2: take frame numbers modulo the length"),
        (OtherStride(), "strides", "drew frames 0 and 1, and its strides are 2, 3: let the property `strides` name"),
        (OwnDraws(), "draws", "draw from `rng` alone"),
        (Remembers(), "draws", "remember nothing from one call to the next"),
    ],
)
def test_what_is_wrong_is_named(sampler, check, told):
    result = SamplerContract(sampler).run(check)
    assert result.outcome == "failed"
    assert re.search(told, result.detail), result.detail
    if check != "sizes":
        assert SamplerContract(sampler).run("sizes").outcome == "passed"


@pytest.mark.parametrize(
    ("offered", "told"),
    [(len, "it is of type builtin_function_or_method, not a class below"), (dict, "dict is not a class below")],
)
def test_what_is_no_sampler_is_refused(offered, told):
    assert told in fault_of(offered)


def test_a_clip_says_its_stride_in_looped_videos_too():
    sampler = OtherStride()
    assert sampler.stride_of(np.array([7, 0, 3, 6]), 10) == 3
    assert sampler.stride_of(np.array([1, 1, 1]), 1) == 2  # in a video of one frame all strides are alike
    assert sampler.clip_length == 10  # of the longest clip
    with pytest.raises(VidsslError, match="its strides are 2, 3"):
        sampler.stride_of(np.array([0, 5]), 10)
    assert IntervalSampler(4, 3).stride_of(np.array([5, 1]), 7) == 3
    assert UniformSampler(1, 5).stride_of(np.array([0]), 3) == 5


def test_samplers_have_one_stride_unless_they_say_otherwise():
    for sampler in (IntervalSampler(8, 4), UniformSampler(8, 4), EvenlySpacedSampler(8, 4), MotionSampler(8, 4)):
        assert sampler.strides == (4,)
