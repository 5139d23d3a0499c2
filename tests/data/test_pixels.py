"""Every pixel operation, on the loader and on the device, against torchvision's function of the same purpose."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from vidssl.data import pixels
from vidssl.data.operations.colours import finish_colours, pending_colours
from vidssl.data.operations.shipped import Blur, Grey, Jitter, Solarise
from vidssl.errors import VidsslError
from vidssl.types import ClipBatch

# Levels of 255. The blur's weights are rounded to 1/256, which white noise shows most.
COLOUR_MEAN_TOLERANCE, COLOUR_GREATEST_TOLERANCE = 0.3, 1
BLUR_MEAN_TOLERANCE, BLUR_GREATEST_TOLERANCE = 0.4, 2


def scene(size: int = 224) -> np.ndarray:
    """A picture with what real ones have: smooth shades of many colours, edges, fine texture, black and white."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = pixels.resize(coarse[None], size, size)[0].astype(np.int16)
    rows, columns = np.mgrid[:size, :size]
    smooth += (20 * np.sin(columns / 2.5) * np.sin(rows / 3.5)).astype(np.int16)[:, :, None]
    smooth += rng.integers(-6, 7, smooth.shape, dtype=np.int16)
    smooth[size // 4 : size // 2, size // 3 : size // 2] = (250, 10, 30)
    smooth[: size // 8] = 0
    smooth[-size // 8 :] = 255
    smooth[:, size * 7 // 8 :] = smooth[:, size * 7 // 8 :, :1]
    return smooth.clip(0, 255).astype(np.uint8)


def noise(size: int = 224) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)


PICTURES = {"scene": scene(), "noise": noise()}


class OnDevice:
    """The functions of `pixels`, done as the device does them for a batch of one clip of one frame."""

    @staticmethod
    def done(picture: np.ndarray, kind: type, **drawn) -> np.ndarray:
        colours = pending_colours([[[(f"{kind.__module__}:{kind.__qualname__}", tuple(drawn.items()))]]], len(picture))
        view = torch.from_numpy(picture.copy())[None, None].permute(0, 4, 1, 2, 3)
        number = torch.zeros(1, dtype=torch.int64)
        finished = finish_colours(ClipBatch([view], number, number, colours=(colours,)))
        assert finished.colours == ()
        return finished.views[0][0, :, 0].permute(1, 2, 0).numpy()

    COLOUR_OPERATIONS = {
        name: lambda picture, factor, name=name: OnDevice.done(picture, Jitter, **{name: factor})
        for name in pixels.COLOUR_OPERATIONS
    }
    adjust_hue = COLOUR_OPERATIONS["hue"]

    @staticmethod
    def to_grey(picture):
        return OnDevice.done(picture, Grey)

    @staticmethod
    def solarise(picture, threshold):
        return OnDevice.done(picture, Solarise, threshold=threshold)

    @staticmethod
    def blur(picture, sigma, kernel_size):
        assert kernel_size == 2 * (len(picture) // 20) + 1  # as wide as the size says
        return OnDevice.done(picture, Blur, sigma=sigma)


@pytest.fixture(params=["loader", "device"])
def operations(request):
    return pixels if request.param == "loader" else OnDevice


@pytest.fixture(params=PICTURES)
def picture(request) -> np.ndarray:
    return PICTURES[request.param].copy()


def with_torchvision(function, picture, *arguments):
    channels_first = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    return function(channels_first, *arguments).permute(1, 2, 0).numpy()


def assert_near(ours, theirs, mean_tolerance=COLOUR_MEAN_TOLERANCE, greatest_tolerance=COLOUR_GREATEST_TOLERANCE):
    difference = np.abs(ours.astype(np.int16) - theirs)
    assert difference.mean() <= mean_tolerance
    assert difference.max() <= greatest_tolerance


@pytest.mark.parametrize("factor", [0.1, 0.2, 0.73, 1.0, 1.31, 1.8])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_jitter_is_torchvisions(operations, picture, name, factor):
    theirs = with_torchvision(getattr(tv, f"adjust_{name}"), picture, factor)
    assert_near(operations.COLOUR_OPERATIONS[name](picture, factor), theirs)


@pytest.mark.parametrize("factor", [-0.5, -0.34, -0.2, -0.05, 0.0, 0.033, 0.17, 0.2, 0.41, 0.5])
def test_hue_is_torchvisions(operations, picture, factor):
    theirs = with_torchvision(tv.adjust_hue, picture, factor)
    assert_near(operations.adjust_hue(picture, factor), theirs, mean_tolerance=0.06)


def test_hue_of_the_primary_colours(operations):
    corners = [[255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255], [255, 0, 255]]
    wheel = np.array([corners] * 6, np.uint8)
    turned = operations.adjust_hue(wheel.copy(), 1 / 6)
    np.testing.assert_array_equal(turned, np.roll(wheel, -1, axis=1))


def test_hue_leaves_grey_alone(operations):
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    np.testing.assert_array_equal(operations.adjust_hue(ramp.copy(), 0.37), ramp)


def test_grey_is_torchvisions(operations, picture):
    theirs = with_torchvision(tv.rgb_to_grayscale, picture, 3)
    assert_near(operations.to_grey(picture), theirs)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 0.8, 1.0, 1.3, 1.7, 2.0])
@pytest.mark.parametrize(("size", "kernel_size"), [(56, 5), (112, 11), (224, 23)])
def test_blur_is_torchvisions(operations, picture, sigma, size, kernel_size):
    picture = picture[:size, :size].copy()
    theirs = with_torchvision(tv.gaussian_blur, picture, [kernel_size] * 2, [sigma] * 2)
    ours = operations.blur(picture, sigma, kernel_size)
    assert_near(ours, theirs, BLUR_MEAN_TOLERANCE, BLUR_GREATEST_TOLERANCE)


def test_blur_keeps_the_mean_of_a_flat_picture(operations):
    flat = np.full((224, 224, 3), 201, np.uint8)
    for sigma in np.linspace(0.1, 2.0, 20):
        np.testing.assert_array_equal(operations.blur(flat.copy(), float(sigma), 23), flat)


def test_blur_of_a_frame_smaller_than_half_the_kernel_is_told():
    with pytest.raises(VidsslError, match="8 x 9 frame is too small"):
        pixels.blur(np.zeros((8, 9, 3), np.uint8), 1.0, 23)


@pytest.mark.parametrize("threshold", [0, 77, 128, 255])
def test_solarise_is_torchvisions(operations, picture, threshold):
    theirs = with_torchvision(tv.solarize, picture, threshold)
    np.testing.assert_array_equal(operations.solarise(picture, threshold), theirs)


@pytest.mark.parametrize("size", [(224, 224), (100, 300), (333, 97), (56, 56), (1, 1)])
def test_resize_is_torchvisions(size):
    source = scene(180)[:, :151]
    theirs = with_torchvision(tv.resize, source, list(size))
    np.testing.assert_array_equal(pixels.resize(source[None], *size)[0], theirs)


def test_resize_takes_any_view_and_never_shares_memory():
    frames = np.stack([scene(64)] * 3)
    frames.flags.writeable = False
    mirrored = pixels.resize(frames[:, ::-1, 5:50, ::-1], 32, 32)
    expected = pixels.resize(np.ascontiguousarray(frames[:, ::-1, 5:50, ::-1]), 32, 32)
    np.testing.assert_array_equal(mirrored, expected)
    assert not np.shares_memory(pixels.resize(frames, 64, 64), frames)
