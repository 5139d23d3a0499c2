"""The methods, one a file, each a LightningModule directly under `Objective`."""

from vidssl.registry import Registry

OBJECTIVES = Registry("objective", "vidssl.objectives", check="vidssl.objectives.contract:fault_of")
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
    summary="two views or more, a queue of keys and a momentum encoder (He et al. 2020)",
)
OBJECTIVES.register(
    "SimCLR",
    "vidssl.objectives.simclr:SimCLR",
    summary="two views or more, NT-Xent over all processes (Chen et al. 2020)",
)
OBJECTIVES.register(
    "BYOL",
    "vidssl.objectives.byol:BYOL",
    summary="predict a slowly following network's embedding of the other views (Grill et al. 2020)",
)
OBJECTIVES.register(
    "SimSiam",
    "vidssl.objectives.simsiam:SimSiam",
    summary="two views predict each other, gradients stop at what is predicted (Chen and He 2021)",
)
OBJECTIVES.register(
    "VICReg",
    "vidssl.objectives.vicreg:VICReg",
    summary="variance, invariance and covariance of two views, over all processes (Bardes et al. 2022)",
)
OBJECTIVES.register(
    "SwAV",
    "vidssl.objectives.swav:SwAV",
    summary="predict the cluster of the other views, clusters of equal size over all processes (Caron et al. 2020)",
)
