"""A callback that notes what a run trains on, which tests name in a configuration."""

import json
from pathlib import Path

from pytorch_lightning import Callback


class NoteSamples(Callback):
    """Writes the videos of each step into a folder: row, first frames and sums of pixels, in a file per process."""

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        sums = [[int(clip.long().sum()) for clip in view] for view in batch.views]
        videos = list(zip(batch.index.tolist(), batch.starts.tolist(), zip(*sums, strict=True), strict=True))
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"{trainer.global_step:03d}-{trainer.global_rank}.json"
        file.write_text(json.dumps(videos))


def noted(folder):
    """The videos of each step, whatever the number of processes that shared them."""
    steps = {}
    for file in sorted(folder.iterdir()):  # the processes of a step in their order
        steps.setdefault(file.name.partition("-")[0], []).extend(json.loads(file.read_text()))
    return steps
