"""Optical flow of a whole video, whichever estimator computes it."""

from __future__ import annotations

from vidssl.registry import Registry

FLOW_ESTIMATORS = Registry("flow estimator", "vidssl.flow_estimators")
FLOW_ESTIMATORS.register(
    "codec", "vidssl.motion.codec:CodecFlow", summary="the motion vectors in the video file; costs less than decoding"
)
FLOW_ESTIMATORS.register("dis", "vidssl.motion.image_flow:DISFlow", summary="dense inverse search (OpenCV)")
FLOW_ESTIMATORS.register("farneback", "vidssl.motion.image_flow:FarnebackFlow", summary="Farneback's (OpenCV)")
FLOW_ESTIMATORS.register(
    "tvl1", "vidssl.motion.image_flow:TVL1Flow", summary="TV-L1, the paper's; slow (needs opencv-contrib-python)"
)
