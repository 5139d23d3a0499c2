"""The command: help, keys and overrides, and what validate, test, predict and export leave behind."""

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import torch
import yaml
from safetensors.torch import load_file

from vidssl.backbones.export import load_exported
from vidssl.cli.main import OWN_VERBS, TRAINER_VERBS, main
from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.objectives import OBJECTIVES
from vidssl.runs.metrics_csv import read_metrics


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def built(verb, *args):
    return VidsslCLI(verb, [*map(str, args), "--wandb.mode", "disabled"])


# --- help ---


def test_help_and_lists_do_not_import_torch():
    for args in (
        ["--help"],
        ["--version"],
        ["list", "objectives"],
        ["list", "backbones"],
        ["list", "decoders"],
        ["list", "estimators"],
    ):
        code = f"import sys; from vidssl.cli.main import main; main({args!r}); assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("args", [["list", "backbones"], ["--help"], ["list", "nothing"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_gets_no_traceback(args, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)  # as head does once it has read enough
    command = [sys.executable, "-m", "vidssl.cli.main", *args]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    os.close(writing)
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr
    assert ended.returncode == (2 if "nothing" in args else 141)


def test_help_names_every_verb_and_lists_name_what_is_registered(capsys):
    assert main([]) == main(["--help"]) == 0
    told = capsys.readouterr().out
    for verb in (*TRAINER_VERBS, *OWN_VERBS):
        assert f"\n  {verb} " in told
    for kind, name in (
        ("objectives", "CVRL"),
        ("backbones", "r3d_50"),
        ("samplers", "IntervalSampler"),
        ("decoders", "pyav"),
    ):
        assert main(["list", kind]) == 0
        assert name in capsys.readouterr().out
    assert main(["fti"]) == 2
    assert "Unknown verb 'fti'. Did you mean 'fit'?" in capsys.readouterr().err


def test_every_key_of_ours_has_a_help_text(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help-all"])
    told = capsys.readouterr().out
    assert told.startswith("usage: vidssl fit --config FILE")
    assert "--trainer.gradient_clip_val" in told
    with pytest.raises(SystemExit):
        main(["fit", "--model.help", "CVRL"])
    told += capsys.readouterr().out
    ours = [f"--{key}" for key in ("run_dir", "ckpt_path")]
    ours += [
        line.split()[0] for line in told.splitlines() if line.startswith(("  --data.", "  --model.", "  --wandb."))
    ]
    assert len(ours) > 35
    for key in ours:
        text = re.split(rf"\n  {re.escape(key)}[ ,\n]", told, maxsplit=1)[1].split("\n  --")[0]
        # what stands beside the flag or below it, without its type
        words = " ".join(text.split("  ", 1)[-1].split()).split("(type:")[0]
        assert len(words) > 8, f"{key} has no help text"


@pytest.mark.parametrize("columns", [80, 100])
def test_the_short_help_has_our_keys_first_and_fits_two_screens(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert len(lines) <= 80
    keys = [line.split()[0].removeprefix("--") for line in lines if line.startswith("  --")]
    assert max(map(len, (line for line in lines if line.startswith("  --")))) <= columns
    assert [key.split(".")[0] for key in keys if "trainer" in key] == ["trainer"] * 7
    assert keys[-7].startswith("trainer.")  # all of ours come before
    assert {"run_dir", "data.batch_size", "data.evaluation.num_clips", "wandb.group"} <= set(keys)
    assert "data.loading" not in keys  # a group


def test_layers_of_a_backbone_are_listed_with_their_grids(capsys):
    assert main(["list", "layers", "--backbone", "small", "--clip", "8", "56", "56"]) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(told[0]) == "layer channels maps of a clip of 8 x 56 x 56"
    assert [(line[0], line[1], " ".join(line[2:])) for line in told[1:]] == [
        ("stages.0.conv", "32", "8 x 14 x 14"),
        ("stages.1.conv", "64", "4 x 7 x 7"),
        ("stages.2.conv", "128", "2 x 4 x 4 (last)"),
    ]
    for args, message in (
        (["layers"], "add --backbone NAME"),
        (["backbones", "--backbone", "small"], "go with layers, not with backbones"),
    ):
        with pytest.raises(SystemExit):
            main(["list", *args])
        assert message in capsys.readouterr().err
    assert main(["list", "layers", "--backbone", "s3d", "--clip", "2", "8", "8"]) == 2
    assert "at least T x H x W = 5 x 17 x 17" in capsys.readouterr().err


# --- plug-ins ---


def test_a_broken_plugin_is_told_and_matters_only_when_asked_for(small_config, monkeypatch, capsys):
    point = EntryPoint("Broken", "no_such_package.method:Broken", "vidssl.objectives")
    monkeypatch.setattr("vidssl.registry.entry_points", lambda group: [point])
    monkeypatch.setattr(OBJECTIVES, "_installed", None)
    told = r"The plug-in no_such_package\.method:Broken .*'Broken' cannot be imported: ModuleNotFoundError: No module"
    assert built("fit", "--config", small_config).model.hparams["objective"] == "CVRL"
    assert re.search(rf"vidssl: warning: {told}", capsys.readouterr().err)
    assert main(["fit", "--config", str(small_config), "--model.temperatur", "1"]) == 2
    assert "has no key 'temperatur'. Did you mean 'temperature'?" in capsys.readouterr().err
    for asked in (["--model", "Broken"], ["--model.help", "Broken"]):
        assert main(["fit", "--config", str(small_config), *asked]) == 2
        assert re.search(rf"vidssl: error: {told}", capsys.readouterr().err)


# --- keys ---


def test_flags_and_a_second_file_override_nested_keys(small_config, tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text("data: {augmentations: [{crop_size: 16}, {crop_size: 24}], loading: {max_bad_fraction: 0.5}}\n")
    flags = ["--data.evaluation.num_clips", 1, "--model.temperature", 0.3, "--model.backbone.options.width", 2]
    cli = built("fit", "--config", small_config, "--config", second, *flags)
    assert [recipe.crop_size for recipe in cli.datamodule.augmentations] == [16, 24]
    assert cli.datamodule.loading.max_bad_fraction == 0.5
    assert cli.datamodule.loading.num_workers == 0  # from the first file
    assert cli.datamodule.evaluation.num_clips == 1
    assert cli.datamodule.evaluation.crop_size == 32
    assert cli.model.temperature == 0.3
    assert cli.model.backbone.feature_dim == 2 * 128


def test_interpolation_sees_overrides_and_the_environment(small_config, monkeypatch):
    config = yaml.safe_load(small_config.read_text())
    config["data"]["evaluation"]["num_frames"] = "${data.sampler.init_args.num_frames}"
    config["data"]["root"] = "${oc.env:VIDSSL_TEST_ROOT}"
    small_config.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("VIDSSL_TEST_ROOT", str(small_config.parent))
    cli = built("fit", "--config", small_config, "--data.sampler.num_frames", 6)
    assert cli.datamodule.evaluation.num_frames == cli.datamodule.sampler.num_frames == 6
    assert cli.datamodule.catalog.root == small_config.parent


def test_the_saved_configuration_is_complete_and_parses_to_the_same_values(small_config, tmp_path):
    cli = built("fit", "--config", small_config, "--seed_everything", 7, "--data.batch_size", 4)
    saved = tmp_path / "saved.yaml"
    cli.parser.save(cli.config, saved, skip_none=False)
    content = yaml.safe_load(saved.read_text())
    assert content["model"]["init_args"]["backbone"]["pixel_std"] == [0.225] * 3  # a default, written out
    assert content["data"]["augmentations"][1]["temporally_consistent"] is True
    assert content["data"]["batch_size"] == 4
    again = built("fit", "--config", saved)
    assert again.datamodule.seed == 7
    first, second = (one.config.clone().as_dict() for one in (cli, again))
    for config in (first, second):
        del config["config"]
    assert first == second


# --- what the verbs leave behind ---


@pytest.mark.parametrize("max_epochs", [-1, 100])
def test_warm_up_lasts_its_epochs_where_steps_end_the_run(small_config, max_epochs):
    ends = ["--trainer.max_steps", "3", "--trainer.max_epochs", str(max_epochs), "--trainer.limit_val_batches", "0"]
    assert main(["fit", "--config", str(small_config), *ends, "--wandb.mode", "disabled"]) == 0
    rates = [row["train/learning_rate"] for row in read_metrics(small_config.parent / "runs" / "small") if len(row) > 2]
    # an epoch has four steps
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3])


@pytest.fixture
def run_dir(small_config):
    """A run of one step without evaluation."""
    short = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "0", "--wandb.mode", "disabled"]
    assert main(["fit", "--config", str(small_config), *short]) == 0
    return small_config.parent / "runs" / "small"


def test_a_checkpoint_is_measured_predicted_and_exported(run_dir, small_config, capsys):
    before = {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file()}
    last = str(run_dir / "checkpoints" / "last.ckpt")
    for verb in ("validate", "test"):
        capsys.readouterr()
        assert main([verb, "--config", str(small_config), "--ckpt_path", last]) == 0
        told = capsys.readouterr().out
        assert told.count("synthetic/knn/top1") == 1
        assert (run_dir / verb / "metrics.csv").is_file()
    assert main(["predict", "--config", str(small_config), "--ckpt_path", "last"]) == 0
    features = load_file(run_dir / "predict" / "features.safetensors")
    assert features["features"].shape == (48, 2, 128)  # videos x clips x dimensions
    assert features["index"].tolist() == list(range(48))
    assert sorted(set(features["label"].tolist())) == list(range(8))
    assert {file: file.read_bytes() for file in before} == before

    exported = run_dir / "backbone.safetensors"
    assert main(["export", "--checkpoint", last, "--output", str(exported)]) == 0
    cli = built("predict", "--config", small_config)
    cli.model.load_state_dict(torch.load(last, weights_only=True)["state_dict"])
    cli.model.backbone = load_exported(exported)
    cli.model.eval()
    batch = next(iter(cli.datamodule.predict_dataloader()))
    with torch.no_grad():
        again = cli.model.features(batch)
    torch.testing.assert_close(again["features"], features["features"][: len(batch)])


def test_a_checkpoint_outside_a_run_is_measured_in_the_run_folder(run_dir, small_config, tmp_path):
    copied = tmp_path / "elsewhere" / "copy.ckpt"
    copied.parent.mkdir()
    copied.write_bytes((run_dir / "checkpoints" / "last.ckpt").read_bytes())
    assert main(["validate", "--config", str(small_config), "--ckpt_path", str(copied)]) == 0
    assert (run_dir / "validate" / "metrics.csv").is_file()
    assert not (tmp_path / "validate").exists()
