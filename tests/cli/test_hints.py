"""What to type instead: hints beside mistakes of the command line."""

import pytest

from vidssl.cli.main import main


def told(capsys, *args):
    try:
        code = main([str(arg) for arg in args])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fit", "validate"])
def test_a_verb_without_a_configuration_names_the_quick_start(verb, capsys):
    words = told(capsys, verb)
    assert words.startswith(f"vidssl: error: vidssl {verb} needs a configuration")
    assert "vidssl prepare synthetic --output data/synthetic\n  vidssl fit --config configs/quickstart.yaml" in words


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["list", "objectivs"], "'objectives'"),
        (["check", "objectiv", "CVRL"], "'objective'"),
        (["new", "objectve", "x"], "'objective'"),
        (["prepare", "syntetic"], "'synthetic'"),
        (["prepare", "synthetic", "--output", "x", "--appearance", "unike"], "'unique'"),
        (["evaluate", "--chekpoint", "x"], "'--checkpoint'"),
        (["compare", "runs/a", "--markdwn", "x"], "'--markdown'"),
        (["export", "--checkpoint", "x", "--output", "y", "--outptu=y"], "'--output'"),
        (["doctr"], "'doctor'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_probably_meant(args, hint, capsys):
    assert f"Did you mean {hint}?" in told(capsys, *args)


def test_evaluate_takes_the_folder_of_a_run_and_says_where_protocols_are_listed(tmp_path, capsys):
    words = told(capsys, "evaluate", "--checkpoint", tmp_path)
    assert words.startswith("vidssl: error: Say how to measure: `vidssl list protocols` lists")
    words = told(capsys, "evaluate", "--checkpoint", tmp_path, "--protocol", "knn")
    assert f"{tmp_path} is a folder without checkpoints/last.ckpt" in words
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"none")
    assert "last.ckpt" in told(capsys, "evaluate", "--checkpoint", tmp_path, "--protocol", "knn")


PLUGIN = """
from vidssl.errors import VidsslError
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec

class Fails(Objective):
    num_views = 1
    def __init__(
        self, backbone: BackboneSpec = BackboneSpec("resnet2d_18"), optimizer: OptimizerSpec = OptimizerSpec()
    ):
        super().__init__(backbone, optimizer)
    def training_step(self, batch, batch_idx):
        raise VidsslError("embeddings must be two")
"""


def test_check_takes_the_default_backbone_of_a_method_and_names_its_line(tmp_path, capsys, no_plugins_left):
    file = tmp_path / "own_backbone.py"
    file.write_text(PLUGIN)
    main(["check", "objective", "Fails", "--plugin", str(file), "--frames", "2", "--size", "16"])
    words = capsys.readouterr().out
    assert "backbone resnet2d_18" in words
    assert f"({file}, line 12)" in words


def test_a_broken_plugin_file_gets_advice_that_fits_a_file(tmp_path, capsys, no_plugins_left):
    file = tmp_path / "half_method.py"
    file.write_text(
        PLUGIN.replace("num_views = 1", "num_views = 'two'").replace("    def training_step", "    def other")
    )
    words = told(capsys, "check", "objective", "Fails", "--plugin", file)
    assert "uninstall" not in words
    assert "half_method.py" in words
