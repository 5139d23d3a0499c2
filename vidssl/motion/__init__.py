"""Motion of videos: optical flow by several estimators, and the compact motion maps that training uses."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer
from vidssl.registry import Registry

__all__ = ["FLOW_ESTIMATORS"]

FLOW_ESTIMATORS = Registry("flow estimator", "vidssl.flow_estimators")
"""Name -> flow estimator, a class below `FlowEstimator`; `vidssl list` and `data.motion.settings.estimator` use it."""
FLOW_ESTIMATORS.register(
    "codec", "vidssl.motion.codec:CodecFlow", summary="the motion vectors in the video file; costs less than decoding"
)
FLOW_ESTIMATORS.register("dis", "vidssl.motion.image_flow:DISFlow", summary="dense inverse search (OpenCV)")
FLOW_ESTIMATORS.register("farneback", "vidssl.motion.image_flow:FarnebackFlow", summary="Farneback's (OpenCV)")
FLOW_ESTIMATORS.register(
    "tvl1", "vidssl.motion.image_flow:TVL1Flow", summary="TV-L1, the paper's; slow (needs opencv-contrib-python)"
)
FLOW_ESTIMATORS.register(
    "exact",
    "vidssl.motion.exact:ExactFlow",
    summary="the motion that the embedded videos were drawn with; only for them",
)

if TYPE_CHECKING:
    from vidssl.motion.estimator import FlowEstimator as FlowEstimator
    from vidssl.motion.estimator import MotionEvidence as MotionEvidence
    from vidssl.motion.estimator import NoMotionVectors as NoMotionVectors
    from vidssl.motion.extract import video_motion as video_motion
    from vidssl.motion.flow import video_flows as video_flows
    from vidssl.motion.maps import VideoMotion as VideoMotion
    from vidssl.motion.settings import MotionSettings as MotionSettings

offer(
    __name__,
    estimator=["FlowEstimator", "MotionEvidence", "NoMotionVectors"],
    extract=["video_motion"],
    flow=["video_flows"],
    maps=["VideoMotion"],
    settings=["MotionSettings"],
)
