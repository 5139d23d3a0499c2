import numpy as np
import pytest
from scipy import stats

from vidssl.data.sampling import EvenlySpacedSampler, IntervalSampler, UniformSampler, max_start_offset
from vidssl.errors import VidsslError


def cumulative(density, power):
    """F(x) on [0, 1], written from the formulas of the paper, not from the sampler."""

    def decreasing(x):
        return (power + 1) / power * x - x ** (power + 1) / power

    return {
        "decreasing": decreasing,
        "increasing": lambda x: 1 - decreasing(1 - np.asarray(x)),
        "uniform": lambda x: x,
    }[density]


@pytest.mark.parametrize(
    ("density", "power"),
    [("decreasing", 0.5), ("decreasing", 1), ("decreasing", 2), ("uniform", 1), ("increasing", 1), ("increasing", 2)],
)
def test_intervals_follow_their_density(density, power):
    sampler = IntervalSampler(density=density, power=power)
    rng = np.random.default_rng(0)
    draws = np.array([sampler.interval(300, rng) for _ in range(5000)]) / 300
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, cumulative(density, power)).pvalue > 0.01


def test_starts_follow_the_linear_density_after_rounding_to_frames():
    num_video_frames = 3000
    sampler = IntervalSampler(num_frames=16, stride=2)
    max_offset, _ = max_start_offset(num_video_frames, 16, 2)
    rng = np.random.default_rng(1)
    starts = np.array([[clip[0] for clip in sampler(num_video_frames, rng)] for _ in range(5000)])
    intervals = np.abs(starts[:, 0] - starts[:, 1]) / max_offset
    assert stats.kstest(intervals, cumulative("decreasing", 1)).pvalue > 0.01
    assert intervals.mean() == pytest.approx(1 / 3, abs=0.02)
    assert np.mean(starts[:, 0] <= starts[:, 1]) == pytest.approx(0.5, abs=0.03)


def test_first_start_is_uniform_on_what_the_interval_leaves():
    sampler = IntervalSampler(num_frames=2, stride=1, density="zero")
    rng = np.random.default_rng(2)
    starts = np.array([sampler(10001, rng)[0][0] for _ in range(3000)])
    assert stats.kstest(starts / 10000, "uniform").pvalue > 0.01


def test_the_two_ends():
    rng = np.random.default_rng(3)
    first, second = IntervalSampler(4, 2, density="zero")(100, rng)
    assert (first == second).all()
    starts = {clip[0] for clip in IntervalSampler(4, 2, density="farthest")(100, rng)}
    assert starts == {0, 100 - 6 - 1}


def test_clip_is_num_frames_at_stride_inside_the_video():
    rng = np.random.default_rng(4)
    for num_video_frames in (31, 32, 47, 300):
        for clip in IntervalSampler(16, 2)(num_video_frames, rng):
            assert clip.shape == (16,)
            assert (np.diff(clip) == 2).all()
            assert clip.min() >= 0
            assert clip.max() < num_video_frames


@pytest.mark.parametrize("num_video_frames", [1, 5, 30])
def test_short_videos_are_looped_with_independent_starts(num_video_frames):
    rng = np.random.default_rng(5)
    pairs = [IntervalSampler(16, 2)(num_video_frames, rng) for _ in range(200)]
    for first, second in pairs:
        for clip in (first, second):
            assert clip.tolist() == [(clip[0] + 2 * i) % num_video_frames for i in range(16)]
    starts = np.array([[a[0], b[0]] for a, b in pairs])
    assert set(starts.ravel()) == set(range(num_video_frames))
    if num_video_frames > 1:
        assert abs(np.corrcoef(starts.T)[0, 1]) < 0.25


def test_a_sampler_says_which_videos_are_too_short_for_it():
    shortcomings = [num_frames for num_frames, _ in IntervalSampler(16, 2).shortcomings()]
    assert shortcomings == [31, 62]
    assert max_start_offset(31, 16, 2) == (1, False)
    assert max_start_offset(30, 16, 2)[1]
    for num_video_frames, is_apart in ((62, True), (61, False)):
        first, second = IntervalSampler(16, 2, density="farthest")(num_video_frames, np.random.default_rng(0))
        assert (max(first[0], second[0]) > min(first[-1], second[-1])) == is_apart
    assert [what for _, what in UniformSampler(16, 2).shortcomings()] == [
        "shorter than a clip of 31 frames and are looped"
    ]
    assert len(IntervalSampler(16, 2, density="zero").shortcomings()) == 1


def test_evenly_spaced_reaches_from_the_first_start_to_the_last():
    clips = EvenlySpacedSampler(num_frames=4, stride=2, num_clips=5)(27, None)
    assert [clip.tolist() for clip in clips] == [[s, s + 2, s + 4, s + 6] for s in (0, 5, 10, 15, 20)]
    assert EvenlySpacedSampler(4, 2, num_clips=1)(27)[0][0] == 10


def test_uniform_covers_every_start():
    rng = np.random.default_rng(6)
    starts = [clip[0] for _ in range(300) for clip in UniformSampler(4, 2, num_clips=2)(16, rng)]
    assert set(starts) == set(range(10))


@pytest.mark.parametrize("num_clips", [2, 3, 4])
def test_clips_of_a_video_are_uniform_and_independent(num_clips):
    rng = np.random.default_rng(8)
    num_video_frames = 5000
    draws = [UniformSampler(4, 2, num_clips=num_clips)(num_video_frames, rng) for _ in range(3000)]
    starts = np.array([[clip[0] for clip in clips] for clips in draws])
    assert starts.shape == (3000, num_clips)
    assert all((np.diff(clip) == 2).all() for clips in draws for clip in clips)
    for column in starts.T:
        assert stats.kstest((column + 0.5) / (num_video_frames - 6), "uniform").pvalue > 0.01
    correlation = np.corrcoef(starts.T) - np.eye(num_clips)
    assert np.abs(correlation).max() < 0.07


def test_same_generator_state_gives_the_same_clips():
    draw = [IntervalSampler()(200, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(draw[0], draw[1])


def test_wrong_settings_are_named():
    with pytest.raises(VidsslError, match=r"unknown density 'decresing'.*Did you mean 'decreasing'"):
        IntervalSampler(density="decresing")
    with pytest.raises(VidsslError, match="stride must be at least 1"):
        UniformSampler(stride=0)
