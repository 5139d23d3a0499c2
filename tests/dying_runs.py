"""Callbacks that send signals to their own run, which tests name in a configuration."""

import os

from pytorch_lightning import Callback


class SignalInStep(Callback):
    """Sends a signal after the forward pass of the step that follows `step` others, and before it is counted."""

    def __init__(self, number: int, step: int):
        self.number, self.step = number, step

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


class SignalInEvaluation(Callback):
    """Sends a signal in the evaluation after so many steps."""

    def __init__(self, number: int, step: int):
        self.number, self.step = number, step

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.global_step == self.step and dataloader_idx == 1:
            os.kill(os.getpid(), self.number)
