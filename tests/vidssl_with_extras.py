"""The command ``vidssl`` with what its tests need: a backbone without batch statistics, and a sudden death."""

import os
import signal
import sys

from pytorch_lightning import Callback
from torch import nn

from vidssl.backbones import BACKBONES
from vidssl.backbones.contract import Backbone
from vidssl.cli.main import main


@BACKBONES.register("plain")
class PlainBackbone(Backbone):
    """Two convolutions without normalisation."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv3d(3, 8, 3, stride=(1, 2, 2), padding=1)
        self.conv2 = nn.Conv3d(8, 16, 3, stride=2, padding=1)
        self.feature_dim = 16
        self.alignment_layer = "conv2"
        self.stride = (2, 4, 4)

    def compute_maps(self, clips):
        return self.conv2(self.conv1(clips).relu())


class KillBeforeStep(Callback):
    """Ends the process as a power cut would, before a step."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class KillInEvaluation(Callback):
    """Does so in the evaluation that follows a step."""

    def __init__(self, step: int):
        self.step = step

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class SpoilWeights(Callback):
    """Makes the features of one process nan, before a step."""

    def __init__(self, step: int, rank: int = 0):
        self.step, self.rank = step, rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            for values in pl_module.backbone.parameters():
                values.data.fill_(float("nan"))


if __name__ == "__main__":
    sys.exit(main())
