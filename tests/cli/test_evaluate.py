import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from vidssl.backbones import build_backbone
from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.cli.evaluate.subjects import RunConfig
from vidssl.cli.evaluate.tasks import has_frames_enough
from vidssl.cli.main import main
from vidssl.data.settings import EvaluationClips
from vidssl.evaluation.protocols.named import PROTOCOLS as PROTOCOL_TABLE
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.records import read_records
from vidssl.runs.metrics_csv import read_metrics

CHEAP = ["--accelerator", "cpu", "--num-workers", "0"]
SMALL = ["--backbone", "small", "--set", "num_frames=4", "num_clips=2", "num_crops=1", "resize=36", "crop_size=32"]
PROTOCOLS = ["knn", "linear", "svm", "linear-svm/mcl", "linear/grid", "retrieval/mean", "retrieval/coclr"]
PROTOCOLS += ["temporal/queries", "temporal/both"]


@pytest.fixture(scope="module")
def catalog(synthetic_catalog, tmp_path_factory):
    """33 videos in three groups and three official splits; neither gallery nor queries divide by 2 or 3."""
    old = Catalog.open(synthetic_catalog)
    rows = [replace(row, group=number // 8 % 3) for number, row in enumerate(list(old)[:33])]
    splits = {f"train{n}": [row for row in range(33) if row % 3 != n - 1][:19] for n in (1, 2, 3)}
    splits |= {f"test{n}": [row for row in range(33) if row % 3 == n - 1] for n in (1, 2, 3)}
    file = tmp_path_factory.mktemp("evaluated") / "three.catalog"
    names = ["a", "b", "c"]
    write_catalog(file, rows, classes=old.classes, group_names=names, splits=splits, root=old.root, source={})
    return file


CONFIG = """
model: {{class_path: CVRL, init_args: {{backbone: {{name: small}}, head: {{hidden_dims: [32], embedding_dim: 16}}}}}}
data:
  catalog: {catalog}
  batch_size: 16
  sampler: {{class_path: IntervalSampler, init_args: {{num_frames: 4, stride: 2}}}}
  augmentations: [{{crop_size: 32}}]
  evaluation: {{num_frames: 4, num_clips: 2, resize: 36, crop_size: 32}}
  loading: {{num_workers: 0}}
trainer:
  accelerator: cpu
  max_epochs: 1
  num_sanity_val_steps: -1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - {{class_path: FrozenFeatureEvaluation, init_args: {{protocols: [knn, retrieval/mean]}}}}
    - {{class_path: ModelCheckpoint, init_args: {{save_last: true}}}}
wandb: {{mode: disabled}}
"""


@pytest.fixture(scope="module")
def runs(synthetic_catalog, tmp_path_factory):
    """Two short runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("runs")
    config = folder / "small.yaml"
    config.write_text(CONFIG.format(catalog=synthetic_catalog))
    runs = [folder / "seed0", folder / "seed1"]
    for seed, run in enumerate(runs):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("VIDSSL_RUN_DIR", str(run))
            assert main(["fit", "--config", str(config), "--seed_everything", str(seed)]) == 0
    return runs


def evaluate(*args, output=None):
    words = [*map(str, args), *CHEAP, *(["--output", str(output)] if output else [])]
    return main(["evaluate", *words])


def records_of(folder):
    return {
        (record["protocol"]["name"], record["data"]["query_split"]): record
        for record in read_records(folder / "evaluations.jsonl")
    }


def test_a_checkpoint_has_the_numbers_that_its_run_logged_before_and_after_training(runs, tmp_path, capsys):
    run, other = runs
    checkpoints = [folder / "checkpoints" / "last.ckpt" for folder in runs]
    names = ["--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md"]
    assert evaluate("--checkpoint", *checkpoints, "--untrained", "--protocol", "knn", "retrieval/mean", *names) == 0
    table = {
        (row["method"], row["protocol"], row["metric"]): row
        for row in json.loads((tmp_path / "out.json").read_text())["summary"]
    }
    for method, place in (("untrained", 0), ("CVRL", -1)):
        logged = [read_metrics(folder)[place] for folder in runs]
        for name in ("knn/top1", "knn/nearest_top1", "retrieval/mean/recall_at_5"):
            expected = [row[f"eval/synthetic/{name}"] for row in logged]
            row = table[(method, *name.rsplit("/", 1))]
            assert [value["test"] for value in row["values"].values()] == pytest.approx(expected, abs=1e-6)
            assert row["mean"] == pytest.approx(np.mean(expected), abs=1e-6)
            assert row["spread"] == pytest.approx(np.std(expected, ddof=1), abs=1e-6)
    printed = capsys.readouterr().out
    assert "untrained (2 runs)  CVRL (2 runs)" in printed
    assert "2 clips x 1 crop of 4 frames, stride 2, short side 36, crop 32" in printed  # those of the run
    assert (tmp_path / "out.md").read_text().startswith("| % | untrained (2 runs) | CVRL (2 runs) |\n|---|---|---|\n")
    for folder in (run, other):  # fit's own records are there too
        records = [record for record in read_records(folder / "evaluations.jsonl") if record["checkpoint"]]
        kinds = [record["checkpoint"]["kind"] for record in records]
        assert sorted(kinds) == ["checkpoint"] * 2 + ["untrained"] * 2
        assert {record["seen_in_training"] for record in records} == {0}


def test_videos_that_were_trained_on_are_refused_unless_that_is_meant(runs, synthetic_catalog, tmp_path, capsys):
    checkpoint = runs[0] / "checkpoints" / "last.ckpt"
    args = ["--checkpoint", checkpoint, "--protocol", "knn", "--gallery-split", "test", "--query-split", "train"]
    assert evaluate(*args, output=tmp_path) == 2
    told = capsys.readouterr().err
    assert "last.ckpt was trained on 32 of the 32 query videos" in told
    assert "say --allow-seen-videos" in told
    assert not list(tmp_path.glob("features/*"))  # told before anything is encoded
    assert evaluate(*args, "--allow-seen-videos", output=tmp_path) == 0
    assert "32 query videos were trained on" in capsys.readouterr().out
    assert records_of(tmp_path)["knn", "train"]["seen_in_training"] == 32
    exported = tmp_path / "bare.safetensors"
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(exported)]) == 0
    assert "trained_on: 32 videos of train (" in capsys.readouterr().out
    args[:2] = ["--checkpoint", exported, "--data", synthetic_catalog]
    assert evaluate(*args, output=tmp_path) == 2
    assert "bare.safetensors was trained on 32 of the 32 query videos" in capsys.readouterr().err


def test_three_splits_and_their_mean(catalog, tmp_path, capsys):
    args = ["--data", catalog, *SMALL, "--protocol", "knn", "linear-svm/mcl", "--splits", "1", "2", "3"]
    assert evaluate(*args, "--json", tmp_path / "out.json", output=tmp_path) == 0
    by_split = [records_of(tmp_path)["knn", f"test{n}"] for n in (1, 2, 3)]
    assert [(r["data"]["gallery_videos"], r["data"]["query_videos"]) for r in by_split] == [(19, 11)] * 3
    values = [record["metrics"]["top1"] for record in by_split]
    (row,) = [
        row
        for row in json.loads((tmp_path / "out.json").read_text())["summary"]
        if (row["protocol"], row["metric"]) == ("knn", "top1")
    ]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["spread"] == pytest.approx(np.std(values, ddof=1))
    printed = capsys.readouterr().out
    assert "test1  test2  test3  mean ± deviation" in printed
    row = next(line for line in printed.splitlines() if line.startswith("knn/top1 "))
    assert row.split()[1:4] == [f"{100 * value:.1f}" for value in values]
    assert "changed  num_clips 2" in printed  # linear-svm/mcl has 20
    assert "linear-svm/mcl*/top1" in printed
    assert records_of(tmp_path)["linear-svm/mcl", "test1"]["modified"] == {"num_clips": 2}


def test_all_that_apply_are_those_for_the_splits_there_are(catalog, tmp_path, capsys):
    args = ["--data", catalog, *SMALL, "--protocol", "all"]
    assert evaluate(*args, "--gallery-split", "all", "--query-split", "all", output=tmp_path) == 0
    names = {name for name, _ in records_of(tmp_path)}
    assert "nearest-neighbour-leave-one-group-out" in names
    assert "temporal/queries-leave-one-group-out" in names
    assert all(name.endswith("leave-one-group-out") for name in names)
    assert "groups of them held out in turn" in capsys.readouterr().out


def test_clips_that_are_too_short_to_be_changed_in_time_are_left_to_the_other_protocols():
    short, long = EvaluationClips(num_frames=2), EvaluationClips(num_frames=4)
    for name, enough in (("knn", True), ("temporal/both", False), ("temporal/queries-leave-one-group-out", False)):
        protocol = get_protocol(name)
        assert has_frames_enough(protocol, {}, short) == enough
        assert has_frames_enough(protocol, {"num_frames": 3}, long) == enough
        assert has_frames_enough(protocol, {"num_frames": 4}, short)


def test_anybodys_weights(catalog, tmp_path, capsys):
    backbone = build_backbone("small")
    torch.save({"state_dict": backbone.state_dict()}, tmp_path / "theirs.pt")
    args = ["--data", catalog, "--protocol", "knn", "--set", *SMALL[3:]]
    assert evaluate("--checkpoint", tmp_path / "theirs.pt", *args) == 2
    assert "does not say which backbone it holds" in capsys.readouterr().err
    assert (
        evaluate(
            "--checkpoint", tmp_path / "theirs.pt", "--backbone", "small", *args, "--pixel-mean", "0.5", "0.5", "0.5"
        )
        == 0
    )
    (record,) = records_of(tmp_path).values()
    assert record["checkpoint"]["pixel_mean"] == [0.5, 0.5, 0.5]
    assert record["seen_in_training"] is None


def test_a_network_that_diverged_is_told_with_its_name(catalog, tmp_path, capsys):
    backbone = build_backbone("small")
    with torch.no_grad():
        next(backbone.parameters()).fill_(torch.nan)
    torch.save(backbone.state_dict(), tmp_path / "nan.pt")
    assert evaluate("--checkpoint", tmp_path / "nan.pt", "--data", catalog, *SMALL, "--protocol", "knn") == 2
    assert "nan.pt, knn on train1 and test1: " in (told := capsys.readouterr().err)
    assert "NaN" in told


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--protocol", "knm"], "Unknown protocol 'knm'. Did you mean 'knn'?"),
        (
            ["--protocol", "knn", "--set", "num_frame=8"],
            "--set num_frame: none of the protocols has it. Did you mean 'num_frames'?",
        ),
        (["--protocol", "knn", "--set", "num_frames=eight"], "--set num_frames=eight: expected a whole number."),
        (["--protocol", "knn", "--set", "k=many"], "--set k=many: expected a value of the type of the present one, 20"),
        (["--protocol", "knn", "--set", "k=3", "k=4"], "--set k: it is set twice"),
        (["--protocol", "knn", "--splits", "4"], "has no split 'train4'"),
        (["--protocol", "knn", "--splits", "1", "--query-split", "test1"], "--splits names both splits"),
        (["--protocol", "knn", "--gallery-split", "all"], "share 11 of 11 videos"),
        (["--protocol", "svm-leave-one-group-out", "--splits", "1"], "must be the same split"),
        (["--protocol", "knn", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["--protocol", "knn", "--set", "crop_size=300"], "crop_size (300) is larger than the resized short side"),
        (["--protocol", "knn", "--devices", "-7"], "trainer: "),
        (["--protocol", "temporal/queries", "--set", "num_frames=3"], "Clips of 3 frames have no order worth changing"),
        (
            ["--protocol", "temporal/queries", "--set", "names=[unchanged, mirrored]"],
            "Unknown change in time 'mirrored'",
        ),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_mistakes_end_in_a_sentence(catalog, tmp_path, capsys, args, words):
    assert evaluate("--data", catalog, "--backbone", "small", *args, output=tmp_path) == 2
    assert words in (told := capsys.readouterr().err)
    assert told.splitlines()[-1].startswith("vidssl: error: ") or told.startswith("vidssl: error: ")
    assert not (tmp_path / "evaluations.jsonl").exists()


def test_a_protocol_that_trains_is_told_as_the_command_to_type(catalog, monkeypatch, capsys):
    training = replace(PROTOCOL_TABLE["knn"], name="finetune/mine", config="configs/mine.yaml")
    monkeypatch.setitem(PROTOCOL_TABLE._protocols, "finetune/mine", training)
    assert evaluate("--checkpoint", "a b.ckpt", "--data", catalog, "--protocol", "finetune/mine") == 2
    command = f"vidssl fit --config configs/mine.yaml --model.backbone.weights 'a b.ckpt' --data.catalog {catalog}"
    assert command in capsys.readouterr().err


def test_videos_without_groups_or_splits_say_what_to_do(synthetic_catalog, catalog, tmp_path, capsys):
    common = ["--backbone", "small", "--protocol"]
    assert evaluate("--data", synthetic_catalog, *common, "svm-leave-one-group-out", output=tmp_path) == 2
    assert "48 of 48 videos have no group. Prepare the catalog with groups" in capsys.readouterr().err
    old = Catalog.open(catalog)
    none = tmp_path / "none.catalog"
    write_catalog(
        none, list(old), classes=old.classes, group_names=old.group_names, splits={}, root=old.root, source={}
    )
    assert evaluate("--data", none, *common, "knn", output=tmp_path) == 2
    assert "has the splits all: say which are meant" in capsys.readouterr().err
    assert evaluate(*common, "knn", output=tmp_path) == 2
    assert "--data CATALOG" in capsys.readouterr().err
    assert evaluate("--data", none, "--protocol", "knn", output=tmp_path) == 2
    assert "Say what to measure" in capsys.readouterr().err


def test_a_video_that_cannot_be_read_is_named_and_nothing_skipped(catalog, tmp_path, capsys):
    old = Catalog.open(catalog)
    for row in old:
        (tmp_path / row.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / row.path).symlink_to(old.root / row.path)
    broken = tmp_path / old.path(int(old.split("test1")[3]))
    broken.unlink()
    broken.write_bytes(b"no video")
    assert evaluate("--data", catalog, "--root", tmp_path, *SMALL, "--protocol", "knn", output=tmp_path) == 2
    assert broken.name in capsys.readouterr().err
    assert not (tmp_path / "evaluations.jsonl").exists()


def test_the_configuration_of_a_run_may_be_absent_or_broken(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    assert RunConfig.of(checkpoint) == RunConfig()
    (tmp_path / "config.yaml").write_text(
        "data: {evaluation: {num_frames: 4}, loading: {num_workers: 3}}\nseed_everything: true\n"
    )
    config = RunConfig.of(checkpoint)
    assert (config.clips.num_frames, config.loading.num_workers, config.seed, config.initial_weights) == (
        4,
        3,
        None,
        None,
    )
    (tmp_path / "config.yaml").write_text("data: [")
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--protocol", "knn"]) == 2


def on_processes(number, catalog, output):
    args = [
        "--data",
        catalog,
        *SMALL,
        "--protocol",
        *PROTOCOLS,
        "--batch-size",
        "4",
        "--output",
        output,
        *CHEAP,
        "--devices",
        number,
    ]
    command = [sys.executable, "-m", "vidssl.cli.main", "evaluate", *map(str, args)]
    # Lightning gives several processes a share of the threads each, and the last bits of a sum depend on their number
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("knn/top1") == 1  # the others print nothing
    return {key: (record["metrics"], record["per_class"]) for key, record in records_of(output).items()}


def test_numbers_are_the_same_bits_on_one_two_and_three_processes(catalog, tmp_path):
    one = on_processes(1, catalog, tmp_path / "1")
    assert len(one) == len(PROTOCOLS)
    assert on_processes(2, catalog, tmp_path / "2") == one
    assert on_processes(3, catalog, tmp_path / "3") == one


def test_what_will_be_measured_is_said_first_and_each_result_as_it_comes(catalog, tmp_path, capsys):
    clips = ["--set", "num_frames=4", "resize=64", "crop_size=64", "num_crops=1"]
    words = ["--backbone", "small", "--untrained", "--protocol", "linear-svm/mcl", "knn", *clips]
    assert evaluate("--data", catalog, *words, output=tmp_path) == 0
    told = capsys.readouterr().err
    assert told.startswith("1 network, 2 measurements, the cheapest first:\n")
    assert "  knn             train1 and test1: 19 videos x 10 clips of 4 x 64 x 64, 11 videos x 10 clips of" in told
    assert "clips have 64 x 64 pixels, but half of the videos have 48 or less on their shorter side" in told
    results = [line for line in told.splitlines() if ", %: " in line]
    assert [line.split(" on ")[0].split(", ")[-1].rstrip("*") for line in results] == ["knn", "linear-svm/mcl"]
    assert told.index("encoded ") < told.index(results[0]) < told.index(results[1])
