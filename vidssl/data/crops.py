"""Which part of the frame: random resized crops, anywhere or where most moves."""

from __future__ import annotations

import math

import numpy as np

from vidssl.data.plan import AugmentationRecipe, MotionCrop
from vidssl.motion.maps import Region, block_means, coverage, moving_region

Crop = tuple[int, int, int, int]
"""Top, left, height, width in pixels of the source."""

# As torchvision's RandomResizedCrop: so many tries to fit a crop of the drawn area and aspect, then a central one.
CROP_ATTEMPTS = 10
# MCL's released code finds the moving region on a grid of 224 / 32 cells a side, whatever the size of the frame.
REGION_GRID = 7


def draw_crop(recipe: AugmentationRecipe, rng: np.random.Generator, height: int, width: int) -> Crop:
    """Draw a crop as torchvision's RandomResizedCrop does, with its central crop if no crop fits."""
    size = _draw_size(recipe, rng, height, width)
    if size is None:
        crop_height = max(1, min(height, round(width / recipe.crop_aspect[0])))
        crop_width = max(1, min(width, round(height * recipe.crop_aspect[1])))
        return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width
    top = int(rng.integers(height - size[0] + 1))
    left = int(rng.integers(width - size[1] + 1))
    return top, left, *size


def _draw_size(recipe: AugmentationRecipe, rng: np.random.Generator, height: int, width: int) -> tuple[int, int] | None:
    """Draw height and width, or None where `CROP_ATTEMPTS` in a row are larger than the frame."""
    log_aspect = np.log(recipe.crop_aspect)
    for _ in range(CROP_ATTEMPTS):
        area = height * width * rng.uniform(*recipe.crop_area)
        aspect = math.exp(rng.uniform(*log_aspect))
        crop_height, crop_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            return crop_height, crop_width
    return None


def required_coverage(rule: MotionCrop, region: Region) -> float:
    """Return the share of a moving region that a crop must cover, 0 of one that is larger than any in the rule."""
    for num_cells, share in rule.required_coverage:
        if region.height * region.width <= num_cells:
            return share
    return 0.0


def draw_motion_crop(
    recipe: AugmentationRecipe, rng: np.random.Generator, height: int, width: int, s_motion: np.ndarray
) -> Crop:
    """Draw a crop that covers enough of the moving region (MCL, section 3.2; `MotionCrop` says how much).

    Sizes are those of `draw_crop`, each tried at several places; the first crop that covers enough is taken, or else
    the one that covered most. Where nothing moves, or the region asks for nothing, this is `draw_crop`.

    Args:
        recipe: with a `motion_crop`.
        rng: the only source of randomness.
        height: of the frames, pixels.
        width: of the frames, pixels.
        s_motion: float, rows x columns, S-motion of the clip on a grid over the whole frame.
    """
    rule = recipe.motion_crop
    assert rule is not None  # `draw` asks for no other
    cells = block_means(s_motion, REGION_GRID, REGION_GRID)
    region = moving_region(cells, rule.percentile)
    required = required_coverage(rule, region) if cells.any() else 0.0
    best, most_covered = None, -1.0
    for _ in range(rule.num_sizes if required > 0 else 0):
        size = _draw_size(recipe, rng, height, width)
        if size is None:
            continue
        tops = rng.integers(height - size[0] + 1, size=rule.num_positions)
        lefts = rng.integers(width - size[1] + 1, size=rule.num_positions)
        down, across = REGION_GRID / height, REGION_GRID / width
        covered = np.asarray(coverage(region, (tops * down, lefts * across, size[0] * down, size[1] * across)))
        # the first that is enough, or the greatest: what is above the requirement counts alike
        place = int(np.argmax(np.minimum(covered, required)))
        if covered[place] > most_covered:
            best, most_covered = (int(tops[place]), int(lefts[place]), *size), covered[place]
        if most_covered >= required:
            break
    return draw_crop(recipe, rng, height, width) if best is None else best
