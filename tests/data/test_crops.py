"""Crops where most moves, and motion maps that go through the crop and the flip of their frames."""

from dataclasses import replace

import numpy as np
import pytest

from vidssl.data.augmentation import MCL_VIEW, AugmentationRecipe, FramePlan, MotionCrop, Plan, draw, transform_motion
from vidssl.data.crops import draw_crop, draw_motion_crop, required_coverage
from vidssl.errors import VidsslError
from vidssl.motion.maps import Region, block_means

HEIGHT, WIDTH = 120, 160


def motion_at(top, left, height, width):
    s_motion = np.full((7, 7), 0.01, np.float32)
    s_motion[top : top + height, left : left + width] = 1.0
    return s_motion


def crops_for(s_motion, draws=300, **rule):
    recipe = replace(MCL_VIEW, motion_crop=MotionCrop(**rule))
    crops = [draw_motion_crop(recipe, np.random.default_rng(s), HEIGHT, WIDTH, s_motion) for s in range(draws)]
    return np.array(crops)


def naive_coverage(crop, region):
    """Counted in points: 700 rows and 700 columns over the frame."""
    top, left, height, width = crop
    rows = (np.arange(700) + 0.5) / 700 * 7
    in_rows = (rows > region[0]) & (rows < region[0] + region[2])
    in_columns = (rows > region[1]) & (rows < region[1] + region[3])
    crop_rows = (rows / 7 * HEIGHT > top) & (rows / 7 * HEIGHT < top + height)
    crop_columns = (rows / 7 * WIDTH > left) & (rows / 7 * WIDTH < left + width)
    return (in_rows & crop_rows).sum() / in_rows.sum() * (in_columns & crop_columns).sum() / in_columns.sum()


@pytest.mark.parametrize("region", [(1, 4, 2, 2), (5, 0, 2, 2), (0, 0, 1, 4)])
def test_crops_cover_the_moving_region(region):
    required = 0.9  # of at most 4 cells
    s_motion = motion_at(*region)
    crops = crops_for(s_motion)
    assert (crops >= 0).all()
    assert (crops[:, 0] + crops[:, 2] <= HEIGHT).all()
    assert (crops[:, 1] + crops[:, 3] <= WIDTH).all()
    covered = np.array([naive_coverage(crop, region) for crop in crops])
    assert covered.min() > required - 0.02
    blind = [draw_crop(MCL_VIEW, np.random.default_rng(s), HEIGHT, WIDTH) for s in range(300)]
    assert np.mean([naive_coverage(crop, region) > required for crop in blind]) < 0.7
    # they are still random crops
    area = crops[:, 2] * crops[:, 3] / (HEIGHT * WIDTH)
    assert area.min() < 0.4
    assert area.max() > 0.9


def test_a_finer_map_asks_for_the_same():
    coarse = crops_for(motion_at(1, 4, 2, 2), draws=50)
    fine = crops_for(np.kron(motion_at(1, 4, 2, 2), np.ones((4, 4), np.float32)), draws=50)
    np.testing.assert_array_equal(coarse, fine)


def test_the_larger_the_region_the_less_must_be_covered():
    rule = MotionCrop()
    shares = [required_coverage(rule, Region(0, 0, *size)) for size in [(1, 4), (1, 5), (2, 4), (3, 4), (2, 7), (7, 7)]]
    assert shares == [0.9, 0.8, 0.8, 0.7, 0.0, 0.0]
    paper = MotionCrop(required_coverage=((49, 0.8),))
    assert required_coverage(paper, Region(0, 0, 7, 7)) == 0.8


@pytest.mark.parametrize("required", [MotionCrop().required_coverage, ((49, 0.8),)])
def test_without_motion_it_is_any_crop(required):
    recipe = replace(MCL_VIEW, motion_crop=MotionCrop(required_coverage=required))
    still = np.zeros((28, 28), np.float32)
    for seed in range(20):
        ours = draw_motion_crop(recipe, np.random.default_rng(seed), HEIGHT, WIDTH, still)
        assert ours == draw_crop(recipe, np.random.default_rng(seed), HEIGHT, WIDTH)


def test_where_no_crop_is_enough_the_best_seen_is_taken():
    recipe = replace(MCL_VIEW, crop_area=(0.2, 0.2), motion_crop=MotionCrop(required_coverage=((49, 1.0),)))
    corners = np.zeros((7, 7), np.float32)
    corners[[0, 0, 6, 6], [0, 6, 0, 6]] = 1.0  # the region is the whole frame, a fifth of which is shown
    crop = draw_motion_crop(recipe, np.random.default_rng(0), HEIGHT, WIDTH, corners)
    assert crop[2] * crop[3] / (HEIGHT * WIDTH) == pytest.approx(0.2, abs=0.01)


def test_the_released_code_keeps_its_first_size():
    """Then areas are those of blind crops, and only the place heeds the motion."""
    areas = np.prod(crops_for(motion_at(1, 4, 2, 2), num_sizes=1)[:, 2:], axis=1) / (HEIGHT * WIDTH)
    tried_more = np.prod(crops_for(motion_at(1, 4, 2, 2))[:, 2:], axis=1) / (HEIGHT * WIDTH)
    blind = [draw_crop(MCL_VIEW, np.random.default_rng(s), HEIGHT, WIDTH)[2:] for s in range(300)]
    blind_areas = np.prod(blind, axis=1) / (HEIGHT * WIDTH)
    np.testing.assert_array_equal(areas, blind_areas)
    assert tried_more.mean() >= areas.mean()


def test_frames_too_elongated_get_the_central_crop():
    s_motion = motion_at(1, 4, 2, 2)
    recipe = replace(MCL_VIEW, crop_area=(0.9, 1.0))
    assert draw_motion_crop(recipe, np.random.default_rng(0), 40, 400, s_motion) == (0, 173, 40, 53)


def test_a_recipe_with_motion_crop_needs_motion():
    settings = {"num_frames": 4, "height": HEIGHT, "width": WIDTH}
    with pytest.raises(VidsslError, match="give `motion`"):
        draw(MCL_VIEW, np.random.default_rng(0), **settings)
    plan = draw(MCL_VIEW, np.random.default_rng(0), **settings, motion=motion_at(1, 4, 2, 2))
    assert naive_coverage(plan.frames[0].crop, (1, 4, 2, 2)) > 0.88
    # motion changes nothing for a recipe that does not ask for it
    blind = replace(MCL_VIEW, motion_crop=None)
    plans = [draw(blind, np.random.default_rng(0), **settings, motion=m) for m in (None, motion_at(1, 4, 2, 2))]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    "settings",
    [{"percentile": 100.0}, {"num_sizes": 0}, {"num_positions": 0}, {"required_coverage": ((8, 0.8), (4, 0.9))}],
)
def test_wrong_settings_name_their_key(settings):
    with pytest.raises(VidsslError, match=rf"^motion_crop\.{next(iter(settings))} is"):
        MotionCrop(**settings)


# --- motion through the plan ---


def plan_of(crop, *, flip=False, size=(HEIGHT, WIDTH), crop_size=112):
    return Plan(4, size, crop_size, (FramePlan(crop=crop, resize=(crop_size, crop_size), flip=flip),))


def random_maps(*shape):
    return np.random.default_rng(7).random(shape).astype(np.float32)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [(0, 0, 120, 160), (16, 40, 56, 84), (7, 3, 101, 150)])
def test_motion_moves_as_the_pixels_do(crop, flip):
    """One map cell a pixel: then cropping and flipping the map as a picture, and block means of that, are the same."""
    maps = random_maps(2, HEIGHT, WIDTH)
    top, left, height, width = crop
    pictures = maps[:, top : top + height, left : left + width]
    pictures = pictures[:, :, ::-1] if flip else pictures
    ours = transform_motion(maps, plan_of(crop, flip=flip), 7, 7)
    assert ours.shape == (2, 7, 7)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, block_means(pictures, 7, 7), rtol=1e-4)


def test_a_coarse_map_is_cut_at_the_crops_edges():
    """As if every cell were a patch of equal pixels."""
    coarse = random_maps(3, 6, 8)
    fine = np.kron(coarse, np.ones((1, HEIGHT // 6, WIDTH // 8), np.float32))
    plan = plan_of((13, 29, 70, 91), flip=True)
    np.testing.assert_allclose(transform_motion(coarse, plan, 5, 4), transform_motion(fine, plan, 5, 4), rtol=1e-4)


def test_the_whole_frame_is_left_as_it_is():
    maps = random_maps(4, 7, 7)
    np.testing.assert_allclose(transform_motion(maps, plan_of((0, 0, HEIGHT, WIDTH)), 7, 7), maps, rtol=1e-5)
    flipped = transform_motion(maps, plan_of((0, 0, HEIGHT, WIDTH), flip=True), 7, 7)
    np.testing.assert_allclose(flipped, maps[:, :, ::-1], rtol=1e-5)


def test_a_window_of_the_resized_frame_is_a_crop():
    maps = random_maps(1, HEIGHT, WIDTH)
    step = FramePlan(crop=(0, 0, HEIGHT, WIDTH), resize=(60, 80), window=(5, 10))
    ours = transform_motion(maps, Plan(4, (HEIGHT, WIDTH), 40, (step,)), 8, 8)
    np.testing.assert_allclose(ours, block_means(maps[:, 10:90, 20:100], 8, 8), rtol=1e-4)


def test_a_plan_for_every_frame_gives_the_mean_over_the_time_bin():
    maps = random_maps(2, 6, 8)
    plan = draw(
        replace(
            AugmentationRecipe(crop_size=32), crop_area=(0.2, 0.9), flip_probability=0.5, temporally_consistent=False
        ),
        np.random.default_rng(0),
        num_frames=4,
        height=60,
        width=80,
    )
    alone = [transform_motion(maps, replace(plan, frames=(step,)), 4, 4) for step in plan.frames]
    expected = [(alone[0][0] + alone[1][0]) / 2, (alone[2][1] + alone[3][1]) / 2]
    np.testing.assert_allclose(transform_motion(maps, plan, 4, 4), expected, rtol=1e-5)
