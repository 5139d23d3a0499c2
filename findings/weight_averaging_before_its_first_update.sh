#!/usr/bin/env bash
# Lightning's EMAWeightAveraging with a late start (update_starting_at_step): until then every validation measures the
# weights of the start, logged under the names of the trained model, checkpoints hold them as "state_dict", and a run
# that ends before has them copied over what it trained. Nothing is said of it.
# Ends with 0 while this is so; with 1 once it is mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.14.1 pytorch-lightning==2.6.6 numpy==2.4.6

cat > "$work/late_start.py" <<'PYTHON'
import logging
import sys
import warnings

import torch
from pytorch_lightning import LightningModule, Trainer, __version__
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.simplefilter("ignore")


class Counts(LightningModule):
    """Its only weight is the number of steps that it was trained for."""

    def __init__(self):
        super().__init__()
        self.steps = torch.nn.Parameter(torch.zeros(1))
        self.validated = []

    def training_step(self, batch, batch_idx):
        return -self.steps.sum()

    def validation_step(self, batch, batch_idx):
        self.validated.append(self.steps.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def train(*callbacks):
    counts = Counts()
    trainer = Trainer(
        accelerator="cpu", max_epochs=3, callbacks=list(callbacks), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )
    loader = DataLoader(torch.zeros(4, 1))
    trainer.fit(counts, loader, DataLoader(torch.zeros(1, 1)))
    return counts.validated, counts.steps.item()


print("torch", torch.__version__, "pytorch_lightning", __version__)
without, late = train(), train(EMAWeightAveraging(update_starting_at_step=1000))
print("without:            steps of the weights validated after each epoch", without[0], "and left at the end", without[1])
print("starting at 1000:   steps of the weights validated after each epoch", late[0], "and left at the end", late[1])
expected = ([4.0, 8.0, 12.0], 12.0), ([0.0, 0.0, 0.0], 0.0)
sys.exit(0 if (without, late) == expected else 1)
PYTHON
"$work/venv/bin/python" "$work/late_start.py"
