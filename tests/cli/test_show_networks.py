import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from vidssl.cli import main as cli
from vidssl.errors import VidsslError
from vidssl.reporting.attention_pictures import AttentionPage, attention_animation, attention_sheet, heated
from vidssl.reporting.feature_map import feature_map, feature_rank, project
from vidssl.runs.metrics_file import read_metrics


def test_networks_side_by_side(small_config, tmp_path, capsys, synthetic_catalog):
    args = ["fit", "--config", str(small_config), "--trainer.max_epochs", "1", "--wandb.mode", "disabled"]
    assert cli.main([*args, "--model.optimizer.warmup_epochs", "0"]) == 0
    checkpoint = tmp_path / "runs" / "small" / "checkpoints" / "last.ckpt"
    out = tmp_path / "out"
    capsys.readouterr()
    show = ["show", "--checkpoint", str(checkpoint), "--untrained", "--measure", "4", "--videos", "1"]
    assert cli.main([*show, "--motion", "farneback", "--output", str(out)]) == 0
    told = capsys.readouterr().out
    assert "untrained" in told
    assert "CVRL" in told
    names = sorted(file.name for file in out.iterdir())
    assert [name.split("_")[0] for name in names] == [
        *("attention.html", "attention.json", "attention", "attention", "features")
    ]
    found = json.loads((out / "attention.json").read_text())
    assert [network["method"] for network in found["networks"]] == ["untrained", "CVRL"]
    assert all(0 <= network["motion_share"] <= 1 and network["num_clips"] > 0 for network in found["networks"])
    assert len(found["data"]["rows"]) == 4
    assert all(1 <= network["effective_rank"] <= 4 for network in found["networks"])
    assert "effective rank of features" in told


def test_attention_is_a_metric_of_a_run_and_changes_nothing(small_config, tmp_path):
    def fit(name, callbacks):
        args = ["fit", "--config", str(small_config), "--run_dir", str(tmp_path / name), "--wandb.mode", "disabled"]
        args += ["--trainer.max_epochs", "1", "--model.optimizer.warmup_epochs", "0", *callbacks]
        os.environ.pop("VIDSSL_RUN_DIR", None)
        assert cli.main(args) == 0
        checkpoint = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        return checkpoint["state_dict"], read_metrics(tmp_path / name)

    attention = ["--trainer.callbacks+=MotionAttention", "--trainer.callbacks.num_videos", "3"]
    measured, rows = fit("with", [*attention, "--trainer.callbacks.motion.estimator", "farneback"])
    plain, _ = fit("without", [])
    assert all(torch.equal(measured[name], plain[name]) for name in plain)
    logged = [row for row in rows if "eval/synthetic/attention/motion_share" in row]
    assert (
        [row["step"] for row in logged] == [row["step"] for row in rows if "eval/synthetic/knn/top1" in row] == [0, 3]
    )
    assert all(0 <= row["eval/synthetic/attention/motion_share"] <= 1 for row in logged)
    assert (tmp_path / "with" / "pictures" / "attention.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--backbone", "small"], "--data CATALOG"),
        (["--checkpoint", "x.ckpt", "--measure", "2"], "--measure must be at least 3"),
        (["--checkpoint", "x.ckpt", "--projection", "tsn"], "Did you mean 'tsne'"),
        (["--checkpoint", "x.ckpt"], "no checkpoint x.ckpt"),
    ],
)
def test_a_mistake_is_one_sentence(args, words, capsys):
    assert cli.main(["show", *args]) == 2
    assert words.lower() in capsys.readouterr().err.lower()


def test_maps_lie_where_they_belong():
    frames = np.full((4, 40, 40, 3), 128, np.uint8)
    maps = np.zeros((2, 2, 2), np.float32)
    maps[1, 0, 1] = 1.0  # late, on the upper right
    shown = heated(frames, maps).astype(int)
    assert shown.shape == frames.shape
    brightness = shown.sum(axis=3)
    assert np.unravel_index(brightness[3].argmax(), (40, 40))[0] < 20
    assert np.unravel_index(brightness[3].argmax(), (40, 40))[1] >= 20
    assert brightness[3].max() > brightness[0].max()


def test_a_sheet_and_a_moving_picture(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 32, 32, 3), np.uint8)
    looked = {"CVRL": rng.random((2, 4, 4)), "MCL": np.zeros((1, 2, 2))}
    page = AttentionPage("a/b.avi", frames, rng.random((5, 28, 28)), looked, {"MCL": "25 % on motion"})
    assert Image.open(attention_sheet(page, tmp_path / "sheet.png")).size[0] > 400
    moving = Image.open(attention_animation(page, tmp_path / "moving.webp"))
    assert moving.n_frames == 5


def test_a_map_of_nothing_says_so_and_leaves_the_clip_as_it_is():
    frames, nothing = np.full((2, 8, 8, 3), 90, np.uint8), np.zeros((1, 2, 2))
    page = AttentionPage("a/b.avi", frames, nothing, {"CVRL": np.ones((1, 2, 2)), "MCL": nothing}, {})
    assert page.nothing() == {"motion": "no motion", "MCL": "no attention"}
    panels = page.panels()
    np.testing.assert_array_equal(panels["MCL"], panels["clip"])
    assert (panels["CVRL"] != panels["clip"]).any()


def test_the_rank_of_features_tells_a_collapsed_network():
    rng = np.random.default_rng(0)
    assert feature_rank(np.ones((20, 8), np.float32)) == pytest.approx(1, abs=0.01)
    assert feature_rank(rng.standard_normal((200, 8)).astype(np.float32)) > 7


@pytest.mark.parametrize("name", ["pca", "tsne"])
def test_classes_that_lie_apart_lie_apart_on_the_plane(name, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 15)
    features = rng.normal(0, 0.05, (30, 8)) + np.eye(8)[labels]
    points, _ = project(name, features)
    centres = [points[labels == label].mean(axis=0) for label in (0, 1)]
    spread = max(points[labels == label].std() for label in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    assert feature_map({"x": features}, labels, ["left", "right"], name, tmp_path / "map.png").stat().st_size > 5000


def test_too_few_videos_for_a_plane():
    with pytest.raises(VidsslError, match="at least 3 videos"):
        project("pca", np.ones((2, 4)))
