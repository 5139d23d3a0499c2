import multiprocessing
import subprocess

import numpy as np
import pytest
import torch
from evaluation_setup import BARE, CLIPS, as_torchrun, data_of, drawing, grouped_catalog
from processes import run_on_processes
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from vidssl.errors import VidsslError
from vidssl.evaluation import background
from vidssl.evaluation.callbacks import FrozenFeatureEvaluation
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.records import read_records
from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.runs.metrics_file import read_metrics
from vidssl.storage import files
from vidssl.storage.locks import machine_tag

pytestmark = pytest.mark.filterwarnings("ignore")

PROTOCOLS = ["knn", "svm", "retrieval/mean"]


@pytest.fixture(scope="module")
def catalog(synthetic_catalog, tmp_path_factory):
    return grouped_catalog(synthetic_catalog, tmp_path_factory.mktemp("grouped"))


def fit(catalog, folder, *callbacks, max_epochs=2, **settings):
    quiet = BARE | {"use_distributed_sampler": False, "num_sanity_val_steps": -1, "logger": [MetricsCSV(str(folder))]}
    trainer = Trainer(
        **{**quiet, "default_root_dir": str(folder), "max_epochs": max_epochs, **settings}, callbacks=list(callbacks)
    )
    model = drawing()
    torch.manual_seed(1)
    trainer.fit(model, data_of(catalog, batch_size=6, evaluation=CLIPS))
    return trainer


def evaluations(folder):
    return [
        {name: value for name, value in row.items() if name.startswith("eval/") or name in ("step", "epoch")}
        for row in read_metrics(folder)
        if any(name.startswith("eval/") for name in row)
    ]


def without_time(folder):
    records = read_records(folder / "evaluations.jsonl")
    return [{key: value for key, value in record.items() if key != "written"} for record in records]


def test_numbers_and_records_are_those_of_the_foreground_under_the_same_steps(catalog, tmp_path):
    for name, in_background in (("before", False), ("background", True)):
        fit(catalog, tmp_path / name, FrozenFeatureEvaluation(PROTOCOLS, in_background=in_background))
    expected = evaluations(tmp_path / "before")
    assert len(expected) == 3
    found = evaluations(tmp_path / "background")
    assert found == [pytest.approx(row) for row in expected]  # what Lightning logs it has rounded to float32
    assert without_time(tmp_path / "background") == without_time(tmp_path / "before")
    assert not list((tmp_path / "background").glob("*.partial"))


class Slow:
    """Stands for a measurement of which the test decides when it is done."""

    def __init__(self, measuring, found, folder, *, step, epoch):
        self.step, self.epoch, self.protocols = step, epoch, measuring.protocols
        self.is_done, self.stopped = False, False
        self.numbers = measuring.measure(found)
        Slow.made.append(self)

    def result(self):
        return self.numbers

    def stop(self):
        self.stopped = True


class Events(Callback):
    def __init__(self, folder, done_at):
        self.folder, self.done_at, self.seen = folder, done_at, {}

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.done_at:
            Slow.made[0].is_done = True
        self.seen[trainer.global_step] = [row["step"] for row in evaluations(self.folder)]


def test_training_goes_on_meanwhile_and_the_numbers_are_logged_at_the_end_of_an_epoch(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(background, "BackgroundMeasurement", Slow)
    Slow.made = []
    events = Events(tmp_path, done_at=4)
    evaluation = FrozenFeatureEvaluation(["knn"], every_n_epochs=3, in_background=True)
    fit(catalog, tmp_path, evaluation, events, max_epochs=6, log_every_n_steps=1)
    per_epoch = max(events.seen) // 6
    assert len(Slow.made) == 3
    known = [len(events.seen[step]) for step in sorted(events.seen)]
    second = known.index(1)
    assert second + 1 == (4 // per_epoch + (4 % per_epoch > 0)) * per_epoch + 1  # the step after that epoch
    assert [row["epoch"] for row in evaluations(tmp_path)] == [0, 2, 5]
    steps = [row["step"] for row in read_metrics(tmp_path)]
    assert steps == sorted(steps)


def test_what_cannot_be_measured_is_an_error_at_the_next_measurement(catalog, tmp_path):
    def poison(trainer, module, *args):
        module.backbone.stem[0].weight.data.fill_(float("nan"))

    callback = Callback()
    callback.on_sanity_check_start = poison
    with pytest.raises(VidsslError, match="NaN or infinity"):
        fit(catalog, tmp_path, FrozenFeatureEvaluation(["knn"], in_background=True), callback)


def test_a_process_that_dies_is_reported_with_its_exit_code(catalog, tmp_path):
    def kill(trainer, module, *args):
        running = evaluation._background._running
        running._process.kill()

    callback = Callback()
    callback.on_train_start = kill
    evaluation = FrozenFeatureEvaluation(["svm"], in_background=True)
    with pytest.raises(VidsslError, match=r"measured svm after epoch 0 ended without an answer \(exit code -9\)"):
        fit(catalog, tmp_path, evaluation, callback)
    assert not list(tmp_path.glob("*.partial"))


def test_a_run_that_breaks_off_ends_the_process_and_says_what_is_lost(catalog, tmp_path, caplog):
    kept = []

    def fail(trainer, module, *args):
        kept.append(evaluation._background._running)
        raise RuntimeError("broken off")

    callback = Callback()
    callback.on_train_start = fail
    evaluation = FrozenFeatureEvaluation(["knn"], in_background=True)
    with pytest.raises(RuntimeError, match="broken off"):
        fit(catalog, tmp_path, evaluation, callback)
    assert not kept[0]._process.is_alive()
    assert "before knn was measured after epoch 0 in the background" in caplog.text
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_monitored_is_not_measured_in_the_background(catalog, tmp_path):
    data = data_of(catalog)
    checkpoint = ModelCheckpoint(tmp_path, monitor=f"eval/{data.name}/knn/top1", mode="max")
    with pytest.raises(VidsslError, match=r"ModelCheckpoint monitors eval/.*/knn/top1, .* Set in_background: false"):
        fit(
            catalog,
            tmp_path,
            FrozenFeatureEvaluation(["knn"], in_background=True),
            checkpoint,
            enable_checkpointing=True,
        )


def test_a_script_that_the_process_imports_does_not_train_again(catalog, tmp_path, monkeypatch):
    # as the standard library marks a process that imports the main module
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(VidsslError, match="under `if __name__ =="):
        fit(catalog, tmp_path, FrozenFeatureEvaluation(["knn"], in_background=True))


def test_the_files_with_features_are_removed_after_a_kill(tmp_path):
    folder = tmp_path / "new"
    rows = np.arange(3)
    found = {number: VideoFeatures(np.zeros((3, 1, 2), np.float32), rows, rows, rows) for number in range(2)}
    written = background._write(found, folder)
    assert len(list(folder.iterdir())) == 2
    ended = subprocess.Popen(["true"])
    ended.wait()
    for number, file in enumerate(written.values()):
        file.rename(folder / f"features.{machine_tag()}-{ended.pid}-{number}.partial")
    files._SWEPT.clear()
    background._remove(background._write(found, folder))
    assert list(folder.iterdir()) == []


def _fit_on_two(rank, world_size, catalog, folder):
    as_torchrun(rank, world_size)
    evaluation = FrozenFeatureEvaluation(["knn", "svm"], in_background=True)
    fit(catalog, folder, evaluation, devices=world_size, strategy="ddp")


def test_on_two_processes_the_first_measures_in_the_background(catalog, tmp_path):
    run_on_processes(_fit_on_two, 2, catalog, tmp_path)
    fit(catalog, tmp_path / "alone", FrozenFeatureEvaluation(["knn", "svm"]))
    assert [row.keys() for row in evaluations(tmp_path)] == [row.keys() for row in evaluations(tmp_path / "alone")]
