"""Averages of weights: whose weights were measured is recorded, and a copy of the start is not measured as trained."""

import pytest
from evaluation_setup import CLIPS, QUIET, data_of, drawing
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint

from vidssl.backbones.export import export_backbone
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError
from vidssl.evaluation.callbacks import FrozenFeatureEvaluation
from vidssl.evaluation.features.encoder import load_encoder
from vidssl.evaluation.protocols.records import read_records
from vidssl.runs.resuming import check_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS_PER_EPOCH = 5  # 32 videos in batches of 6


@pytest.fixture
def fit(synthetic_catalog, tmp_path):
    """Train for two epochs, measuring after each; return the records of the evaluations and the network."""

    def run(*callbacks, **settings):
        saving = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = Trainer(
            **{**QUIET, "max_epochs": 2, "num_sanity_val_steps": 0, "logger": False, **settings},
            enable_model_summary=False,
            default_root_dir=tmp_path,
            use_distributed_sampler=False,
            callbacks=[FrozenFeatureEvaluation(["knn"]), *callbacks, saving],
        )
        network = drawing()
        trainer.fit(network, datamodule=data_of(synthetic_catalog, evaluation=CLIPS))
        file = tmp_path / "evaluations.jsonl"
        return (read_records(file) if file.exists() else []), network

    return run


def test_without_an_average_the_trained_weights_are_measured(fit):
    records, _ = fit()
    assert [(record["step"], record["weights"]) for record in records] == [(5, "trained"), (10, "trained")]


def test_an_average_is_named_with_its_updates_and_measured_only_once_it_was_updated(fit, tmp_path, caplog):
    records, network = fit(EMAWeightAveraging(update_starting_at_step=STEPS_PER_EPOCH + 2))
    assert [(record["step"], record["weights"]) for record in records] == [
        (10, "average of 3 updates (EMAWeightAveraging)")
    ]
    assert "Nothing is measured after 5 steps: EMAWeightAveraging" in caplog.text
    early, late = tmp_path / "step=5.ckpt", tmp_path / "step=10.ckpt"
    reading = [load_encoder, lambda file: load_weights(network.backbone, file)]
    reading += [lambda file: export_backbone(file, tmp_path / "export.safetensors")]
    reading += [lambda file: check_checkpoint(str(file), network, "validate")]
    for read in reading:
        with pytest.raises(VidsslError, match=r"step=5\.ckpt holds an average .* not been updated after 5 steps"):
            read(early)
        read(late)
    assert load_encoder(late).provenance["encoder"].startswith("an average of the weights over 3 updates")
    check_checkpoint(str(early), network, "fit")  # which continues with the trained ones, kept beside the average
