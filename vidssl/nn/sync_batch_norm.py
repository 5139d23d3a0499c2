"""BatchNorm over the batch of all processes, with derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.plugins import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidssl.errors import VidsslError
from vidssl.nn.gather import sum_with_gradients, world_size


class SyncBatchNorm(_BatchNorm):
    """Normalises by mean and variance of the rows of all processes, as BatchNorm of one process with all of them does.

    Shares of different sizes count as they are. Forward and backward take one collective call of 2 C + 1 numbers each,
    and nothing is read back from the device. On one process it is torch's BatchNorm. Arguments, parameters and running
    statistics are those of `torch.nn.BatchNorm3d`; `synchronised` makes it of such layers. Evaluation shares nothing.
    """

    original: type[_BatchNorm] = nn.BatchNorm3d

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise VidsslError(f"SyncBatchNorm normalises B x C x ..., got {tuple(input.shape)}.")

    def forward(self, input: Tensor) -> Tensor:
        """Return normalised values of the shape and dtype of float values B x C x ...; B may differ by process."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        count, mean, variance = moments_of_all(input)
        if self.running_mean is not None:
            self._follow(count, mean.detach(), variance.detach())
        scale = torch.rsqrt(variance + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return (input * _along(scale, input) + _along(shift, input)).to(input.dtype)

    @torch.no_grad()
    def _follow(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics; the variance is the unbiased one, as torch's."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.add_((now.to(running.dtype) - running) * share)


class LayerSync(TorchSyncBatchNorm):
    """Lightning's plugin behind ``trainer.sync_batchnorm``, with `SyncBatchNorm` in place of torch's."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace every BatchNorm1d, 2d and 3d."""
        return synchronised(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Put the layers back that were replaced."""
        return _replaced(model, lambda layer: layer.original if isinstance(layer, SyncBatchNorm) else None)


def synchronised(model: nn.Module) -> nn.Module:
    """Replace every BatchNorm1d, 2d and 3d of a model by `SyncBatchNorm`, with the same parameters and statistics.

    Args:
        model: changed in place; a layer alone is not.

    Returns:
        The model, or what comes in place of a layer.
    """
    ours = {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d}
    return _replaced(model, lambda layer: SyncBatchNorm if type(layer) in ours else None)


def _replaced(module: nn.Module, replacement: Callable[[nn.Module], type[_BatchNorm] | None]) -> nn.Module:
    kind = replacement(module)
    if kind is not None and isinstance(module, _BatchNorm):
        made = kind(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        made._parameters, made._buffers, made.training = module._parameters, module._buffers, module.training
        if isinstance(made, SyncBatchNorm):
            made.original = type(module)
        return made
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, replacement))
    return module


def moments_of_all(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number, mean and variance of values over all processes, with derivatives of any order.

    Args:
        values: float B x C x ..., B at least 1 and as it is on each process.

    Returns:
        A scalar, and two of shape C, float32 (float64 if `values` are).
    """
    mean, variance = _Moments.apply(values)
    count = torch.full((1,), values.numel() / values.shape[1], dtype=torch.float64, device=values.device)
    # Squares of means cancel in float32; in float64 nothing is lost, and these are few numbers.
    own_mean, own_square = mean.double(), variance.double() + mean.double().square()
    sums = sum_with_gradients(torch.cat((count, count * own_mean, count * own_square)))
    total, (of_mean, of_square) = sums[0].detach(), (sums[1:] / sums[0].detach()).chunk(2)
    return total, of_mean.to(mean.dtype), (of_square - of_mean.square()).clamp(min=0).to(mean.dtype)


class _Moments(torch.autograd.Function):
    """Mean and variance of B x C x ... over all dimensions but C; backward keeps the values and no copy."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> tuple[Tensor, Tensor]:
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, dim=_but_channels(values), correction=0)
        ctx.save_for_backward(values, mean)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> Tensor:
        values, mean = ctx.saved_tensors  # the mean with its own history, for further derivatives
        deviation = values - _along(mean, values)
        gradient = _along(of_mean, values) + 2 * _along(of_variance, values) * deviation
        return (gradient / (values.numel() / values.shape[1])).to(values.dtype)


def _but_channels(values: Tensor) -> list[int]:
    return [dim for dim in range(values.ndim) if dim != 1]


def _along(channels: Tensor, values: Tensor) -> Tensor:
    return channels.view(1, -1, *[1] * (values.ndim - 2))
