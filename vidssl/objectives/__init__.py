"""The methods, one per file. Each is a LightningModule and a direct subclass of `Objective`."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer
from vidssl.registry import Registry

__all__ = ["OBJECTIVES"]

OBJECTIVES = Registry("objective", "vidssl.objectives", check="vidssl.objectives.contract:fault_of")
"""Name -> method, a direct subclass of `Objective`; `--objective NAME` looks it up."""
OBJECTIVES.register(
    "CVRL",
    "vidssl.objectives.cvrl:CVRL",
    summary="two clips an interval apart, InfoNCE over all processes (Qian et al. 2021)",
)
OBJECTIVES.register(
    "MCL",
    "vidssl.objectives.mcl:MCL",
    summary="four clips, a queue of keys, and attention aligned with motion (Li et al. 2021)",
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
    summary="predict a momentum network's embedding of the other views (Grill et al. 2020)",
)
OBJECTIVES.register(
    "SimSiam",
    "vidssl.objectives.simsiam:SimSiam",
    summary="two views predict each other, with a stop-gradient on the target (Chen and He 2021)",
)
OBJECTIVES.register(
    "VICReg",
    "vidssl.objectives.vicreg:VICReg",
    summary="variance, invariance and covariance of two views, over all processes (Bardes et al. 2022)",
)
OBJECTIVES.register(
    "SwAV",
    "vidssl.objectives.swav:SwAV",
    summary="predict the cluster of the other views; clusters are equally large over all processes (Caron et al. 2020)",
)

if TYPE_CHECKING:
    from vidssl.objectives.alignment import MotionAlignment as MotionAlignment
    from vidssl.objectives.base import BackboneSpec as BackboneSpec
    from vidssl.objectives.base import Objective as Objective
    from vidssl.objectives.base import OptimizerSpec as OptimizerSpec
    from vidssl.objectives.byol import BYOL as BYOL
    from vidssl.objectives.cvrl import CVRL as CVRL
    from vidssl.objectives.cvrl import CVRLHead as CVRLHead
    from vidssl.objectives.mcl import MCL as MCL
    from vidssl.objectives.moco import MoCo as MoCo
    from vidssl.objectives.moco import MomentumContrast as MomentumContrast
    from vidssl.objectives.simclr import SimCLR as SimCLR
    from vidssl.objectives.simsiam import SimSiam as SimSiam
    from vidssl.objectives.swav import Clustering as Clustering
    from vidssl.objectives.swav import SwAV as SwAV
    from vidssl.objectives.vicreg import VICReg as VICReg
    from vidssl.objectives.vicreg import VICRegWeights as VICRegWeights

offer(
    __name__,
    alignment=["MotionAlignment"],
    base=["BackboneSpec", "Objective", "OptimizerSpec"],
    byol=["BYOL"],
    cvrl=["CVRL", "CVRLHead"],
    mcl=["MCL"],
    moco=["MoCo", "MomentumContrast"],
    simclr=["SimCLR"],
    simsiam=["SimSiam"],
    swav=["Clustering", "SwAV"],
    vicreg=["VICReg", "VICRegWeights"],
)
