"""The networks that come with vidssl: what they say of themselves, that they load, and that they can be made again."""

import hashlib
import json
import math

import pytest
import torch
from safetensors import safe_open

from vidssl.backbones import load
from vidssl.backbones.pretrained import CONFIGURATION, FOLDER, described, weights_file
from vidssl.cli.evaluate.arguments import evaluate_parser
from vidssl.cli.evaluate.subjects import RunConfig, load_subjects
from vidssl.cli.main import main
from vidssl.errors import UnknownNameError
from vidssl.evaluation.protocols.records import read_records
from vidssl.objectives import OBJECTIVES

MOST_BYTES = 10_000_000
CHANCE = 1 / 8


def test_there_is_one_of_every_method():
    assert sorted(told["objective"] for told in described().values()) == OBJECTIVES.names()
    assert {file.stem for file in FOLDER.glob("*.safetensors")} == set(described())
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < MOST_BYTES


@pytest.mark.parametrize("name", described())
def test_it_loads_and_is_what_the_index_says(name):
    told, file = described()[name], weights_file(name)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == told["sha256"]
    network = load(name)
    assert not network.training
    with torch.no_grad():
        features = network(torch.zeros(2, 3, 8, 56, 56))
    assert features.shape == (2, 128)
    assert features.isfinite().all()
    with safe_open(file, framework="pt") as content:
        header = content.metadata()
    for key in ("objective", "catalog_digest", "commit"):
        assert header[key] == told[key]
    assert json.loads(header["seed"]) == told["seed"]
    configuration = json.loads(header[CONFIGURATION])
    assert configuration["model"]["class_path"].endswith(told["objective"])
    assert not [value for value in header.values() if "/work/" in value or "/tmp/" in value or "/home/" in value]
    # better than the untrained network, which has a linear accuracy of about 50 %
    assert 0.5 < told["accuracy"]["linear"]["this"] < 1
    assert all(accuracy["this"] > CHANCE for accuracy in told["accuracy"].values())


def test_a_command_finds_them_by_name_and_writes_beside_the_user(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = next(iter(described()))
    options = evaluate_parser().parse_args(["--pretrained", name, "--backbone", "small", "--protocol", "knn"])
    (subject,) = load_subjects(options)
    assert subject.loaded.provenance["objective"] == described()[name]["objective"]
    assert subject.folder.resolve() == tmp_path
    config = RunConfig.of(weights_file(name))
    assert (config.clips.num_frames, config.clips.crop_size) == (8, 56)  # as its run was evaluated
    assert main(["list", "pretrained"]) == 0
    assert name in capsys.readouterr().out
    assert main(["evaluate", "--pretrained", "cvrl_smal_synthetic", "--protocol", "knn"]) == 2
    assert "Did you mean 'cvrl_small_synthetic'?" in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match="Unknown pretrained network 'resnet'"):
        load("resnet")


def test_training_can_start_from_them():
    objective = OBJECTIVES.get("SimSiam")
    from vidssl.objectives import BackboneSpec

    name = next(iter(described()))
    started = objective(BackboneSpec(name="small", weights=name)).backbone.state_dict()
    assert all(torch.equal(value, started[key]) for key, value in load(name).state_dict().items())


@pytest.mark.slow
def test_kernels_in_half_precision_keep_the_accuracies_of_training(tmp_path):
    """Equal on the machine that trained them; elsewhere sums are rounded otherwise, which may move two videos."""
    catalog = tmp_path / "data" / "synthetic.catalog"
    assert main(["prepare", "synthetic", "--output", str(catalog.parent)]) == 0
    words = ["evaluate", "--pretrained", *described(), "--data", str(catalog), "--output", str(tmp_path)]
    assert main([*words, "--protocol", "linear", "knn", "retrieval/mean"]) == 0
    of_objective = {told["objective"]: told["accuracy"] for told in described().values()}
    records = read_records(tmp_path / "evaluations.jsonl")
    assert len(records) == 3 * len(of_objective)
    for record in records:
        objective = record["checkpoint"]["objective"].rpartition(".")[-1]
        stated = of_objective[objective][record["protocol"]["name"]]["this"]
        first = next(iter(record["metrics"].values()))
        assert abs(first - stated) <= 2.01 / record["data"]["query_videos"], (objective, record["protocol"]["name"])


@pytest.mark.slow
def test_a_network_is_made_again_by_its_configuration(tmp_path):
    """Another machine adds in another order, so that weights differ; accuracy is as between seeds."""
    name = "cvrl_small_synthetic"
    told = described()[name]
    catalog = tmp_path / "data" / "synthetic" / "synthetic.catalog"
    assert main(["prepare", "synthetic", "--output", str(catalog.parent)]) == 0
    with safe_open(weights_file(name), framework="pt") as content:
        configuration = json.loads(content.metadata()[CONFIGURATION])
    configuration["data"]["catalog"] = str(catalog)
    (tmp_path / "again.yaml").write_text(json.dumps(configuration))
    run = tmp_path / "run"
    assert (
        main(["fit", "--config", str(tmp_path / "again.yaml"), "--run_dir", str(run), "--wandb.mode", "disabled"]) == 0
    )
    records = [record for record in read_records(run / "evaluations.jsonl") if record["protocol"]["name"] == "linear"]
    assert records[-1]["data"]["catalog_digest"] == told["catalog_digest"]
    accuracy, stated = records[-1]["metrics"]["top1"], told["accuracy"]["linear"]
    num_queries = records[-1]["data"]["query_videos"]
    chance_of_videos = math.sqrt(stated["mean"] * (1 - stated["mean"]) / num_queries)
    assert abs(accuracy - stated["mean"]) < 3 * max(stated["deviation"], chance_of_videos)
