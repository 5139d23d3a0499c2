"""Projection heads; they are discarded after training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp_head(
    input_dim: int, hidden_dims: Sequence[int], output_dim: int, *, batch_norm: bool = True, output_bias: bool = True
) -> nn.Sequential:
    """Build Linear-BatchNorm-ReLU layers and a last Linear: float (B, input_dim) to (B, output_dim).

    Args:
        input_dim: width of the backbone's features.
        hidden_dims: widths of the hidden layers, possibly none.
        output_dim: width of the embedding.
        batch_norm: whether a BatchNorm follows each hidden Linear, which then needs no bias.
        output_bias: whether the last Linear has a bias. It can learn nothing where the loss takes the mean of the
            batch away.

    Example:
        >>> [type(layer).__name__ for layer in mlp_head(512, [2048], 128)]
        ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise([input_dim, *hidden_dims]):
        layers.append(nn.Linear(width_in, width_out, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width_out))
        layers.append(nn.ReLU(inplace=True))
    last_hidden = hidden_dims[-1] if hidden_dims else input_dim
    return nn.Sequential(*layers, nn.Linear(last_hidden, output_dim, bias=output_bias))


class ParallelHeads(nn.Module):
    """Heads side by side on the same features, L2-normalised.

    Args:
        input_dim: width of the backbone's features.
        hidden_dim: width of the hidden layer of each head (Linear, ReLU, Linear).
        output_dim: width of each embedding.
        names: one head each.
        batch_norm: whether a BatchNorm follows the first Linear.
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, output_dim: int, names: Sequence[str], *, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {name: mlp_head(input_dim, [hidden_dim], output_dim, batch_norm=batch_norm) for name in names}
        )

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, input_dim) into embeddings of length 1, float32 (B, heads, output_dim)."""
        embeddings = torch.stack([head(features) for head in self.heads.values()], dim=1)
        return F.normalize(embeddings.float(), dim=2)
