import numpy as np
import pytest
import torch

from vidssl.cli import main as cli
from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.finetuning.evaluation import measure_scores
from vidssl.evaluation.finetuning.module import FineTuning
from vidssl.evaluation.protocols.records import RECORDS_FILE, read_records
from vidssl.objectives.base import BackboneSpec
from vidssl.runs.metrics_file import read_metrics

QUIET = ["--wandb.mode", "disabled"]
METRIC = "eval/synthetic/finetune/cvrl/top1"


@pytest.fixture
def finetuning_config(small_config, tmp_path):
    """Overrides that turn the small configuration into fine-tuning for some epochs on all eight classes."""
    file = tmp_path / "finetuning.yaml"
    file.write_text(
        f"""
run_dir: {tmp_path}/runs/finetuning
model:
  class_path: FineTuning
  init_args:
    num_classes: 8
    backbone: {{name: small}}
    dropout: 0.0
    optimizer: {{name: adamw, learning_rate: 3.0e-3, warmup_epochs: 1}}
data:
  sampler: {{class_path: UniformSampler, init_args: {{num_frames: 4, stride: 2, num_clips: 1}}}}
  augmentations: [{{crop_size: 32}}]
  evaluation: {{gallery_split: test}}
trainer: {{max_epochs: 2}}
"""
    )
    return ["fit", "--config", str(small_config), "--config", str(file), *QUIET]


def fit(args, monkeypatch):
    monkeypatch.delenv("VIDSSL_RUN_DIR", raising=False)
    assert cli.main([str(arg) for arg in args]) == 0


def test_scores_of_views_are_averaged():
    generator = np.random.default_rng(0)
    scores = generator.dirichlet(np.ones(7), size=(20, 3)).astype(np.float32)
    labels = generator.integers(0, 7, 20)
    outcome = measure_scores(VideoFeatures(scores, labels, np.full(20, -1), np.arange(20)))
    means = scores.mean(axis=1)
    assert outcome.predicted.tolist() == means.argmax(axis=1).tolist()
    assert outcome.metrics["top1"] == pytest.approx((means.argmax(axis=1) == labels).mean())
    first_five = np.argsort(-means, axis=1)[:, :5]
    assert outcome.metrics["top5"] == pytest.approx((first_five == labels[:, None]).any(axis=1).mean())
    assert outcome.metrics["clip_top1"] == pytest.approx((scores.argmax(axis=2) == labels[:, None]).mean())


def test_training_fits_the_labels_and_says_what_was_done(finetuning_config, tmp_path, monkeypatch):
    # tested on the videos it is trained on is refused; so it is trained on the test videos and tested on the others
    swapped = ["--data.train_split", "test", "--data.evaluation.query_split", "train"]
    swapped += ["--data.evaluation.gallery_split", "train"]
    fit([*finetuning_config, *swapped, "--trainer.max_epochs", "12"], monkeypatch)
    run = tmp_path / "runs" / "finetuning"
    rows = read_metrics(run)
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses[0] == pytest.approx(np.log(8), rel=0.1)  # a new layer knows nothing
    assert np.mean(losses[-2:]) < 0.6 * losses[0]
    record = read_records(run / RECORDS_FILE)[-1]
    assert record["protocol"]["name"] == "finetune/cvrl"
    assert record["metrics"]["top1"] == [row[METRIC] for row in rows if METRIC in row][-1]
    assert {"epochs", "batch_size", "optimizer", "dropout", "num_frames"} <= record["modified"].keys()
    assert (record["data"]["gallery_videos"], record["data"]["query_videos"]) == (16, 32)
    assert len(record["per_class"]) == 8


def test_it_starts_from_a_checkpoint_and_tells_it_from_nothing(finetuning_config, small_config, tmp_path, monkeypatch):
    fit(["fit", "--config", small_config, *QUIET, "--trainer.limit_val_batches", "0"], monkeypatch)
    checkpoint = tmp_path / "runs" / "small" / "checkpoints" / "last.ckpt"
    weights = BackboneSpec(name="as_weights", weights=str(checkpoint))
    model = FineTuning(8, backbone=weights)
    trained = torch.load(checkpoint, weights_only=True)["state_dict"]
    own = model.backbone.state_dict()
    assert all(torch.equal(own[name], trained[f"backbone.{name}"]) for name in own)
    assert model.pretrained["objective"] == "CVRL"
    started = ["--model.backbone.name", "as_weights", "--model.backbone.weights", checkpoint]
    fit([*finetuning_config, *started, "--trainer.max_epochs", "1"], monkeypatch)
    record = read_records(tmp_path / "runs" / "finetuning" / RECORDS_FILE)[-1]
    assert record["chosen"]["pretrained"]["file"] == "last.ckpt"
    assert record["seen_in_training"] == 0


def test_test_videos_that_the_weights_were_trained_on_are_refused(
    finetuning_config, small_config, tmp_path, monkeypatch, capsys
):
    everything = ["--data.train_split", "all", "--trainer.limit_val_batches", "0", "--trainer.max_epochs", "1"]
    everything += ["--trainer.num_sanity_val_steps", "0", "--model.optimizer.warmup_epochs", "0"]
    fit(["fit", "--config", small_config, *QUIET, *everything], monkeypatch)
    checkpoint = tmp_path / "runs" / "small" / "checkpoints" / "last.ckpt"
    monkeypatch.delenv("VIDSSL_RUN_DIR", raising=False)
    started = ["--model.backbone.name", "as_weights", "--model.backbone.weights", str(checkpoint)]
    assert cli.main([*finetuning_config, *started]) == 2
    told = capsys.readouterr().err
    assert "last.ckpt was trained on 16 of the 16 query videos (" in told
    assert "set model.allow_seen_videos to true" in told


def test_a_part_of_the_labels(finetuning_config, tmp_path, monkeypatch):
    few = ["--data.labelled.fraction", "0.1", "--model.protocol", "semi-supervised/10-percent"]
    fit([*finetuning_config, *few, "--trainer.max_epochs", "1"], monkeypatch)
    run = tmp_path / "runs" / "finetuning"
    assert (run / "labelled_videos.json").exists()
    record = read_records(run / RECORDS_FILE)[-1]
    assert record["protocol"]["name"] == "semi-supervised/10-percent"
    assert record["data"]["gallery_videos"] == 8  # one of the four of each class


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model.num_classes", "5"], "model.num_classes is 5, but"),
        (["--model.num_classes", "1"], "must be at least 2"),
        (["--model.dropout", "1.0"], "model.dropout is a share from 0 to below 1"),
        (["--model.protocol", "knn"], "measures frozen features; those that train are finetune/cvrl"),
        (["--model.backbone.name", "as_weights"], "name the checkpoint to start from"),
        (["--data.evaluation.query_split", "train"], "share 32 videos"),
        (["--data.labelled.fraction", "0.5"], "trains on a share of 1 of the labels"),
    ],
)
def test_what_cannot_be_is_told_before_training(finetuning_config, flags, words, capsys):
    assert cli.main([*finetuning_config, *flags]) == 2
    assert words in capsys.readouterr().err


def test_frozen_features_cannot_be_measured_by_it(small_config, capsys):
    flags = ["--trainer.callbacks+=FrozenFeatureEvaluation", "--trainer.callbacks.protocols", "[finetune/cvrl]"]
    assert cli.main(["fit", "--config", str(small_config), *QUIET, *flags]) == 2
    told = capsys.readouterr().err
    assert "finetune/cvrl trains the network itself: vidssl fit --config configs/finetune_ucf101.yaml does that" in told


def test_a_dropout_of_all_features_is_refused():
    with pytest.raises(VidsslError, match="label_smoothing"):
        FineTuning(8, backbone=BackboneSpec(name="small"), label_smoothing=1.0)
