"""The strategies of Lightning that a run can use."""

from __future__ import annotations

from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy, Strategy

from vidssl.errors import VidsslError

SHARDING = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


def check_strategy(strategy: Strategy) -> None:
    """Refuse strategies that split a network over the devices; docs/guides/clusters.md has the reasons.

    Raises:
        VidsslError: it is one of them.
    """
    if isinstance(strategy, SHARDING):
        raise VidsslError(
            f"trainer.strategy: {type(strategy).__name__} splits the parameters of a network over the devices. vidssl "
            "needs all of them on each device, for heads, momentum encoders and evaluation: set trainer.strategy to "
            "ddp. If memory is short, set model.backbone.activation_checkpointing to true: clips take most of it."
        )
