import numpy as np
import pytest

from vidssl.data.motion_sampling import MotionSampler
from vidssl.errors import VidsslError
from vidssl.motion.maps import VideoMotion

NUM_FRAMES = 100
SPAN = 6  # of 4 frames at stride 2


def video_with(strengths, num_frames=NUM_FRAMES):
    """Every frame of the video moves as told, the same everywhere in it."""
    maps = np.ones((num_frames, 7, 7), np.float32) * np.asarray(strengths, np.float32)[:, None, None]
    return VideoMotion(maps, 1, num_frames)


def starts_of(sampler, motion, num_frames=NUM_FRAMES, draws=400, seed=0):
    generator = np.random.default_rng(seed)
    return np.array([[clip[0] for clip in sampler(num_frames, generator, motion)] for _ in range(draws)])


def sampler(**settings):
    return MotionSampler(**{"num_frames": 4, "stride": 2, "probability": 1.0, **settings})


def test_the_views_of_mcl_are_one_clip_twice_and_two_of_the_other_half():
    for clips in (sampler()(NUM_FRAMES, np.random.default_rng(s), None) for s in range(50)):
        assert [clip.shape for clip in clips] == [(4,)] * 4
        assert all((np.diff(clip) == 2).all() for clip in clips)
        np.testing.assert_array_equal(clips[0], clips[1])
    starts = starts_of(sampler(), None)
    query, others = starts[:, 0], starts[:, 2:]
    first = query < 50
    assert first.mean() == pytest.approx(0.5, abs=0.08)
    assert (query[first] + SPAN < 50).all()  # the clip ends in its half
    assert (others[first] >= 50).all()
    assert (others[~first] + SPAN < 50).all()
    assert (others[:, 0] <= others[:, 1]).all()
    assert starts.max() <= NUM_FRAMES - SPAN - 1


@pytest.mark.parametrize("num_frames", [100, 14, 13, 7, 5])
@pytest.mark.parametrize("scope", ["halves", "video"])
def test_the_order_label_can_be_read_off_the_starts(num_frames, scope):
    starts = starts_of(sampler(scope=scope), None, num_frames)
    label = starts[:, 0] < starts[:, -1]
    before = (starts[:, 0] <= starts[:, 2]) & (starts[:, 0] <= starts[:, 3])
    after = (starts[:, 0] >= starts[:, 2]) & (starts[:, 0] >= starts[:, 3])
    assert (before | after).all()
    assert before[label].all()
    assert after[~label].all()
    if num_frames > 7:  # at 7 frames there is one start only
        assert 0.2 < label.mean() < 0.7


def naive_kept(strengths, starts):
    """Those that move at least as much as the median of `starts`."""
    moves = {start: np.mean([strengths[start + 2 * i] for i in range(4)]) for start in starts}
    return {start for start in starts if moves[start] >= np.median(list(moves.values())) - 1e-6}


def test_starts_are_those_at_or_above_the_median_of_their_half():
    strengths = np.random.default_rng(1).random(NUM_FRAMES)
    halves = naive_kept(strengths, range(50 - SPAN)), naive_kept(strengths, range(50, NUM_FRAMES - SPAN))
    assert [len(half) for half in halves] == [22, 22]
    starts = starts_of(sampler(), video_with(strengths), draws=1500)
    assert {start for start in starts.ravel() if start < 50} == halves[0]
    assert {start for start in starts.ravel() if start >= 50} == halves[1]


def test_the_paper_takes_the_median_of_the_whole_video():
    strengths = np.random.default_rng(2).random(NUM_FRAMES)
    strengths[:50] += 1  # then no start of the second half is above it
    starts = starts_of(sampler(scope="video"), video_with(strengths), draws=1500)
    assert set(starts.ravel()) == naive_kept(strengths, range(NUM_FRAMES - SPAN))


def test_a_smaller_share_of_the_starts():
    kept = sampler(kept_share=0.1).focused_starts(NUM_FRAMES, video_with(np.arange(NUM_FRAMES)))
    assert [half.tolist() for half in kept] == [[39, 40, 41, 42, 43], [89, 90, 91, 92, 93]]


def test_motion_is_heeded_with_its_probability():
    burst = np.zeros(NUM_FRAMES)
    burst[[20, 70]] = 1  # clips that hold these frames are 4 in each half: fewer than half, the rest all still
    motion = video_with(burst)
    often = starts_of(sampler(probability=0.7, kept_share=0.05), motion, draws=2000)
    hits = np.isin(often[:, 0], [14, 16, 18, 20, 64, 66, 68, 70]).mean()
    assert hits == pytest.approx(0.7 + 0.3 * 4 / 44, abs=0.04)
    never = sampler(probability=0)
    assert not never.uses_motion
    assert sampler().uses_motion
    np.testing.assert_array_equal(starts_of(never, motion), starts_of(never, None))


def test_a_still_video_is_sampled_everywhere():
    starts = starts_of(sampler(), video_with(np.zeros(NUM_FRAMES)), draws=1500)
    assert set(starts.ravel()) == {*range(50 - SPAN), *range(50, NUM_FRAMES - SPAN)}


@pytest.mark.parametrize("num_frames", [1, 3, 6])
def test_videos_shorter_than_a_clip_are_looped(num_frames):
    motion = video_with(np.arange(num_frames), num_frames)
    for seed in range(20):
        for clip in sampler()(num_frames, np.random.default_rng(seed), motion):
            assert clip.tolist() == [(clip[0] + 2 * i) % num_frames for i in range(4)]


def test_the_shortest_video_that_has_halves():
    assert [half.tolist() for half in sampler().start_ranges(14)] == [[0], [7]]
    assert [whole.tolist() for whole in sampler().start_ranges(13)] == [list(range(7))]


def test_it_says_which_videos_are_too_short_for_it():
    assert [num_frames for num_frames, _ in sampler().shortcomings()] == [7, 14]
    assert "not halved: the query's clip may overlap the others" in sampler().shortcomings()[1][1]
    for whole in (sampler(scope="video"), sampler(view_clips=(0, 0))):
        assert [num_frames for num_frames, _ in whole.shortcomings()] == [7]


def test_other_numbers_of_views():
    same = sampler(view_clips=[0, 0])
    assert same.num_clips == 2
    first, second = same(NUM_FRAMES, np.random.default_rng(0), None)
    np.testing.assert_array_equal(first, second)
    apart = starts_of(sampler(view_clips=(0, 1)), None)
    assert ((apart[:, 0] < 50) != (apart[:, 1] < 50)).all()
    assert len(sampler(view_clips=(0,))(9, np.random.default_rng(0), None)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probability": 1.5}, "data.sampler.probability must be from 0 to 1"),
        ({"kept_share": 0}, "data.sampler.kept_share must be above 0"),
        ({"scope": "halfs"}, "data.sampler.scope: unknown scope 'halfs'. Did you mean 'halves'"),
        ({"view_clips": [0, 2]}, r"data.sampler.view_clips .* got \[0, 2\]"),
        ({"view_clips": []}, r"data.sampler.view_clips .* got \[\]"),
        ({"stride": 0}, "data.sampler.stride must be at least 1"),
    ],
)
def test_wrong_settings_name_their_key(settings, message):
    with pytest.raises(VidsslError, match=message):
        sampler(**settings)
