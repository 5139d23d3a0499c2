"""Schedules as pure functions from step to value."""

import math


def warmup_cosine(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """Return the factor of the learning rate: linear from 0 over the warm-up, then a half cosine down to 0.

    Source: CVRL, section 4.1 (linear warm-up of 5 epochs, cosine decay to 0).

    Args:
        step: optimiser steps that are done.
        warmup_steps: length of the warm-up in steps.
        total_steps: length of the run in steps.

    Returns:
        A factor in [0, 1].
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def rising_momentum(start: float, progress: float) -> float:
    """Return the momentum of a target network: `start` at the beginning, 1 at the end, by a half cosine.

    Source: Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, section 3.3.

    Args:
        start: momentum of the first step, in [0, 1].
        progress: share of the run that is done, in [0, 1].

    Returns:
        A momentum in [`start`, 1].

    Example:
        >>> [round(rising_momentum(0.99, progress), 4) for progress in (0.0, 0.5, 1.0)]
        [0.99, 0.995, 1.0]
    """
    return 1.0 - (1.0 - start) * 0.5 * (1.0 + math.cos(math.pi * progress))
