"""The methods, one a file, each a LightningModule directly under `Objective`."""

from vidssl.registry import Registry

OBJECTIVES = Registry("objective", "vidssl.objectives")
OBJECTIVES.register(
    "CVRL",
    "vidssl.objectives.cvrl:CVRL",
    summary="two clips an interval apart, InfoNCE over all processes (Qian et al. 2021)",
)
