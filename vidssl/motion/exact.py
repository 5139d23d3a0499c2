"""The flow of the embedded videos, which their renderer knows: what the other estimators would give without error."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vidssl.catalogs.synthetic.rendering import flow_from
from vidssl.catalogs.synthetic.videos import scene_of_file
from vidssl.errors import VidsslError
from vidssl.motion.estimator import MAX_SPEED, FlowEstimator
from vidssl.video.decoders.diagnosis import check_file


class ExactFlow(FlowEstimator):
    """The motion that the embedded videos were drawn with, a vector a pixel; it knows no other videos.

    It is taken from the ``spec.json`` that ``vidssl prepare synthetic`` writes and the number in the video's name; the
    picture is not looked at.

    Args:
        max_speed: flow is clipped to ± this many pixels a frame, as that of the other estimators.
    """

    def __init__(self, *, max_speed: float = MAX_SPEED) -> None:
        if max_speed <= 0:
            raise VidsslError(f"data.motion.settings.options: max_speed must be above 0, got {max_speed}.")
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
            yield np.clip(flow_from(scene, t), -self.max_speed, self.max_speed)
