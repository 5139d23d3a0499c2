"""The operations of vidssl, which the keys of a recipe refer to, in the order of the papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vidssl.data import pixels
from vidssl.data.operations import DeviceStep, Operation
from vidssl.errors import VidsslError

# SimCLR and CVRL: the blur's kernel is about a tenth of the picture wide.
BLUR_KERNEL_FRACTION = 10
FULL_RANGE = 255


@dataclass(frozen=True)
class Jitter(Operation):
    """Change brightness, contrast, saturation and hue, in an order that is drawn.

    Args:
        probability: of happening (0-1).
        brightness: the factor is drawn from [max(0, 1 - brightness), 1 + brightness].
        contrast: likewise; it refers to the mean grey level of each frame.
        saturation: likewise.
        hue: the shift is drawn from [-hue, hue], in turns of the colour circle (0-0.5).
    """

    probability: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        check_probability(self)
        if min(self.brightness, self.contrast, self.saturation) < 0 or not 0 <= self.hue <= 0.5:
            raise VidsslError(f"Jitter takes strengths of 0 and more and a hue from 0 to 0.5, got {self}.")

    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Any]:
        """Draw the factors; their order is that in which they are applied."""
        factors = {
            name: float(rng.uniform(max(0.0, 1.0 - strength), 1.0 + strength))
            for name in ("brightness", "contrast", "saturation")
            if (strength := getattr(self, name)) > 0.0
        }
        if self.hue > 0.0:
            factors["hue"] = float(rng.uniform(-self.hue, self.hue))
        names = list(factors)
        return {names[i]: factors[names[i]] for i in rng.permutation(len(names))}

    @staticmethod
    def apply(frames: np.ndarray, **drawn: Any) -> None:
        """Apply one factor after the other, with a clamp after each."""
        for name, factor in drawn.items():
            pixels.COLOUR_OPERATIONS[name](frames, factor)

    @staticmethod
    def device_steps(size: int, **drawn: Any) -> list[DeviceStep]:
        """One step for each factor."""
        from vidssl.data.operations import on_device

        return [(on_device.COLOUR_OPERATIONS[name], {"factor": factor}) for name, factor in drawn.items()]


@dataclass(frozen=True)
class Grey(Operation):
    """Give all three channels the luma.

    Args:
        probability: of happening (0-1).
    """

    probability: float = 1.0

    def __post_init__(self) -> None:
        check_probability(self)

    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Any]:
        """Nothing is drawn."""
        return {}

    @staticmethod
    def apply(frames: np.ndarray, **drawn: Any) -> None:
        """Leave only the luma."""
        pixels.to_grey(frames)

    @staticmethod
    def device_steps(size: int, **drawn: Any) -> list[DeviceStep]:
        """One step without values."""
        from vidssl.data.operations import on_device

        return [(on_device.to_grey, {})]


@dataclass(frozen=True)
class Blur(Operation):
    """Blur with a Gaussian, whose kernel is about a tenth of the view wide.

    Args:
        probability: of happening (0-1).
        sigma: smallest and greatest sigma, pixels of the view.
    """

    probability: float = 1.0
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        check_probability(self)
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise VidsslError(f"Blur.sigma is two positive numbers, the smaller first, got {self.sigma}.")

    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Any]:
        """Draw sigma."""
        return {"sigma": float(rng.uniform(*self.sigma))}

    @staticmethod
    def apply(frames: np.ndarray, **drawn: Any) -> None:
        """Blur every frame."""
        pixels.blur(frames, drawn["sigma"], blur_kernel_size(frames.shape[1]))

    @staticmethod
    def device_steps(size: int, **drawn: Any) -> list[DeviceStep]:
        """One step with the taps of the kernel from its centre on; empty if the kernel is one pixel wide."""
        from vidssl.data.operations import on_device

        kernel_size = blur_kernel_size(size)
        kernel = pixels.blur_kernel(drawn["sigma"], kernel_size)
        if len(kernel) == 1:
            return []
        taps = np.zeros(kernel_size // 2 + 1)  # as many for every sigma: all clips are blurred together
        taps[: len(kernel) // 2 + 1] = kernel[len(kernel) // 2 :]
        return [(on_device.blur, {"taps": taps.tolist()})]


@dataclass(frozen=True)
class Solarise(Operation):
    """Invert all values at or above a threshold.

    Args:
        probability: of happening (0-1).
        threshold: level of 0-255; 128 is the "0.5" of the papers.
    """

    probability: float = 1.0
    threshold: int = 128

    def __post_init__(self) -> None:
        check_probability(self)
        if not 0 <= self.threshold <= FULL_RANGE:
            raise VidsslError(f"Solarise.threshold is a level from 0 to 255, got {self.threshold}.")

    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Any]:
        """Nothing is drawn; the plan keeps the threshold."""
        return {"threshold": self.threshold}

    @staticmethod
    def apply(frames: np.ndarray, **drawn: Any) -> None:
        """Invert."""
        pixels.solarise(frames, drawn["threshold"])

    @staticmethod
    def device_steps(size: int, **drawn: Any) -> list[DeviceStep]:
        """One step with the threshold."""
        from vidssl.data.operations import on_device

        return [(on_device.solarise, {"threshold": drawn["threshold"]})]


def blur_kernel_size(crop_size: int) -> int:
    """Return the odd width of the blur's kernel for a result of `crop_size` pixels: 23 for 224, 5 for 56."""
    return 2 * (crop_size // BLUR_KERNEL_FRACTION // 2) + 1


def check_probability(operation: Operation) -> None:
    """Refuse a number that is not a probability.

    Raises:
        VidsslError: it is not from 0 to 1; the message names the class.
    """
    if not 0.0 <= operation.probability <= 1.0:
        raise VidsslError(f"{type(operation).__name__}.probability must be from 0 to 1, got {operation.probability}.")
