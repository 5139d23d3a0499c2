import json
import math
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation_setup import BARE, CLIPS, QUIET, as_torchrun, data_of, drawing, grouped_catalog
from processes import run_on_processes
from pytorch_lightning import Callback, Trainer
from safetensors.numpy import load_file

from vidssl.data.settings import AugmentedViews
from vidssl.errors import VidsslError
from vidssl.evaluation.callbacks import FrozenFeatureEvaluation
from vidssl.evaluation.features import collection
from vidssl.evaluation.features.encoder import OutsideWeights, load_encoder
from vidssl.evaluation.features.extraction import FeatureRequest, extract_all
from vidssl.evaluation.protocols.named import PROTOCOLS
from vidssl.evaluation.protocols.records import read_records
from vidssl.storage.container import CHECKSUMS

pytestmark = pytest.mark.filterwarnings("ignore")

MEASURED = [name for name in PROTOCOLS if PROTOCOLS[name].config is None]
PAIRED = [name for name in MEASURED if not PROTOCOLS[name].leaves_out_groups]
IN_TURN = [name for name in MEASURED if PROTOCOLS[name].leaves_out_groups]
TWO_SPLITS = {"evaluation": CLIPS}
ONE_SPLIT = {"evaluation": replace(CLIPS, gallery_split="both", query_split="both")}
EACH = FeatureRequest("train", replace(CLIPS, num_crops=3), "each")
MEAN = FeatureRequest("test", CLIPS)
DRAWN = FeatureRequest("train", CLIPS, "each", AugmentedViews(2))


@pytest.fixture(scope="module")
def catalog(synthetic_catalog, tmp_path_factory):
    """23 training and 13 test videos in batches of 5, the last smaller: 5 and 3 batches; together 36, 8 batches."""
    return grouped_catalog(synthetic_catalog, tmp_path_factory.mktemp("grouped"))


@pytest.fixture
def one_thread():
    """What a forward pass rounds may depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer_of(folder, *callbacks, **settings):
    quiet = BARE | {"use_distributed_sampler": False, "num_sanity_val_steps": 0, "default_root_dir": str(folder)}
    return Trainer(**{**quiet, **settings}, callbacks=list(callbacks))


# --- any number of processes ---


def measure_everything(catalog, folder, **settings):
    """Every protocol through the callback, and features through files; returns the metrics and the features."""
    metrics = {}
    for name, protocols, splits in (("two", PAIRED, TWO_SPLITS), ("one", IN_TURN, ONE_SPLIT)):
        trainer = trainer_of(folder / name, FrozenFeatureEvaluation(protocols), **settings)
        trainer.validate(drawing(), data_of(catalog, **splits), verbose=False)
        metrics |= {f"{name} {key}": float(value) for key, value in trainer.callback_metrics.items()}
    # in a run, where DDP wraps the model, before training
    trained(catalog, folder / "fit", FrozenFeatureEvaluation(["knn", "svm"]), max_epochs=1, **settings)
    loaded = load_encoder(None, OutsideWeights("small"))
    told = {**QUIET, **settings}
    found = extract_all(loaded, data_of(catalog), [EACH, MEAN, DRAWN], told, folder / "features")
    return metrics, found


def _measure_everything(rank, world_size, catalog, folder):
    as_torchrun(rank, world_size)
    settings = {"devices": world_size, "strategy": "ddp"}
    metrics, found = measure_everything(catalog, folder, **settings)
    assert (found is None) == (rank > 0)
    (folder / f"metrics-{rank}.json").write_text(json.dumps(metrics))
    if rank == 0:  # a second time: nothing is computed, and all processes agree on it
        before = {file: file.stat().st_mtime_ns for file in (folder / "features").iterdir()}
    loaded = load_encoder(None, OutsideWeights("small"))
    again = extract_all(loaded, data_of(catalog), [MEAN, EACH], {**QUIET, **settings}, folder / "features")
    if rank == 0:
        assert before == {file: file.stat().st_mtime_ns for file in (folder / "features").iterdir()}
        np.testing.assert_array_equal(again[0].views, found[1].views)
    # what the first process cannot measure is an error on all
    model = drawing()
    model.backbone.stem[0].weight.data.fill_(torch.nan)
    trainer = trainer_of(folder / "diverged", FrozenFeatureEvaluation(["knn"]), **settings)
    with pytest.raises(VidsslError, match="NaN or infinity"):
        trainer.validate(model, data_of(catalog), verbose=False)


@pytest.fixture(scope="module")
def alone(catalog, tmp_path_factory):
    """Folder, metrics and features of one process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("alone")
    metrics, found = measure_everything(catalog, folder)
    torch.set_num_threads(threads)
    return folder, metrics, found


@pytest.mark.parametrize("world_size", [2, 3])
def test_every_number_is_the_same_to_the_last_bit_on_any_number_of_processes(world_size, catalog, alone, tmp_path):
    folder, metrics, _ = alone
    run_on_processes(_measure_everything, world_size, catalog, tmp_path)
    for rank in range(world_size):
        assert json.loads((tmp_path / f"metrics-{rank}.json").read_text()) == metrics
    files = sorted((folder / "features").iterdir())
    assert [file.name for file in files] == sorted(file.name for file in (tmp_path / "features").iterdir())
    for file in files:
        assert contents(file) == contents(tmp_path / "features" / file.name)
    ran = [read_records(parent / "fit" / "evaluations.jsonl") for parent in (folder, tmp_path)]
    assert [record["step"] for record in ran[1]] == [0, 0, 3, 3]
    assert without_time(ran[0][:2]) == without_time(ran[1][:2])
    for name in ("two", "one"):
        assert without_time(read_records(folder / name / "evaluations.jsonl")) == without_time(
            read_records(tmp_path / name / "evaluations.jsonl")
        )


def contents(file):
    """The arrays; the checksums hold that of the header too, which says when and by how many processes it was made."""
    return {name: array.tobytes() for name, array in load_file(file).items() if name != CHECKSUMS}


def without_time(records):
    return [{key: value for key, value in record.items() if key != "written"} for record in records]


def test_every_protocol_is_measured_and_recorded(alone):
    folder, metrics, found = alone
    for name in MEASURED:
        assert [key for key in metrics if f"eval/grouped/{name}/" in key], name
    records = read_records(folder / "two" / "evaluations.jsonl")
    assert [record["protocol"]["name"] for record in records] == PAIRED
    assert records[0]["data"]["gallery_videos"] == 23
    assert records[0]["data"]["query_videos"] == 13
    assert records[0]["step"] is None
    for record in records:
        for metric, value in record["metrics"].items():
            logged = metrics[f"two eval/grouped/{record['protocol']['name']}/{metric}"]
            assert logged == pytest.approx(value, rel=1e-6)  # Lightning logs float32
    each, mean, drawn = found
    assert each.views.shape == (23, 6, 128)
    assert mean.views.shape == (13, 1, 128)
    assert drawn.views.shape == (23, 2, 128)


def test_features_reach_the_first_process_from_files_too(catalog, tmp_path, monkeypatch, one_thread):
    told = []
    for limit in (collection.MEMORY_BYTES, 100):
        monkeypatch.setattr(collection, "MEMORY_BYTES", limit)
        trainer = trainer_of(tmp_path, FrozenFeatureEvaluation(["knn", "svm"]))
        trainer.validate(drawing(), data_of(catalog), verbose=False)
        told.append(dict(trainer.callback_metrics))
    assert told[0] == told[1]
    assert [file.name for file in tmp_path.iterdir()] == ["evaluations.jsonl"]  # passing files are gone


# --- training is not touched ---


class Watch(Callback):
    """Keeps model and generators as they were before validation, and compares afterwards."""

    def __init__(self):
        self.times = 0

    def on_validation_start(self, trainer, pl_module):
        self.model = {name: tensor.clone() for name, tensor in pl_module.state_dict().items()}
        self.generators = generators()

    def on_validation_end(self, trainer, pl_module):
        for name, tensor in pl_module.state_dict().items():
            assert torch.equal(tensor, self.model[name]), name
        assert self.generators == generators()
        self.times += 1


def generators():
    of_numpy = str(np.random.get_state())  # noqa: NPY002  (the global one, which a library may use)
    return torch.get_rng_state().tolist(), of_numpy, random.getstate()


def trained(catalog, folder, *callbacks, **settings):
    model = drawing()
    torch.manual_seed(1)
    settings = {"max_epochs": 2, "num_sanity_val_steps": -1, **settings}
    trainer_of(folder, *callbacks, **settings).fit(model, data_of(catalog))
    return model.state_dict()


def test_a_run_with_and_without_evaluation_ends_in_the_same_weights(catalog, tmp_path):
    without = trained(catalog, tmp_path, limit_val_batches=0)
    untrained = drawing().state_dict()
    assert not torch.equal(without["backbone.stem.0.weight"], untrained["backbone.stem.0.weight"])
    assert not torch.equal(without["backbone.stem.1.running_mean"], untrained["backbone.stem.1.running_mean"])
    watch = Watch()
    evaluation = FrozenFeatureEvaluation(PAIRED)
    with_callback = trained(catalog, tmp_path, evaluation, watch)
    assert watch.times == 3
    assert without.keys() == with_callback.keys()
    for name, tensor in without.items():
        assert torch.equal(tensor, with_callback[name]), name
    records = read_records(tmp_path / "evaluations.jsonl")
    assert [record["step"] for record in records[:: len(PAIRED)]] == [0, 3, 6]
    assert {record["seen_in_training"] for record in records} == {0}


# --- when, and what is refused ---


def test_callbacks_have_schedules_of_their_own(catalog, tmp_path):
    often, seldom = FrozenFeatureEvaluation(["knn"]), FrozenFeatureEvaluation(["retrieval/mean"], every_n_epochs=2)
    trained(catalog, tmp_path, often, seldom, max_epochs=4)
    told = [(record["protocol"]["name"], record["step"]) for record in read_records(tmp_path / "evaluations.jsonl")]
    assert told == [
        ("knn", 0),
        ("retrieval/mean", 0),
        ("knn", 3),
        ("knn", 6),
        ("retrieval/mean", 6),
        ("knn", 9),
        ("knn", 12),
        ("retrieval/mean", 12),
    ]


def test_a_schedule_that_lightning_never_meets_is_refused(catalog, tmp_path):
    evaluation = FrozenFeatureEvaluation(["knn"], every_n_epochs=3)
    with pytest.raises(VidsslError, match=r"every_n_epochs \(3\) must be a multiple of trainer\.check_val"):
        trained(catalog, tmp_path, evaluation, check_val_every_n_epoch=2)
    with pytest.raises(VidsslError, match="at least 1, got 0"):
        FrozenFeatureEvaluation(["knn"], every_n_epochs=0)


def test_videos_that_are_left_out_are_an_error(catalog, tmp_path):
    trainer = trainer_of(tmp_path, FrozenFeatureEvaluation(["knn"]), limit_val_batches=2)
    with pytest.raises(VidsslError, match=r"did not see 13 of 23 videos: is trainer.limit_val_batches"):
        trainer.validate(drawing(), data_of(catalog), verbose=False)


@pytest.mark.parametrize(("num_steps", "due"), [(2, False), (math.inf, True)])
def test_a_sanity_check_measures_only_when_it_sees_everything(num_steps, due):
    trainer = SimpleNamespace(sanity_checking=True, num_sanity_val_steps=num_steps)
    assert FrozenFeatureEvaluation(["knn"])._is_due(trainer) == due
