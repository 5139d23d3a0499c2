import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from vidssl.catalogs.catalog import Catalog
from vidssl.data.augmentation import CVRL_VIEW_1, AugmentationRecipe, apply
from vidssl.data.datamodule import AugmentedViews, EvaluationClips, Loading, VideoDataModule
from vidssl.data.dataset import ClipDataset, collate
from vidssl.data.extras import ArrayFiles, ExtraTensors
from vidssl.data.sampling import IntervalSampler, UniformSampler
from vidssl.errors import VidsslError
from vidssl.video.decoding import DecodingError

RECIPE = AugmentationRecipe(crop_size=32, crop_area=(0.3, 1.0), flip_probability=0.5, jitter_probability=0.8, hue=0.1)


def data_module(catalog, **settings):
    defaults = {
        "batch_size": 8,
        "sampler": IntervalSampler(num_frames=4, stride=2),
        "augmentations": [RECIPE, RECIPE],
        "evaluation": EvaluationClips(num_frames=4, num_clips=3, resize=36, crop_size=32, batch_size=5),
        "loading": Loading(num_workers=0),
    }
    return VideoDataModule(str(catalog), **{**defaults, **settings})


def epoch_of(module, epoch=0):
    loader = module.train_dataloader()
    loader.batch_sampler.set_epoch(epoch)
    return list(loader)


class Speeds(ExtraTensors):
    """Where a clip begins, and which row the video has."""

    def __call__(self, video, views):
        return np.array([views.indices[0][0], video.label], np.int64)


def test_extras_and_strides_travel_with_the_clips(synthetic_catalog, tmp_path):
    catalog = Catalog.open(synthetic_catalog)
    for row in range(len(catalog)):
        file = (tmp_path / catalog.path(row)).with_suffix(".npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.full((2, 3), row, np.float32))
    extras = {"audio": ArrayFiles(str(tmp_path)), "begin": Speeds()}
    module = data_module(synthetic_catalog, extras=extras, sampler=UniformSampler(4, 3), augmentations=[RECIPE])
    alone = next(iter(module.train_dataloader()))
    module.loading = Loading(num_workers=1)
    for batch in (alone, next(iter(module.train_dataloader()))):  # through a worker, too
        assert torch.equal(batch.extras["audio"], batch.index.float()[:, None, None].expand(8, 2, 3))
        assert torch.equal(batch.extras["begin"], torch.stack((batch.starts[:, 0], batch.label), dim=1))
        assert batch.strides.tolist() == [[3, 3]] * 8
    moved = alone.to("meta")
    assert {tensor.device.type for tensor in (*moved.extras.values(), moved.strides)} == {"meta"}
    half = alone.part(slice(0, 4))
    assert torch.equal(half.extras["begin"], alone.extras["begin"][:4])


def test_a_video_without_its_extra_counts_as_unreadable(synthetic_catalog, tmp_path):
    module = data_module(synthetic_catalog, extras={"audio": ArrayFiles(str(tmp_path))})
    with pytest.raises(VidsslError, match="20 videos in a row could not be read"):
        epoch_of(module)
    with pytest.raises(VidsslError, match=r"data\.extras: there is no folder"):
        ArrayFiles(str(tmp_path / "nowhere"))


def test_extras_must_be_alike(synthetic_catalog):
    class Ragged(ExtraTensors):
        def __call__(self, video, views):
            return np.zeros(1 + video.label % 2)

    with pytest.raises(VidsslError, match=r"data\.extras\.boxes must be alike for every video of a batch, got float64"):
        epoch_of(data_module(synthetic_catalog, extras={"boxes": Ragged()}))


def test_a_batch_is_uint8_views_with_labels_and_rows(synthetic_catalog):
    batch = epoch_of(data_module(synthetic_catalog))[0]
    assert [tuple(view.shape) for view in batch.views] == [(8, 3, 4, 32, 32)] * 2
    assert all(view.dtype == torch.uint8 for view in batch.views)
    catalog = Catalog.open(synthetic_catalog)
    assert batch.label.tolist() == [catalog.labels[row] for row in batch.index.tolist()]
    assert not torch.equal(*batch.views)
    # the frames' own memory order, so that collating copies once
    assert batch.views[0].is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("num_workers", [1, 4])
def test_samples_do_not_depend_on_the_number_of_workers(synthetic_catalog, num_workers):
    alone = epoch_of(data_module(synthetic_catalog), epoch=2)
    shared = epoch_of(data_module(synthetic_catalog, loading=Loading(num_workers=num_workers)), epoch=2)
    assert len(alone) == len(shared) == 4
    for left, right in zip(alone, shared, strict=True):
        assert torch.equal(left.index, right.index)
        for ours, theirs in zip(left.views, right.views, strict=True):
            assert torch.equal(ours, theirs)


def test_epochs_and_seeds_give_other_clips_of_the_same_video(synthetic_catalog):
    catalog = Catalog.open(synthetic_catalog)

    def clip(seed, epoch):
        dataset = ClipDataset(catalog, catalog.split("train"), UniformSampler(4, 2), [RECIPE, RECIPE], seed=seed)
        return dataset[epoch, 3].clips[0]

    np.testing.assert_array_equal(clip(0, 0), clip(0, 0))
    assert not np.array_equal(clip(0, 0), clip(0, 1))
    assert not np.array_equal(clip(0, 0), clip(1, 0))


def transfer_epoch(module):
    for batch in epoch_of(module):
        module.on_before_batch_transfer(batch, 0)


@pytest.fixture
def damaged_catalog(synthetic_catalog, tmp_path):
    """A copy of the synthetic videos in which one training video is cut short after preparation."""
    folder = tmp_path / "videos"
    shutil.copytree(synthetic_catalog.parent, folder)
    catalog = Catalog.open(folder / synthetic_catalog.name)
    victim = int(catalog.split("train")[5])
    (catalog.root / catalog.path(victim)).write_bytes(b"not a video any more")
    return folder / synthetic_catalog.name, victim


def test_unreadable_training_videos_are_replaced_and_told(damaged_catalog):
    file, victim = damaged_catalog
    batches = epoch_of(data_module(file))
    failures = [failure for batch in batches for failure in batch.failures]
    assert [row for row, _ in failures] == [victim]
    assert all(victim not in batch.index.tolist() for batch in batches)
    # every other video is as it was
    assert sum(len(batch) for batch in batches) == 32


def test_too_many_unreadable_videos_stop_the_run_and_are_listed(damaged_catalog, caplog):
    file, victim = damaged_catalog
    module = data_module(file, loading=Loading(num_workers=0, max_bad_fraction=0.01))
    name = module.catalog.path(victim)
    with pytest.raises(VidsslError, match=rf"1 of 32 training videos cannot be read[^$]*{name}"):
        transfer_epoch(module)
    patient = data_module(file, loading=Loading(num_workers=0, max_bad_fraction=0.1))
    transfer_epoch(patient)
    assert list(patient.unreadable) == [victim]
    assert f"Unreadable video replaced: {name}" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
def test_another_video_in_the_place_of_one_is_not_trained_on(synthetic_catalog, tmp_path, workers):
    """As long, as large, and decodable: nothing but its contents tells."""
    shutil.copytree(synthetic_catalog.parent, tmp_path / "videos")
    catalog = Catalog.open(tmp_path / "videos" / synthetic_catalog.name)
    victim, other = catalog.split("train")[[5, 6]].tolist()
    shutil.copy(catalog.root / catalog.path(other), catalog.root / catalog.path(victim))
    module = data_module(catalog.file, loading=Loading(num_workers=workers))
    module.setup("fit")
    failures = [failure for batch in epoch_of(module) for failure in batch.failures]
    assert [row for row, _ in failures] == [victim]
    assert "prepared" in failures[0][1]
    # torch wraps the errors of its workers
    with pytest.raises((DecodingError, RuntimeError), match=r"00005.mp4: .*prepare the catalog again"):
        list(module.val_dataloader()["gallery"])


def test_copied_videos_are_the_ones_that_were_prepared(synthetic_catalog, tmp_path):
    shutil.copytree(synthetic_catalog.parent, tmp_path / "videos", copy_function=shutil.copyfile)  # without times
    module = data_module(tmp_path / "videos" / synthetic_catalog.name)
    assert [failure for batch in epoch_of(module) for failure in batch.failures] == []


def test_videos_shorter_than_a_clip_are_counted_before_training(synthetic_catalog, caplog):
    data_module(synthetic_catalog, sampler=IntervalSampler(num_frames=16, stride=2)).setup("fit")
    assert "32 of 32 training videos are shorter than a clip of 31 frames and are looped." in caplog.text
    assert "32 of 32 training videos are shorter than two clips (62 frames), which always overlap." in caplog.text
    caplog.clear()
    data_module(synthetic_catalog, sampler=IntervalSampler(num_frames=12, stride=2)).setup("fit")
    assert "looped" not in caplog.text  # 24 frames, and a clip of 23


def test_an_empty_root_says_so(synthetic_catalog, tmp_path):
    with pytest.raises(VidsslError, match=r"Is data\.root right"):
        epoch_of(data_module(synthetic_catalog, root=str(tmp_path)))


def test_an_unreadable_video_is_an_error_in_evaluation(damaged_catalog):
    file, _ = damaged_catalog
    with pytest.raises(DecodingError, match=r"00005"):
        list(data_module(file).val_dataloader()["gallery"])


def test_evaluation_sees_each_labelled_video_once_in_order(synthetic_catalog):
    module = data_module(synthetic_catalog)
    loaders = module.val_dataloader()
    for name, split in (("gallery", "train"), ("query", "test")):
        batches = list(loaders[name])
        assert torch.cat([batch.index for batch in batches]).tolist() == module.catalog.split(split).tolist()
        assert len(batches[0].views) == 3
        assert batches[0].views[0].shape == (5, 3, 4, 32, 32)


def test_recipes_and_clips_must_match(synthetic_catalog):
    with pytest.raises(VidsslError, match=r"has 3 recipes, but data\.sampler gives 2 clips"):
        data_module(synthetic_catalog, augmentations=[CVRL_VIEW_1] * 3).train_dataset()


class Shorter(IntervalSampler):
    """Forgets that a video may be shorter than a clip."""

    def __call__(self, num_video_frames, rng, motion=None):
        first, second = super().__call__(num_video_frames, rng, motion)
        return [first[:-1], second]


def test_clips_of_another_length_than_the_sampler_announces_are_refused(synthetic_catalog):
    module = data_module(synthetic_catalog, sampler=Shorter(num_frames=4, stride=2), loading=Loading(num_workers=0))
    words = r"Shorter returned clips of \[3, 4\] frames for a video of 24 frames; .* 2 clips of 4 frames"
    with pytest.raises(VidsslError, match=words):
        next(iter(module.train_dataloader()))


def test_a_single_recipe_serves_all_clips(synthetic_catalog):
    assert data_module(synthetic_catalog, augmentations=[CVRL_VIEW_1]).train_dataset().recipes == [CVRL_VIEW_1] * 2


def test_too_little_shared_memory_is_told_before_anything_is_loaded(synthetic_catalog, monkeypatch):
    module = data_module(synthetic_catalog, loading=Loading(num_workers=2))
    module.train_dataloader()
    module.val_dataloader()
    monkeypatch.setattr("vidssl.data.shared_memory.disk_usage", lambda folder: SimpleNamespace(free=64_000))
    with pytest.raises(
        VidsslError, match=r"1 processes x 5 batches x 8 videos x 0\.0 MB .* --shm-size.* data\.batch_size or"
    ):
        module.train_dataloader()
    with pytest.raises(VidsslError, match=r"5 batches x 5 videos x 0\.0 MB .* lower data\.evaluation\.batch_size or"):
        module.val_dataloader()
    with pytest.raises(VidsslError, match=r"5 videos x 0\.1 MB per video"):
        module.evaluation_loader(module.evaluation_rows("test"), views=AugmentedViews(num_views=9))
    # whole frames of the process itself need none
    data_module(synthetic_catalog, loading=Loading(num_workers=0)).val_dataloader()


def test_collate_keeps_failures(synthetic_catalog):
    catalog = Catalog.open(synthetic_catalog)
    dataset = ClipDataset(catalog, catalog.split("train"), UniformSampler(2, 1), [RECIPE, RECIPE], seed=0)
    sample = dataset[0, 0]
    sample.failures = ((7, "empty file"),)
    assert collate([sample, dataset[0, 1]]).failures == ((7, "empty file"),)


class OnCPU:
    """Of a trainer, what the data module asks it for."""

    global_rank, world_size, num_devices, limit_train_batches = 0, 1, 1, 1.0
    strategy = SimpleNamespace(root_device=torch.device("cpu"))


class SeesBatches(LightningModule):
    """Keeps the batch that a training step gets."""

    def training_step(self, batch, batch_idx):
        self.batch = batch

    def configure_optimizers(self):
        return None


@pytest.mark.parametrize("num_workers", [0, 1])
def test_colours_on_the_device_are_those_of_the_loader(synthetic_catalog, num_workers):
    recipes = [replace(CVRL_VIEW_1, crop_size=40), replace(CVRL_VIEW_1, crop_size=32, temporally_consistent=False)]
    module = data_module(synthetic_catalog, augmentations=recipes)
    by_loader = next(iter(module.train_dataloader()))
    module.loading = Loading(num_workers=num_workers, colours="device")
    assert next(iter(module.train_dataloader())).colours == ()  # nobody would finish it
    module.trainer = OnCPU()
    batch = next(iter(module.train_dataloader()))
    assert len(batch.colours) == 2
    unfinished = [view.clone() for view in batch.views]
    finished = module.transfer_batch_to_device(batch, torch.device("cpu"), 0)
    assert finished.colours == ()
    for view, wanted, before in zip(finished.views, by_loader.views, unfinished, strict=True):
        assert view.stride() == wanted.stride()
        difference = (view.short() - wanted.short()).abs().float()
        assert difference.mean() < 0.3
        assert (before.short() - wanted.short()).abs().float().mean() > 5
    assert torch.equal(finished.index, by_loader.index)
    seen = SeesBatches()
    module.trainer = None
    Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", barebones=True).fit(seen, module)
    assert all(map(torch.equal, seen.batch.views, finished.views))
    module.trainer = OnCPU()
    module.loading = Loading(num_workers=num_workers)  # auto: a CPU is no faster than the loader
    again = next(iter(module.train_dataloader()))
    assert all(map(torch.equal, again.views, by_loader.views))


@pytest.mark.parametrize("temporally_consistent", [True, False])
def test_a_clip_made_while_decoding_is_what_apply_makes_of_whole_frames(synthetic_catalog, temporally_consistent):
    recipe = replace(CVRL_VIEW_1, crop_size=40, temporally_consistent=temporally_consistent)
    dataset = data_module(synthetic_catalog, augmentations=[recipe, RECIPE]).train_dataset()
    for key in [(0, 3), (2, 9)]:
        sample = dataset[key]
        views = dataset.draw_views(key[0], sample.index)
        for clip, frames, plan in zip(sample.clips, views.frames, views.plans, strict=True):
            np.testing.assert_array_equal(clip, apply(frames, plan))
