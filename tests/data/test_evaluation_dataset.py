from dataclasses import replace

import numpy as np
import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.synthetic import SyntheticSpec, write_synthetic
from vidssl.data import evaluation_dataset
from vidssl.data.augmentation import apply, evaluation_plan
from vidssl.data.evaluation_dataset import AugmentedClipDataset, EvaluationClipDataset
from vidssl.data.order import Share, whole_batches
from vidssl.data.sampling import EvenlySpacedSampler
from vidssl.data.settings import AugmentedViews, EvaluationClips
from vidssl.errors import VidsslError
from vidssl.video.decoding import read_frames

CLIPS = EvaluationClips(num_frames=3, num_clips=2, num_crops=3, resize=24, crop_size=20)


@pytest.fixture(scope="module", params=[(32, 64), (64, 32)], ids=["wide", "high"])
def catalog(request, tmp_path_factory):
    height, width = request.param
    spec = SyntheticSpec(num_train=8, num_test=8, num_frames=12, height=height, width=width)
    return Catalog.open(write_synthetic(tmp_path_factory.mktemp("videos"), spec))


def test_views_are_clips_in_order_and_their_crops_side_by_side(catalog, monkeypatch):
    reads = []

    def counting(path, indices, **settings):
        reads.append(path)
        return read_frames(path, indices, **settings)

    monkeypatch.setattr(evaluation_dataset, "read_frames", counting)
    sample = EvaluationClipDataset(catalog, Share(np.array([4]), 1), CLIPS)[0]
    assert len(reads) == 1
    assert len(sample.clips) == CLIPS.num_views == 6
    video = catalog[4]
    clips = EvenlySpacedSampler(3, 2, 2)(video.num_frames)
    positions = ("left", "center", "right") if video.width > video.height else ("top", "center", "bottom")
    expected = []
    for indices in clips:
        frames = read_frames(catalog.root / video.path, indices)
        for position in positions:
            plan = evaluation_plan(3, video.height, video.width, resize=24, crop_size=20, position=position)
            expected.append(apply(frames, plan))
    for view, wanted in zip(sample.clips, expected, strict=True):
        np.testing.assert_array_equal(view, wanted)
    assert not np.array_equal(expected[0], expected[2])
    assert sample.starts == tuple(int(indices[0]) for indices in clips for _ in range(3))


def test_one_crop_is_the_middle_one(catalog):
    share = Share(np.array([4]), 1)
    three = EvaluationClipDataset(catalog, share, CLIPS)[0].clips
    one = EvaluationClipDataset(catalog, share, replace(CLIPS, num_crops=1))[0].clips
    for middle, alone in zip(three[1::3], one, strict=True):
        np.testing.assert_array_equal(middle, alone)


def test_only_one_or_three_crops():
    with pytest.raises(VidsslError, match=r"data\.evaluation\.num_crops is 1 .* or 3 .*, got 2"):
        replace(CLIPS, num_crops=2)


def test_augmented_views_are_keyed_by_seed_row_and_view(catalog):
    def views(rows, place, num_views=3, seed=0):
        share = Share(np.array(rows), 4)
        return AugmentedClipDataset(catalog, share, CLIPS, AugmentedViews(num_views, seed=seed))[place]

    first = views([2, 5], 1)
    assert [view.shape for view in first.clips] == [(3, 20, 20, 3)] * 3
    for other in (views([5], 0), views([1, 2, 5], 2, num_views=5)):
        for ours, theirs in zip(first.clips, other.clips, strict=False):
            np.testing.assert_array_equal(ours, theirs)
    for other in (views([2, 5], 1, seed=1), views([2, 5], 0)):
        assert not any(np.array_equal(ours, theirs) for ours, theirs in zip(first.clips, other.clips, strict=True))
    assert not np.array_equal(first.clips[0], first.clips[1])


def test_augmented_views_begin_anywhere_are_flipped_half_of_the_time_and_cover_what_the_recipe_says(
    catalog, monkeypatch
):
    plans = []
    monkeypatch.setattr(evaluation_dataset, "apply", lambda clip, plan: plans.append(plan.frames[0]) or clip)
    dataset = AugmentedClipDataset(catalog, Share(np.arange(16), 16), CLIPS, AugmentedViews(40))
    starts = [start for place in range(16) for start in dataset[place].starts]
    assert set(starts) == set(range(12 - 4))  # 12 frames, a span of 4
    assert np.mean([plan.flip for plan in plans]) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(640))
    area = np.array([plan.crop[2] * plan.crop[3] for plan in plans]) / (32 * 64)
    assert 0.27 < area.min() < 0.4
    assert area.max() <= 1
    with pytest.raises(VidsslError, match="crop_area"):
        AugmentedViews(1, crop_area=(0.5, 1.5))
    with pytest.raises(VidsslError, match="augmented_views must be at least 1"):
        AugmentedViews(0)


@pytest.mark.parametrize("num_videos", [1, 4, 5, 8, 13, 20])
@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_whole_batches_go_to_the_processes_in_turn(num_videos, world_size):
    rows = np.random.default_rng(0).permutation(100)[:num_videos]
    whole = [rows.tolist() for rows in whole_batches(rows, 4).batches()]
    assert [row for batch in whole for row in batch] == sorted(rows.tolist())
    shares = [whole_batches(rows, 4, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(row for share in shares for row in share.rows[: share.num_own].tolist()) == sorted(rows.tolist())
    lengths = set()
    for rank, share in enumerate(shares):
        loaded = [share.rows[start : start + 4].tolist() for start in range(0, len(share.rows), 4)]
        own = whole[rank::world_size]
        assert loaded[: len(own)] == own  # what a loader of batches of 4 makes of the rows
        assert all(batch in whole for batch in loaded)
        lengths.add(len(loaded))
    assert len(lengths) == 1
