"""Logged on wandb with the numbers: code, videos, protocols, and the accuracy of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger

from vidssl.evaluation.protocols.records import RECORDS_FILE, read_records
from vidssl.reporting.wandb import STEP_AXIS
from vidssl.runs.provenance import catalog_facts, code_version

METHOD_KEY = "method"
PER_CLASS = "per_class"
TABLE_COLUMNS: list[str | int] = ["class", "videos", "accuracy"]


class WandbRecords(Callback):
    """Sends code version, catalog, the protocol of every number and per-class tables to the wandb run, if there is one.

    Numbers come from the records that evaluation appends to the run's folder; each is sent once. The command line adds
    this callback to every fit.
    """

    def __init__(self) -> None:
        self._sent = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send the method's name, code version, digest and counts of the catalog; first process only."""
        for run in _wandb_runs(trainer):
            facts = {METHOD_KEY: pl_module.hparams.get("objective", type(pl_module).__name__), "code": code_version()}
            data = getattr(trainer, "datamodule", None)  # Lightning does not declare it
            if data is not None:
                facts["catalog"] = catalog_facts(data)
            run.config.update(facts, allow_val_change=True)
        # the records of a run that continues are on wandb already
        self._sent = len(_records(trainer)) if trainer.is_global_zero else 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send what was measured since the last time; first process only."""
        runs = _wandb_runs(trainer)
        if not runs:
            return
        records = _records(trainer)
        for record in records[self._sent :]:
            for run in runs:
                log_record(run, record, step=trainer.global_step)
        self._sent = len(records)


def log_record(run: Any, record: dict[str, Any], step: int) -> None:
    """Send the record of one evaluation to a wandb run.

    The protocol goes to ``config.protocols.<data set>/<protocol>``, whole, and in a line to the summary's
    ``protocol/<data set>/<protocol>``, where wandb's table of runs shows it beside the metrics; a table of the classes
    is logged as ``per_class/<data set>/<protocol>``.

    Args:
        run: a running wandb run.
        record: one line of ``evaluations.jsonl``.
        step: optimiser step of the measured weights.
    """
    import wandb

    name = f"{record['data']['name']}/{record['protocol']['name']}"
    known = dict(run.config.get("protocols") or {})
    stated = {key: record.get(key) for key in ("protocol", "modified", "data", "seen_in_training")}
    if known.get(name) != stated:
        run.config.update({"protocols": {**known, name: stated}}, allow_val_change=True)
    run.summary[f"protocol/{name}"] = protocol_line(record)
    if record.get("per_class"):
        rows = [[kind, values["videos"], values["accuracy"]] for kind, values in record["per_class"].items()]
        table = wandb.Table(columns=TABLE_COLUMNS, data=rows)
        run.log({f"{PER_CLASS}/{name}": table, STEP_AXIS: step})


def protocol_line(record: dict[str, Any]) -> str:
    """Say in a line how a number was made: ``knn v1, num_frames=8; test of ucf101 (3,783 videos), catalog 1a2b3c``."""
    protocol, data = record["protocol"], record["data"]
    modified = "".join(f", {key}={value}" for key, value in (record.get("modified") or {}).items())
    videos = data.get("query_videos")
    counted = f" ({videos:,} videos)" if videos is not None else ""
    digest = str(data.get("catalog_digest", "?"))[:8]
    return (
        f"{protocol['name']} v{protocol.get('version', '?')}{modified}; "
        f"{data.get('query_split', '?')} of {data['name']}{counted}, catalog {digest}"
    )


def _wandb_runs(trainer: Trainer) -> list[Any]:
    """The running wandb runs; empty on all processes but the first."""
    if not trainer.is_global_zero:
        return []
    return [run_logger.experiment for run_logger in trainer.loggers if isinstance(run_logger, WandbLogger)]


def _records(trainer: Trainer) -> list[dict[str, Any]]:
    file = Path(trainer.default_root_dir) / RECORDS_FILE
    return read_records(file) if file.exists() else []
