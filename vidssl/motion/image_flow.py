"""Flow between grey frames, by the estimators of OpenCV."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import cv2
import numpy as np

from vidssl.errors import VidsslError, nearest
from vidssl.motion.block_grid import PRIOR, TEXELS, TEXTURE_NOISE, BlockGrid, texture
from vidssl.motion.estimator import MAX_SPEED, FlowEstimator
from vidssl.motion.stream import FrameStream
from vidssl.video.decoders.reader import DecodingError

DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
# Noise is measured where least changes: in this share of the cells, at least.
_STILL_SHARE = 0.25
# Four times the squared gradient by Sobel's kernels, a pixel, that noise of variance 1 has: so much it seldom exceeds.
_NOISE_OF_TEXTURE = 4 * 0.375
_SMALLEST_SIDE = 32  # OpenCV's pyramids fail on smaller pictures


class ImageFlow(FlowEstimator):
    """Flow computed from the pixels of two frames.

    Args:
        max_speed: flow is clipped to ± this many pixels per frame of the video's own size.
        mask: average flow over cells of 8 pixels of the video (more above 360 lines) and trust each as far as the
            picture there can tell motion; false leaves flow as it is, a vector per pixel.
    """

    def __init__(self, *, max_speed: float = MAX_SPEED, mask: bool = True) -> None:
        if max_speed <= 0:
            raise VidsslError(f"data.motion.settings.options: max_speed must be above 0, got {max_speed}.")
        self.max_speed = max_speed
        self.mask = mask

    @abstractmethod
    def between(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Return the flow from one frame (uint8 h x w) to the next, float32 h x w x 2, in their own pixels."""

    def flows(self, path: str, short_side: int | None) -> Iterator[np.ndarray]:
        """See `FlowEstimator.flows`."""
        with closing(FrameStream(path)) as stream:
            for previous, following in pairwise(grey_frames(stream, short_side)):
                flow = self.between(previous, following)
                scale = np.array([stream.width / flow.shape[1], stream.height / flow.shape[0]], np.float32)
                flow = self._clipped(flow * scale)
                masked = trusted(flow, previous, following, BlockGrid(stream.height, stream.width))
                if self.evidence is not None:
                    self.evidence.add(masked, previous, following, scale)
                yield self._clipped(masked) if self.mask else flow

    def _clipped(self, flow: np.ndarray) -> np.ndarray:
        return np.clip(flow, -self.max_speed, self.max_speed)


class TVL1Flow(ImageFlow):
    """TV-L1 with OpenCV's defaults, which MCL uses."""

    def __init__(self, *, max_speed: float = MAX_SPEED, mask: bool = True) -> None:
        super().__init__(max_speed=max_speed, mask=mask)
        if not hasattr(cv2, "optflow"):
            raise VidsslError(
                "The flow estimator 'tvl1' needs cv2.optflow, which this OpenCV lacks; install the package "
                "opencv-contrib-python in place of opencv-python, or use estimator 'dis' or 'codec'."
            )
        self._estimator = cv2.optflow.DualTVL1OpticalFlow.create()

    def between(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """See `ImageFlow.between`."""
        return _flow(self._estimator, previous, following)


class DISFlow(ImageFlow):
    """Dense inverse search (Kroeger et al., ECCV 2016).

    Args:
        preset: ``ultrafast``, ``fast`` or ``medium``.
        max_speed: see `ImageFlow`.
        mask: see `ImageFlow`.
    """

    def __init__(self, *, preset: str = "medium", max_speed: float = MAX_SPEED, mask: bool = True) -> None:
        super().__init__(max_speed=max_speed, mask=mask)
        if preset not in DIS_PRESETS:
            hint = f"{nearest(str(preset), DIS_PRESETS)} Known: {', '.join(DIS_PRESETS)}."
            raise VidsslError(f"data.motion.settings.options: dis has no preset {preset!r}.{hint}")
        self._estimator = cv2.DISOpticalFlow.create(DIS_PRESETS[preset])

    def between(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """See `ImageFlow.between`."""
        return _flow(self._estimator, previous, following)


def _flow(estimator: cv2.DenseOpticalFlow, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    # without a flow to start from, for which OpenCV takes None, whatever its annotations say
    return estimator.calc(previous, following, None)  # type: ignore[call-overload]


class FarnebackFlow(ImageFlow):
    """Farneback's polynomial expansion, with the parameters of OpenCV's own example."""

    def between(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """See `ImageFlow.between`."""
        return cv2.calcOpticalFlowFarneback(
            previous,
            following,
            None,
            pyr_scale=0.5,
            levels=3,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )


def trusted(flow: np.ndarray, previous: np.ndarray, following: np.ndarray, grid: BlockGrid) -> np.ndarray:
    """Average flow over cells, each trusted as far as the picture there can tell motion: by its texture above noise.

    With T the cell's structure tensor, v its flow and c the median flow of the frame, which is the camera's, the result
    f minimises (f - v)' T (f - v) + PRIOR |f - c|^2. That a flat area moves as the camera does is a guess; `regularise`
    guesses from the neighbourhood, which hides a lone thing before a dark background, and agrees less with TV-L1.

    Args:
        flow: float32 h x w x 2.
        previous: uint8 h x w, the first of the two frames.
        following: uint8 h x w, the second.
        grid: the cells.

    Returns:
        float32 rows x columns x 2.
    """
    rows, columns = grid.shape
    first, second = (_resized(picture, rows * TEXELS, columns * TEXELS) for picture in (previous, following))
    xx, xy, yy = _without_noise(texture(grid, first), grid, first, second)
    of_cells = _resized(flow, rows, columns)
    camera = np.median(of_cells, axis=(0, 1))
    u, v = np.moveaxis(of_cells - camera, -1, 0)
    across, down = xx * u + xy * v, xy * u + yy * v
    determinant = (xx + PRIOR) * (yy + PRIOR) - xy * xy
    solved = ((yy + PRIOR) * across - xy * down, (xx + PRIOR) * down - xy * across)
    return (camera + np.stack(solved, axis=-1) / determinant[..., None]).astype(np.float32)


def _without_noise(tensor: np.ndarray, grid: BlockGrid, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the structure tensors of cells less the share that sensor noise may have, 0 where that is all of it."""
    change = (second.astype(np.float32) - first) ** 2 / 2
    variance = np.quantile(_resized(change, *grid.shape), _STILL_SHARE)
    noise = _NOISE_OF_TEXTURE * variance / (TEXTURE_NOISE * (grid.cell / TEXELS) ** 2)
    normalised = tensor[0] + tensor[2]  # trace / (trace + TEXTURE_NOISE), in the units of `texture`
    return tensor * np.clip(1 - noise * (1 - normalised) / np.maximum(normalised, 1e-6), 0, 1)


def _resized(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return cv2.resize(array, (columns, rows), interpolation=cv2.INTER_AREA)


def grey_frames(stream: FrameStream, short_side: int | None) -> Iterator[np.ndarray]:
    """Yield the frames as displayed, in grey, uint8 h x w, never enlarged except to what the estimators can bear."""
    size = None
    for frame in stream.frames():
        grey = np.rot90(frame.reformat(format="gray", threads=1).to_ndarray(), stream.quarter_turns)
        if size is None:
            size = _reduced(grey.shape, short_side)
        same = size == (grey.shape[1], grey.shape[0])
        yield np.ascontiguousarray(grey) if same else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if size is None:
        raise DecodingError(stream.path, "no frame decodes")


def _reduced(shape: tuple[int, ...], short_side: int | None) -> tuple[int, int]:
    """Return width and height, as OpenCV wants them."""
    height, width = shape
    scale = 1.0 if short_side is None else min(1.0, short_side / min(height, width))
    return max(_SMALLEST_SIDE, round(width * scale)), max(_SMALLEST_SIDE, round(height * scale))
