"""Training clips that go by the motion of their videos."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from vidssl.catalogs.catalog import Catalog
from vidssl.data.augmentation import MCL_VIEW, MotionCrop, transform_motion
from vidssl.data.datamodule import EvaluationClips, Loading, VideoDataModule
from vidssl.data.dataset import collate
from vidssl.data.motion_sampling import MotionSampler
from vidssl.data.motion_source import MotionData, MotionSource
from vidssl.data.sampling import UniformSampler
from vidssl.errors import VidsslError
from vidssl.motion.maps import VideoMotion
from vidssl.motion.quantisation import quantise
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import StoredVideo, write_store
from vidssl.types import ClipBatch
from vidssl.video.decoding import DecodingError

SETTINGS = MotionSettings(grid=(14, 14), stride=4)
VIEW = replace(MCL_VIEW, crop_size=32)
BLIND_VIEW = replace(VIEW, motion_crop=None)
SAMPLER = MotionSampler(num_frames=4, stride=2)


def motion_of(row, num_frames):
    maps = np.random.default_rng(row).gamma(0.3, size=(-(-num_frames // 4), 14, 14)).astype(np.float32)
    return VideoMotion(maps, 4, num_frames)


@pytest.fixture(scope="module")
def stored_motion(synthetic_catalog, tmp_path_factory):
    """Random motion of every synthetic video, in a file."""
    catalog = Catalog.open(synthetic_catalog)
    quantised = [quantise(motion_of(row, int(n)).maps, "float16") for row, n in enumerate(catalog.num_frames)]
    videos = [StoredVideo(int(n), "codec", scale) for n, (_, scale) in zip(catalog.num_frames, quantised, strict=True)]
    file = tmp_path_factory.mktemp("motion") / "synthetic.motion"
    shares = [share for share, _ in quantised]
    write_store(file, videos, shares, catalog=catalog, settings=SETTINGS, dtype="float16")
    return str(file)


@pytest.fixture
def computed_motion(synthetic_catalog, monkeypatch):
    """An estimator in place of the real one, for the training process; returns the paths it was asked for."""
    catalog = Catalog.open(synthetic_catalog)
    rows = {catalog[row].place(catalog.root): row for row in range(len(catalog))}
    asked = []

    def video_motion(path, settings, kept=None):
        asked.append(path)
        row = rows[path]
        if row == catalog.split("train")[5]:
            raise DecodingError(str(path), "the stream breaks off")
        return motion_of(row, int(catalog.num_frames[row]))

    module = types.ModuleType("vidssl.motion.extract")
    module.video_motion = video_motion
    monkeypatch.setitem(sys.modules, "vidssl.motion.extract", module)
    return asked


def data_module(catalog, **settings):
    defaults = {
        "batch_size": 8,
        "sampler": SAMPLER,
        "augmentations": [VIEW] * 4,
        "evaluation": EvaluationClips(num_frames=4, num_clips=2, resize=36, crop_size=32, batch_size=5),
        "loading": Loading(num_workers=0),
    }
    return VideoDataModule(str(catalog), **{**defaults, **settings})


def epoch_of(module, epoch=0):
    loader = module.train_dataloader()
    loader.batch_sampler.set_epoch(epoch)
    return list(loader)


def test_a_batch_carries_starts_and_the_motion_of_the_first_view(synthetic_catalog, stored_motion):
    data = MotionData(SETTINGS, stored_motion, target_shape=(2, 7, 7))
    module = data_module(synthetic_catalog, motion=data)
    batch = epoch_of(module, epoch=3)[1]
    assert len(batch.views) == 4
    assert batch.motion.shape == (8, 2, 7, 7)
    assert batch.motion.dtype == torch.float32
    assert batch.starts.shape == (8, 4)
    assert batch.starts.dtype == torch.int64
    assert torch.equal(batch.starts[:, 0], batch.starts[:, 1])
    dataset = module.train_dataset()
    source = MotionSource(module.catalog, data)
    for place, row in enumerate(batch.index.tolist()):
        drawn = dataset.draw_views(3, row)
        assert batch.starts[place].tolist() == [clip[0] for clip in drawn.indices]
        whole = source(row).clip(drawn.indices[0], 2)
        np.testing.assert_array_equal(batch.motion[place], transform_motion(whole, drawn.plans[0], 7, 7))
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.motion, batch.motion)
    assert torch.equal(moved.starts, batch.starts)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_with_all_views_each_motion_follows_the_crop_and_the_flip_of_its_own_view(
    synthetic_catalog, stored_motion, num_workers
):
    data = MotionData(SETTINGS, stored_motion, target_shape=(2, 7, 7), views="all")
    loading = Loading(num_workers=num_workers)
    module = data_module(synthetic_catalog, motion=data, loading=loading)
    batch = epoch_of(module, epoch=3)[1]
    assert batch.motion.shape == (8, 4, 2, 7, 7)
    assert batch.motion.dtype == torch.float32
    first = epoch_of(data_module(synthetic_catalog, motion=replace(data, views="first")), epoch=3)[1]
    assert torch.equal(batch.motion[:, 0], first.motion)
    dataset, source, flips = module.train_dataset(), MotionSource(module.catalog, data), set()
    for place, row in enumerate(batch.index.tolist()):
        drawn = dataset.draw_views(3, row)
        for view, (indices, plan) in enumerate(zip(drawn.indices, drawn.plans, strict=True)):
            expected = transform_motion(source(row).clip(indices, 2), plan, 7, 7)
            np.testing.assert_array_equal(batch.motion[place, view], expected)
            mirrored = replace(plan, frames=tuple(replace(step, flip=not step.flip) for step in plan.frames))
            opposite = transform_motion(source(row).clip(indices, 2), mirrored, 7, 7)
            np.testing.assert_array_equal(batch.motion[place, view], opposite[..., ::-1])
            flips.add((view, plan.frames[0].flip))
    assert flips == {(view, flip) for view in range(4) for flip in (False, True)}
    assert torch.equal(batch.to(torch.device("cpu")).motion, batch.motion)


def test_collated_samples_carry_the_motion_of_all_views(synthetic_catalog, stored_motion):
    data = MotionData(SETTINGS, stored_motion, target_shape=(2, 7, 7), views="all")
    dataset = data_module(synthetic_catalog, motion=data).train_dataset()
    together = collate([dataset[0, place] for place in range(3)])
    assert torch.equal(together.motion, dataset.__getitems__([(0, place) for place in range(3)]).motion)
    assert together.motion.shape == (3, 4, 2, 7, 7)


@pytest.mark.parametrize("shape", [(3, 2, 7, 7), (4, 2, 2, 7, 7), (4, 7, 7)])
def test_a_batch_refuses_motion_of_other_videos_or_views(shape):
    views = [torch.zeros(4, 3, 2, 8, 8, dtype=torch.uint8)] * 3
    with pytest.raises(VidsslError, match=r"must be of shape 4 x T' x h x w .* or 4 x 3 x T' x h x w"):
        ClipBatch(views, torch.zeros(4), torch.zeros(4), motion=torch.zeros(shape))


def test_samples_with_motion_do_not_depend_on_the_number_of_workers(synthetic_catalog, stored_motion):
    motion = MotionData(SETTINGS, stored_motion, target_shape=(2, 7, 7))
    alone = epoch_of(data_module(synthetic_catalog, motion=motion), epoch=1)
    loading = Loading(num_workers=4)
    shared = epoch_of(data_module(synthetic_catalog, motion=motion, loading=loading), epoch=1)
    assert len(alone) == len(shared) == 4
    for left, right in zip(alone, shared, strict=True):
        for ours, theirs in zip(
            [left.index, left.starts, left.motion, *left.views],
            [right.index, right.starts, right.motion, *right.views],
            strict=True,
        ):
            assert torch.equal(ours, theirs)


def test_crops_cover_where_their_own_clip_moves(synthetic_catalog, computed_motion, monkeypatch):
    """Things move at the top left in the first half of the video, at the bottom right in the second."""
    maps = np.full((6, 14, 14), 0.01, np.float32)
    maps[:3, 2:4, 2:4] = maps[3:, 10:12, 10:12] = 1.0
    monkeypatch.setattr(
        sys.modules["vidssl.motion.extract"], "video_motion", lambda path, settings, kept=None: VideoMotion(maps, 4, 24)
    )
    sampler = MotionSampler(num_frames=4, stride=1)
    dataset = data_module(synthetic_catalog, motion=MotionData(SETTINGS), sampler=sampler).train_dataset()
    for epoch in range(20):
        drawn = dataset.draw_views(epoch, 3)
        for indices, plan in zip(drawn.indices, drawn.plans, strict=True):
            middle = 48 * 3 / 14 if indices.max() <= 8 else 48 * 11 / 14
            sees_both = indices.max() > 8 and indices.min() < 12  # between the third map and the fourth
            top, left, height, width = plan.frames[0].crop
            assert sees_both or top < middle < top + height
            assert sees_both or left < middle < left + width


def test_one_key_turns_the_motion_crop_on_for_every_view(synthetic_catalog, stored_motion):
    rule = MotionCrop(percentile=80)
    views = [BLIND_VIEW, VIEW, BLIND_VIEW, BLIND_VIEW]
    switched = data_module(
        synthetic_catalog, motion=MotionData(SETTINGS, stored_motion, crop=rule), augmentations=views
    )
    assert [view.motion_crop for view in switched.train_dataset().recipes] == [rule, MotionCrop(), rule, rule]
    as_written = data_module(synthetic_catalog, motion=MotionData(SETTINGS, stored_motion), augmentations=views)
    assert as_written.train_dataset().recipes == views


def test_motion_is_computed_once_a_video(synthetic_catalog, computed_motion):
    batches = epoch_of(data_module(synthetic_catalog, motion=MotionData(SETTINGS)))
    assert len(computed_motion) == len(set(computed_motion)) + 1 == 33  # 32, and the one in place of the broken one
    assert batches[0].motion.shape == (8, 8, 28, 28)


def test_a_video_whose_motion_cannot_be_computed_is_replaced_and_told(synthetic_catalog, computed_motion):
    module = data_module(synthetic_catalog, motion=MotionData(SETTINGS))
    batches = epoch_of(module)
    victim = int(module.catalog.split("train")[5])
    assert [failure for batch in batches for failure in batch.failures] == [(victim, "the stream breaks off")]
    assert all(victim not in batch.index for batch in batches)


def test_motion_is_not_computed_where_nothing_asks_for_it(synthetic_catalog, computed_motion):
    motion = MotionData(SETTINGS, target_shape=None)
    module = data_module(
        synthetic_catalog, motion=motion, sampler=UniformSampler(4, 2, 2), augmentations=[BLIND_VIEW] * 2
    )
    assert all(batch.motion is None for batch in epoch_of(module))
    assert computed_motion == []
    asking = {
        "sampler": {"sampler": SAMPLER, "augmentations": [BLIND_VIEW] * 4},
        "crop": {"sampler": UniformSampler(4, 2, 1), "augmentations": [VIEW]},
    }
    for settings in asking.values():
        computed_motion.clear()
        data_module(synthetic_catalog, motion=motion, **settings).train_dataset()[0, 0]
        assert len(computed_motion) == 1


def test_motion_that_is_asked_for_and_not_there_is_told_before_training(synthetic_catalog):
    module = data_module(synthetic_catalog, augmentations=[BLIND_VIEW, VIEW, BLIND_VIEW, VIEW])
    keys = r"data\.sampler \(MotionSampler\), data\.augmentations\[1\]\.motion_crop, data\.augmentations\[3\]"
    with pytest.raises(VidsslError, match=keys + r".*data\.motion is null"):
        module.setup("fit")
    without = data_module(synthetic_catalog, sampler=replace(SAMPLER, probability=0.0), augmentations=[BLIND_VIEW] * 4)
    without.setup("fit")
    batch = epoch_of(without)[0]
    assert batch.motion is None
    assert batch.starts.shape == (8, 4)


def test_a_stored_file_of_other_settings_is_told_before_training(synthetic_catalog, stored_motion):
    other = MotionData(replace(SETTINGS, window=4), stored_motion)
    with pytest.raises(VidsslError, match="window is 8 there, 4 here"):
        data_module(synthetic_catalog, motion=other).setup("fit")


def test_motion_of_another_number_of_frames_is_an_unreadable_video(synthetic_catalog, computed_motion, monkeypatch):
    catalog = Catalog.open(synthetic_catalog)
    monkeypatch.setattr(
        sys.modules["vidssl.motion.extract"], "video_motion", lambda path, settings, kept=None: motion_of(0, 21)
    )
    with pytest.raises(DecodingError, match="its motion is that of 21 frames, the catalog counts 24"):
        MotionSource(catalog, MotionData(SETTINGS))(0)


def test_evaluation_tells_starts_and_needs_no_motion(synthetic_catalog):
    batch = next(iter(data_module(synthetic_catalog).val_dataloader()["query"]))
    assert batch.motion is None
    assert batch.starts.tolist() == [[0, 17]] * 5


def test_wrong_settings_name_their_key():
    with pytest.raises(VidsslError, match=r"data\.motion\.target_shape is .* got \[0, 7, 7\]"):
        MotionData(target_shape=(0, 7, 7))
    with pytest.raises(VidsslError, match=r"data\.motion\.views is one of first, all; got 'al'\. Did you mean 'all'"):
        MotionData(views="al")
