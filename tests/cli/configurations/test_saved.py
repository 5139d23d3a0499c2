"""What came from the environment is a reference in what a run writes, and the run can be repeated from that."""

import yaml

from vidssl.cli.configurations.saved import keep_references, written_references
from vidssl.cli.evaluate.subjects import RunConfig
from vidssl.cli.main import main

SHORT = ["--trainer.max_steps", "2", "--trainer.accelerator", "cpu"]


def test_a_value_of_the_environment_is_in_no_file_of_the_run_and_the_run_can_be_repeated(
    small_config, tmp_path, monkeypatch
):
    config = yaml.safe_load(small_config.read_text())
    catalog = config["data"]["catalog"]
    config["data"]["root"] = "${oc.env:SECRET_FOLDER}/."
    small_config.write_text(yaml.safe_dump(config))
    (tmp_path / "token-4711").symlink_to(catalog.rpartition("/")[0])
    monkeypatch.setenv("SECRET_FOLDER", str(tmp_path / "token-4711"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["fit", "--config", str(small_config), "--run_dir", str(first), *SHORT]) == 0
    assert yaml.safe_load((first / "config.yaml").read_text())["data"]["root"] == "${oc.env:SECRET_FOLDER}/."
    holding = [file for file in first.rglob("*") if file.is_file() and b"token-4711" in file.read_bytes()]
    assert not holding
    monkeypatch.delenv("VIDSSL_RUN_DIR", raising=False)
    assert main(["fit", "--config", str(first / "config.yaml"), "--run_dir", str(second), "--wandb.mode=disabled"]) == 0
    losses = [(folder / "metrics.csv").read_text().splitlines()[1].split(",")[:2] for folder in (first, second)]
    assert losses[0] == losses[1]
    assert RunConfig.of(first / "checkpoints" / "last.ckpt").data["root"] == f"{tmp_path}/token-4711/."


def test_only_what_holds_the_value_of_a_variable_becomes_a_reference(tmp_path, monkeypatch):
    file = tmp_path / "a.yaml"
    file.write_text(
        "model: {token: '${oc.env:TOKEN}'}\nname: '${oc.env:TOKEN}-x'\nother: '${run_dir}'\n"
        "seed: '${oc.env:SEED}'\nroot: '${oc.env:TOKEN}'\n"
        "width: '${size}'\nsize: 3\nunset: '${oc.env:UNSET,7}'\n"
    )
    monkeypatch.setenv("TOKEN", "abc")
    monkeypatch.setenv("SEED", "1")
    monkeypatch.delenv("UNSET", raising=False)
    written = written_references(["--config", str(file), "--run_dir", "runs/${oc.env:TOKEN}", "--name=mine"])
    resolved = {
        "model": {"class_path": "M", "init_args": {"token": "abc"}},
        "run_dir": "runs/abc",
        "name": "mine",
        "other": "runs/abc",
        "seed": 12,  # flags that win over the file, and hold the value of a variable by chance
        "root": "abc/subset",
        "width": 3,
        "size": 3,
        "unset": 7,
    }
    assert keep_references(resolved, written) == resolved | {
        "model": {"class_path": "M", "init_args": {"token": "${oc.env:TOKEN}"}},
        "run_dir": "runs/${oc.env:TOKEN}",
        "other": "${run_dir}",
    }
