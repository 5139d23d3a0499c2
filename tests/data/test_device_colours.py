"""What the loader leaves to the device: the same draws, the same meaning, for whole batches."""

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision

from vidssl.data.augmentation import CVRL_VIEW_1, CVRL_VIEW_2, AugmentationRecipe, apply, draw
from vidssl.data.operations import Operation
from vidssl.data.operations.colours import finish_colours, finish_view, pending_colours, place_of_colours
from vidssl.data.operations.shipped import Blur, Grey, Jitter, Solarise
from vidssl.data.settings import Loading
from vidssl.errors import UnknownNameError, VidsslError
from vidssl.types import ClipBatch

SIZE, NUM_FRAMES = 64, 3
CHANGED_TWICE = AugmentationRecipe(
    crop_size=SIZE,
    jitter_probability=0.5,
    brightness=0.4,
    hue=0.5,
    solarise_probability=0.5,
    operations=(Solarise(0.5, 77), Blur(0.7, (0.5, 3.0)), Grey(0.3), Jitter(0.6, contrast=0.9, saturation=0.7)),
)
RECIPES = {
    "cvrl": replace(CVRL_VIEW_1, crop_size=SIZE),
    "solarising": replace(CVRL_VIEW_2, crop_size=SIZE),
    "every frame": replace(CVRL_VIEW_2, crop_size=SIZE, temporally_consistent=False),
    "twice": CHANGED_TWICE,
    "nothing": AugmentationRecipe(crop_size=SIZE),
}


def clips_and_plans(recipe, num_clips):
    """Coarse shades with fine texture, and what is drawn for them."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (num_clips, NUM_FRAMES, 8, 8, 3))
    fine = np.kron(coarse, np.ones((1, 1, 10, 12, 1), np.int64)) + rng.integers(
        -9, 10, (num_clips, NUM_FRAMES, 80, 96, 3)
    )
    clips = fine.clip(0, 255).astype(np.uint8)
    return clips, [draw(recipe, rng, num_frames=NUM_FRAMES, height=80, width=96) for _ in clips]


def without_colours(plan):
    return replace(plan, frames=tuple(replace(step, operations=()) for step in plan.frames))


def unfinished(clips, plans):
    """The batch as the loader gives it with ``colours: device``."""
    view = torch.from_numpy(
        np.stack([apply(clip, without_colours(plan)) for clip, plan in zip(clips, plans, strict=True)])
    )
    colours = pending_colours([[step.operations for step in plan.frames] for plan in plans], SIZE)
    rows = torch.arange(len(plans))
    return ClipBatch([view.permute(0, 4, 1, 2, 3)], rows, rows, colours=(colours,))


def as_frames(batch):
    return batch.views[0].permute(0, 2, 3, 4, 1).numpy()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_device_gives_what_the_loader_gives_within_rounding(recipe):
    clips, plans = clips_and_plans(recipe, 24)
    by_loader = np.stack([apply(clip, plan) for clip, plan in zip(clips, plans, strict=True)])
    batch = finish_colours(unfinished(clips, plans))
    difference = np.abs(as_frames(batch).astype(np.int16) - by_loader)
    assert batch.colours == ()
    assert difference.mean() < 0.15  # the loader's own distance from torchvision; a contrast stretches a rounding
    assert np.mean(difference > 3) < 0.001
    assert (
        np.mean(np.abs(by_loader.astype(np.int16) - as_frames(unfinished(clips, plans)))) > 10
        or recipe == RECIPES["nothing"]
    )


@pytest.mark.parametrize("recipe", [CHANGED_TWICE, RECIPES["every frame"]])
def test_a_clip_comes_out_of_a_batch_as_it_does_alone(recipe, monkeypatch):
    clips, plans = clips_and_plans(recipe, 9)
    together = as_frames(finish_colours(unfinished(clips, plans)))
    alone = [as_frames(finish_colours(unfinished(clips[n : n + 1], plans[n : n + 1])))[0] for n in range(9)]
    np.testing.assert_array_equal(together, alone)
    monkeypatch.setattr("vidssl.data.operations.colours.VALUES_AT_A_TIME", 2 * NUM_FRAMES * SIZE * SIZE * 3)
    np.testing.assert_array_equal(as_frames(finish_colours(unfinished(clips, plans))), together)
    halves = [unfinished(clips, plans).part(part) for part in (slice(0, 4), slice(4, None))]
    np.testing.assert_array_equal(np.concatenate([as_frames(finish_colours(half)) for half in halves]), together)
    assert len(unfinished(clips, plans).part(slice(3, 3)).colours[0].steps) == 0


def test_steps_of_many_clips_are_done_together():
    rng = np.random.default_rng(0)
    plans = [draw(CVRL_VIEW_2, rng, num_frames=16, height=80, width=96) for _ in range(256)]
    colours = pending_colours([[step.operations for step in plan.frames] for plan in plans], 224)
    assert len(colours.rows) > 900  # steps of single clips
    assert len(colours.steps) <= 20


def test_a_batch_with_colours_travels_whole():
    clips, plans = clips_and_plans(RECIPES["twice"], 6)
    batch = unfinished(clips, plans)
    expected = as_frames(finish_colours(unfinished(clips, plans)))
    np.testing.assert_array_equal(as_frames(finish_colours(pickle.loads(pickle.dumps(batch)))), expected)
    np.testing.assert_array_equal(as_frames(finish_colours(batch.to("cpu"))), expected)
    moved = batch.to("meta").colours[0]
    assert {moved.rows.device.type, moved.values.device.type} == {"meta"}


def test_the_device_is_never_asked_for_values():
    # a meta tensor has none to give: whatever waits for a GPU raises here
    clips, plans = clips_and_plans(RECIPES["twice"], 6)
    batch = unfinished(clips, plans).to("meta")
    finish_view(batch.views[0], batch.colours[0])


def test_autocast_changes_nothing():
    clips, plans = clips_and_plans(RECIPES["cvrl"], 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = finish_colours(unfinished(clips, plans))
    np.testing.assert_array_equal(as_frames(under_autocast), as_frames(finish_colours(unfinished(clips, plans))))


@pytest.mark.parametrize("precision", [HalfPrecision("bf16-true"), DoublePrecision()])
def test_the_precision_of_the_weights_changes_nothing(precision):
    clips, plans = clips_and_plans(RECIPES["cvrl"], 6)
    converted = precision.convert_input(unfinished(clips, plans))  # as Lightning does before the transfer
    np.testing.assert_array_equal(
        as_frames(finish_colours(converted)), as_frames(finish_colours(unfinished(clips, plans)))
    )


@dataclass(frozen=True)
class InLoader(Operation):
    probability: float = 1.0

    def draw(self, rng, size):
        return {}

    @staticmethod
    def apply(frames, **drawn):
        frames //= 2


def test_who_does_the_colours():
    recipe, own = RECIPES["cvrl"], replace(RECIPES["cvrl"], operations=(InLoader(),))
    assert [place_of_colours("auto", [recipe], device) for device in ("cuda", "cpu", None)] == [
        "device",
        "loader",
        "loader",
    ]
    assert [place_of_colours("device", [recipe], device) for device in ("cuda", "cpu", None)] == [
        "device",
        "device",
        "loader",
    ]
    assert place_of_colours("loader", [recipe], "cuda") == "loader"
    assert place_of_colours("auto", [recipe, own], "cuda") == "loader"
    never = replace(recipe, operations=(InLoader(probability=0.0),))
    assert place_of_colours("device", [never], "cpu") == "device"
    with pytest.raises(VidsslError, match=r"InLoader runs in the loader only.*data\.loading\.colours: loader"):
        place_of_colours("device", [recipe, own], "cpu")
    with pytest.raises(UnknownNameError, match=r"data\.loading\.colours: unknown place 'devise'.*device"):
        Loading(colours="devise")
