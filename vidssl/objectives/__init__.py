"""The methods, one a file, each a LightningModule directly under `Objective`."""

from vidssl.registry import Registry

OBJECTIVES = Registry("objective", "vidssl.objectives")
OBJECTIVES.register(
    "CVRL",
    "vidssl.objectives.cvrl:CVRL",
    summary="two clips an interval apart, InfoNCE over all processes (Qian et al. 2021)",
)
OBJECTIVES.register(
    "MCL",
    "vidssl.objectives.mcl:MCL",
    summary="four clips, a queue of keys, and alignment of what is looked at with what moves (Li et al. 2021)",
)
OBJECTIVES.register(
    "MoCo",
    "vidssl.objectives.moco:MoCo",
    summary="two clips, a queue of keys and a momentum encoder (He et al. 2020)",
)
