"""The exact flow of the embedded videos, computed from what their renderer drew."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vidssl.catalogs.synthetic.rendering import flow_from
from vidssl.catalogs.synthetic.videos import scene_of_file
from vidssl.errors import VidsslError
from vidssl.motion.estimator import MAX_SPEED, FlowEstimator
from vidssl.motion.maps import block_means
from vidssl.video.decoders.diagnosis import check_file


class ExactFlow(FlowEstimator):
    """The motion that the embedded videos were drawn with, a vector per pixel; it knows no other videos.

    It is taken from the ``spec.json`` that ``vidssl prepare synthetic`` writes and the number in the video's name; the
    picture is not looked at.

    Args:
        cell: average the flow over cells of about so many pixels a side, as the other estimators do (8 in videos up to
            360 high): what they would give at best. None keeps a vector per pixel.
        max_speed: flow is clipped to ± this many pixels per frame, as that of the other estimators.
    """

    def __init__(self, *, cell: int | None = None, max_speed: float = MAX_SPEED) -> None:
        if cell is not None and cell < 1:
            raise VidsslError(f"data.motion.settings.options: cell is a number of pixels, at least 1, got {cell}.")
        if max_speed <= 0:
            raise VidsslError(f"data.motion.settings.options: max_speed must be above 0, got {max_speed}.")
        self.cell = cell
        self.max_speed = max_speed

    def flows(self, path: str, short_side: int | None) -> Iterator[np.ndarray]:
        """See `FlowEstimator.flows`; `short_side` is not used.

        Raises:
            VidsslError: this is none of the embedded videos.
        """
        check_file(path)
        try:
            scene = scene_of_file(path)
        except VidsslError as error:
            raise VidsslError(
                f"The flow estimator 'exact' knows the embedded videos only. {error} Use 'codec' or 'dis' for it."
            ) from error
        if self.evidence is not None:
            self.evidence.is_certain = True
        for t in range(len(scene.pan) - 1):
            flow = np.clip(flow_from(scene, t), -self.max_speed, self.max_speed)
            yield flow if self.cell is None else _on_cells(flow, self.cell)


def _on_cells(flow: np.ndarray, cell: int) -> np.ndarray:
    rows, columns = (max(1, side // cell) for side in flow.shape[:2])
    return np.moveaxis(block_means(np.moveaxis(flow, -1, 0), rows, columns), 0, -1)
