"""Plans: how they are drawn, that they say all there is, and that a whole one gives torchvision's result."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from textured_clips import textured
from torchvision.transforms.v2 import functional as tv

from vidssl.data.augmentation import (
    CVRL_VIEW_1,
    CVRL_VIEW_2,
    AugmentationRecipe,
    FramePlan,
    Plan,
    apply,
    blur_kernel_size,
    draw,
)
from vidssl.errors import VidsslError

EVERYTHING = replace(
    CVRL_VIEW_1, jitter_probability=1.0, grey_probability=0.5, blur_probability=1.0, solarise_probability=0.5
)
JITTER = "vidssl.data.operations.shipped:Jitter"
PER_FRAME = replace(CVRL_VIEW_1, temporally_consistent=False)


def rng(seed=0):
    return np.random.default_rng(seed)


def with_torchvision(frames, plan):
    """The same plan by torchvision's functions, each frame by itself."""
    results = []
    for number, frame in enumerate(frames):
        step = plan.frames[number if len(plan.frames) > 1 else 0]
        picture = torch.from_numpy(frame.copy()).permute(2, 0, 1)
        picture = tv.resized_crop(picture, *step.crop, list(step.resize), antialias=True)
        picture = tv.crop(picture, *step.window, plan.crop_size, plan.crop_size)
        if step.flip:
            picture = tv.horizontal_flip(picture)
        drawn = step.drawn()
        for name, factor in drawn.get("Jitter", {}).items():
            picture = getattr(tv, f"adjust_{name}")(picture, factor)
        if "Grey" in drawn:
            picture = tv.rgb_to_grayscale(picture, 3)
        if "Blur" in drawn:
            picture = tv.gaussian_blur(picture, [blur_kernel_size(plan.crop_size)] * 2, [drawn["Blur"]["sigma"]] * 2)
        if "Solarise" in drawn:
            picture = tv.solarize(picture, drawn["Solarise"]["threshold"])
        results.append(picture.permute(1, 2, 0).numpy())
    return np.stack(results)


# --- the result ---


@pytest.mark.parametrize("recipe", [CVRL_VIEW_1, CVRL_VIEW_2, PER_FRAME], ids=["view 1", "view 2", "per frame"])
@pytest.mark.parametrize("size", [(240, 320), (90, 120), (481, 271)])
def test_a_plan_gives_torchvisions_result_within_rounding(recipe, size):
    """Rounding of one operation is stretched by the next, a contrast of 1.8, say, or solarisation at 128."""
    frames = textured(2, *size)
    shares_beyond_3_levels = []
    for seed in range(12):
        plan = draw(recipe, rng(seed), num_frames=2, height=size[0], width=size[1])
        difference = np.abs(apply(frames, plan).astype(np.int16) - with_torchvision(frames, plan))
        assert difference.mean() < 0.5, plan
        shares_beyond_3_levels.append(np.mean(difference > 3))
    assert np.mean(shares_beyond_3_levels) < 0.001


def test_a_constant_clip_stays_constant_over_time():
    clip = np.repeat(textured(1, 120, 160), 8, axis=0)
    for seed in range(10):
        result = apply(clip, draw(EVERYTHING, rng(seed), num_frames=8, height=120, width=160))
        np.testing.assert_array_equal(result, np.broadcast_to(result[:1], result.shape))


def test_a_consistent_plan_does_the_same_to_each_frame():
    clip = textured(4, 120, 160)
    plan = draw(EVERYTHING, rng(), num_frames=4, height=120, width=160)
    alone = replace(plan, num_frames=1)
    expected = np.concatenate([apply(clip[i : i + 1], alone) for i in range(4)])
    np.testing.assert_array_equal(apply(clip, plan), expected)


def test_an_inconsistent_recipe_draws_for_every_frame():
    clip = np.repeat(textured(1, 120, 160), 8, axis=0)
    plan = draw(PER_FRAME, rng(), num_frames=8, height=120, width=160)
    assert len(set(plan.frames)) == 8
    result = apply(clip, plan)
    assert all((result[0] != frame).mean() > 0.5 for frame in result[1:])


def test_frames_are_never_changed_and_may_be_read_only():
    clip = textured(2, 224, 224)
    before = clip.copy()
    clip.flags.writeable = False
    untouched = FramePlan(crop=(0, 0, 224, 224), resize=(224, 224), operations=((JITTER, (("brightness", 0.5),)),))
    apply(clip, Plan(2, (224, 224), 224, (untouched,)))
    np.testing.assert_array_equal(clip, before)


def test_out_may_be_a_view():
    clip = textured(3, 120, 160)
    plan = draw(CVRL_VIEW_1, rng(), num_frames=3, height=120, width=160)
    batch = np.zeros((2, 3, 224, 224, 3), np.uint8)
    planes = np.zeros((3, 3, 224, 224), np.uint8)
    expected = apply(clip, plan)
    for out in (batch[1], planes.transpose(1, 2, 3, 0)):
        assert apply(clip, plan, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert not batch[0].any()


@pytest.mark.parametrize(
    ("frames", "out"),
    [
        (np.zeros((2, 9, 9, 3), np.uint8), None),
        (np.zeros((3, 8, 9, 3), np.uint8), None),
        (np.zeros((2, 8, 9, 3), np.float32), None),
        (np.zeros((2, 8, 9, 3), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)),
    ],
)
def test_wrong_shapes_are_told(frames, out):
    plan = draw(AugmentationRecipe(crop_size=32), rng(), num_frames=2, height=8, width=9)
    with pytest.raises(VidsslError, match=r"but the plan is for uint8 \(2, "):
        apply(frames, plan, out)


# --- the plan ---


def test_the_same_generator_draws_the_same_plan_and_another_another():
    first, again, other = (draw(CVRL_VIEW_1, rng(s), num_frames=4, height=120, width=160) for s in (3, 3, 4))
    assert first == again
    assert first != other


def test_two_draws_from_one_generator_differ():
    generator = rng()
    plans = [draw(CVRL_VIEW_1, generator, num_frames=4, height=240, width=320) for _ in range(2)]
    assert plans[0] != plans[1]


@pytest.mark.parametrize("recipe", [EVERYTHING, PER_FRAME])
def test_a_plan_survives_json_and_replays_exactly(recipe):
    clip = textured(3, 120, 160)
    plan = draw(recipe, rng(5), num_frames=3, height=120, width=160)
    read_back = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert read_back == plan
    np.testing.assert_array_equal(apply(clip, read_back), apply(clip, plan))


def test_a_broken_plan_is_told():
    values = draw(CVRL_VIEW_1, rng(), num_frames=3, height=120, width=160).to_dict()
    with pytest.raises(VidsslError, match="num_frame"):
        Plan.from_dict({key: value for key, value in values.items() if key != "num_frames"})
    with pytest.raises(VidsslError, match="blurr"):
        Plan.from_dict({**values, "frames": [{**values["frames"][0], "blurr": 1.0}]})
    with pytest.raises(VidsslError, match=r"no augmentation operation .vidssl\.data:Vibrance."):
        Plan.from_dict({**values, "frames": [{**values["frames"][0], "operations": [["vidssl.data:Vibrance", []]]}]})
    with pytest.raises(VidsslError, match="holds 2 frame plans"):
        Plan.from_dict({**values, "frames": values["frames"] * 2})


@pytest.mark.parametrize(
    "size", [(90, 120), (1, 1), (1, 500), (500, 1), (3, 2), (17, 31), (101, 99), (240, 320), (1080, 608), (40, 400)]
)
def test_crops_lie_inside_frames_of_every_size(size):
    height, width = size
    generator = rng(11)
    for _ in range(200):
        plan = draw(CVRL_VIEW_1, generator, num_frames=1, height=height, width=width)
        top, left, crop_height, crop_width = plan.frames[0].crop
        assert crop_height >= 1
        assert crop_width >= 1
        assert 0 <= top <= height - crop_height
        assert 0 <= left <= width - crop_width
    assert apply(np.zeros((1, height, width, 3), np.uint8), plan).shape == (1, 224, 224, 3)


def test_crops_have_the_areas_and_aspects_of_the_recipe():
    height, width = 1000, 1500
    crops = np.array(
        [draw(CVRL_VIEW_1, rng(s), num_frames=1, height=height, width=width).frames[0].crop for s in range(2000)]
    )
    area = crops[:, 2] * crops[:, 3] / (height * width)
    aspect = crops[:, 3] / crops[:, 2]
    assert area.min() == pytest.approx(0.3, abs=0.02)
    assert area.max() == pytest.approx(1.0, abs=0.03)
    assert aspect.min() == pytest.approx(0.5, abs=0.03)
    assert aspect.max() == pytest.approx(2.0, abs=0.06)
    # uniform in the logarithm where the frame is large enough for any aspect: as many wide crops as narrow ones
    small = np.log(aspect[area < 0.4])
    assert abs(small.mean()) < 0.1


def test_a_frame_too_elongated_for_the_recipe_gets_the_central_crop():
    narrow = replace(CVRL_VIEW_1, crop_area=(0.9, 1.0), crop_aspect=(0.5, 2.0))
    crop = draw(narrow, rng(), num_frames=1, height=40, width=400).frames[0].crop
    assert crop == (0, 160, 40, 80)


def test_the_two_views_draw_with_the_papers_frequencies():
    def share(recipe, wanted):
        plans = [draw(recipe, rng(s), num_frames=1, height=240, width=320).frames[0] for s in range(1500)]
        return np.mean([wanted(plan) for plan in plans])

    expected = {"Jitter": (0.8, 0.8), "Grey": (0.2, 0.2), "Blur": (1.0, 0.1), "Solarise": (0.0, 0.2)}
    for name, shares in expected.items():
        for recipe, wanted in zip((CVRL_VIEW_1, CVRL_VIEW_2), shares, strict=True):
            found = share(recipe, lambda plan, name=name: name in plan.drawn())
            assert found == pytest.approx(wanted, abs=0.04 if 0 < wanted < 1 else 0)
    for recipe in (CVRL_VIEW_1, CVRL_VIEW_2):
        assert share(recipe, lambda plan: plan.flip) == pytest.approx(0.5, abs=0.04)


def test_jitter_factors_and_orders():
    plans = [draw(EVERYTHING, rng(s), num_frames=1, height=90, width=120).frames[0] for s in range(600)]
    drawn = [plan.drawn()["Jitter"] for plan in plans]
    assert len({tuple(jitter) for jitter in drawn}) == 24
    for name, low, high in [
        ("brightness", 0.2, 1.8),
        ("contrast", 0.2, 1.8),
        ("saturation", 0.2, 1.8),
        ("hue", -0.2, 0.2),
    ]:
        factors = [jitter[name] for jitter in drawn]
        assert low <= min(factors) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(factors) <= high


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("crop_size", 0),
        ("crop_area", (0.5, 0.3)),
        ("crop_area", (0.5, 1.5)),
        ("crop_aspect", (0.0, 1.0)),
        ("grey_probability", 1.2),
        ("contrast", -0.1),
        ("hue", 0.6),
        ("blur_sigma", (0.0, 2.0)),
        ("solarise_threshold", 256),
    ],
)
def test_a_recipe_out_of_range_names_the_key(key, value):
    with pytest.raises(VidsslError, match=f"^{key} is"):
        AugmentationRecipe(**{key: value})


@pytest.mark.parametrize(("crop_size", "kernel_size"), [(224, 23), (256, 25), (112, 11), (56, 5)])
def test_the_blurs_kernel_is_odd_and_a_tenth_of_the_picture(crop_size, kernel_size):
    assert blur_kernel_size(crop_size) == kernel_size
