"""Features once, every measure from them: one pass over the videos, kept in files that say where they come from.

One Lightning pass encodes each video exactly once over all processes. They send their features to the first process,
which writes them in the order of the catalog's rows into one safetensors file a request (`views`, `label`, `group`,
`index`), under a passing name until it is whole. A file is used again when everything that decides its numbers is the
same, and never otherwise.

Sizes: N videos x V views x D dimensions take 4 N V D bytes on the first process's disk, and about as much together in
passing files of the processes during the pass. Kinetics-400, 240,000 videos at D = 2048: 2.0 GB for the mean of the
views, 59 GB for 10 x 3 views. A process holds at most `collection.MEMORY_BYTES` (64 MB) of features in memory for each
request, and one batch at a time when they are sent and written; what is returned is mapped from the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader

from vidssl.data.datamodule import VideoDataModule
from vidssl.data.dataset import ClipSample
from vidssl.errors import VidsslError
from vidssl.evaluation.features.collection import FeaturePart, Processes
from vidssl.evaluation.features.encoder import LoadedEncoder
from vidssl.evaluation.features.files import FeatureFile, FeatureRequest
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.temporal.encoding import features_under_changes
from vidssl.nn.gather import world_size

__all__ = ["FeatureRequest", "FeatureWriter", "extract_all", "extract_features"]


class FeatureWriter(Callback):
    """Writes what `Trainer.predict` computes, one file for each of its loaders.

    Plain Lightning will do: ``Trainer(callbacks=[FeatureWriter(files, data)]).predict(encoder, loaders,
    return_predictions=False)`` with loaders of `VideoDataModule.evaluation_loader`.

    Args:
        files: the file of each loader, in the order of the loaders; None where they are known later.
        data: module whose catalog the videos are in.
    """

    def __init__(self, files: Sequence[FeatureFile] | None, data: VideoDataModule) -> None:
        self.files: Sequence[FeatureFile] = files or ()
        self.data = data
        self._parts: list[FeaturePart] = []

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a part for every file."""
        loaders = trainer.predict_dataloaders
        loaders = list(loaders.values()) if isinstance(loaders, dict) else loaders
        loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
        self._parts = [
            FeaturePart(loader.dataset.share, file.request.keep, file.path.parent)
            for loader, file in zip(loaders, self.files, strict=True)
        ]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the features of a batch; those of changed clips are computed here, from the same frames."""
        changes = self.files[dataloader_idx].request.time_changes
        if changes is not None:
            with trainer.precision_plugin.predict_step_context():
                encode = partial(pl_module.predict_step, batch_idx=batch_idx, dataloader_idx=dataloader_idx)
                outputs = features_under_changes(encode, batch, outputs, changes)
        self._parts[dataloader_idx].add(outputs)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files, on the first process."""
        processes = Processes()
        for file, part in zip(self.files, self._parts, strict=True):
            file.write(part, processes, self.data)
        self._parts = []

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give passing files back."""
        for part in self._parts:
            part.close()
        self._parts = []


class _MissingFeatures(LightningDataModule):
    """The loaders of those files that the first process does not find."""

    def __init__(self, files: Sequence[FeatureFile], data: VideoDataModule, writer: FeatureWriter) -> None:
        super().__init__()
        self.files = files
        self.data = data
        self.writer = writer

    def predict_dataloader(self) -> dict[str, DataLoader[ClipSample]]:
        trainer = self.trainer
        assert trainer is not None  # it is what asks for the loaders
        # what the first process finds goes for all: the others may not see its disk, or see it later
        found = [trainer.is_global_zero and file.read(self.data) is not None for file in self.files]
        found = Processes().broadcast(found)
        self.writer.files = [file for file, there in zip(self.files, found, strict=True) if not there]
        loaders = {}
        for file in self.writer.files:
            request = file.request
            rows = self.data.evaluation_rows(request.split)
            processes = trainer.global_rank, trainer.world_size
            loader = self.data.evaluation_loader(rows, request.clips, request.augmented_views, processes)
            loaders[file.path.name] = loader
        return loaders


def extract_features(
    loaded: LoadedEncoder,
    data: VideoDataModule,
    request: FeatureRequest,
    trainer_settings: Mapping[str, Any],
    cache_folder: str | Path,
) -> VideoFeatures | None:
    """Return the features of one request; see `extract_all`."""
    found = extract_all(loaded, data, [request], trainer_settings, cache_folder)
    return None if found is None else found[0]


def extract_all(
    loaded: LoadedEncoder,
    data: VideoDataModule,
    requests: Sequence[FeatureRequest],
    trainer_settings: Mapping[str, Any],
    cache_folder: str | Path,
) -> list[VideoFeatures] | None:
    """Compute features in one pass over the videos, or take them from files of an earlier one.

    What is returned is bit-identical for any number of processes, as long as each computes alike: on the same kind
    of device and, on CPUs, with the same number of threads.

    Args:
        loaded: the network.
        data: the videos.
        requests: what is wanted.
        trainer_settings: arguments of Lightning's `Trainer`: accelerator, devices, strategy, num_nodes, precision, ...
        cache_folder: where the files are; only the first process uses it, except to pass files on.

    Returns:
        For each request its features, mapped from its file, on the first process. None on the others, which are done:
        whatever is measured then involves the first process alone.

    Raises:
        VidsslError: a video cannot be read (the message names the file), a file cannot be written, or the trainer
            refuses its settings.
    """
    precision = str(trainer_settings.get("precision") or "32-true")
    folder = Path(cache_folder)
    files = [FeatureFile.of(loaded, data, request, precision, folder) for request in requests]
    distinct = list({file.path: file for file in files}.values())
    writer = FeatureWriter(None, data)
    trainer = _trainer(trainer_settings, writer, folder)
    if not _is_alone(trainer) or any(file.read(data) is None for file in distinct):
        missing = _MissingFeatures(distinct, data, writer)
        trainer.predict(loaded.encoder, datamodule=missing, return_predictions=False)
    if not trainer.is_global_zero:
        return None
    return [_read(file, data) for file in files]


def _read(file: FeatureFile, data: VideoDataModule) -> VideoFeatures:
    features = file.read(data)
    if features is None:
        raise VidsslError(f"{file.path} was written and is gone, or was changed meanwhile; run again.")
    return features


def _is_alone(trainer: Trainer) -> bool:
    """Whether this process is still alone, so that no other has to agree on which files exist."""
    if trainer.world_size == 1:
        return True
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started_here = environment is not None and not environment.creates_processes_externally
    return started_here and trainer.num_nodes == 1 and world_size() == 1


def _trainer(settings: Mapping[str, Any], writer: FeatureWriter, folder: Path) -> Trainer:
    own = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "default_root_dir": str(folder),
    }
    callbacks = settings.get("callbacks") or []
    callbacks = [*(callbacks if isinstance(callbacks, list) else [callbacks]), writer]
    try:
        return Trainer(**{**settings, **own, "callbacks": callbacks})
    except (ValueError, TypeError, MisconfigurationException) as error:  # how Lightning tells of values it cannot use
        raise VidsslError(f"trainer: {error}") from error
