"""The code of the guides, run as it stands there."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vidssl.cli.main import main
from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.plugins.files import load_plugin_file

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(code):
    """Run a block; return its names and what it printed."""
    names = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "guide", "exec"), names)
    return names, printed.getvalue()


@pytest.fixture
def beside_the_videos(synthetic_catalog, tmp_path, monkeypatch):
    """A folder in which the embedded videos are where the quick start draws them."""
    shutil.copytree(synthetic_catalog.parent, tmp_path / "data" / "synthetic")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_method_is_trained_from_python(beside_the_videos):
    code = blocks("guides/python.md")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    _, printed = run(code)
    assert "48 videos of ['left_right'" in printed
    assert 0 <= float(re.search(r"nearest neighbours: tensor\((.*?)\)", printed)[1]) <= 1
    assert (beside_the_videos / "cvrl.ckpt").exists()


def test_parts_by_themselves():
    names, _ = run(blocks("guides/python.md")[2])
    assert names["features"].shape == (4, 128)
    assert names["maps"].shape == (4, 128, 2, 4, 4)
    assert names["loss"] > 0


@pytest.fixture
def loaded(tmp_path, monkeypatch, no_plugins_left):
    """Save blocks of Python of a page, the first if no other are named, as a plug-in file, and load it."""

    def load(page, name, numbers=(0,)):
        (tmp_path / name).write_text("\n\n".join(blocks(page)[number] for number in numbers))
        return load_plugin_file(str(tmp_path / name))

    return load


def test_a_sampler_of_ones_own(loaded, capsys):
    page = "guides/own_sampler.md"
    names = {"PaceSampler": loaded(page, "paces.py").PaceSampler}
    exec(blocks(page)[1], names)  # the page's test
    assert names["results"]
    assert main(["list", "samplers"]) == 0
    assert re.search(r"PaceSampler +plug-in paces:PaceSampler", capsys.readouterr().out)
    assert main(["check", "sampler", "PaceSampler", "--sampler.num_frames", "8", "--sampler.paces", "[1, 3]"]) == 0
    assert "2 clips of 8 frames, stride 1, 3" in capsys.readouterr().out
    assert main(["check", "sampler", "PaceSampler", "--sampler.num_frames", "0"]) == 1


def test_an_operation_of_ones_own(loaded, small_config, tmp_path, capsys):
    page = "guides/own_operation.md"
    names = {"EraseSquare": loaded(page, "erasing.py", (0, 2)).EraseSquare}
    exec(blocks(page)[1], names)
    assert names["results"]
    assert main(["check", "operation", "EraseSquare", "--operation.share", "0.5"]) == 0
    assert re.search(r"not claimed +device +no device_steps", capsys.readouterr().out)
    assert main(["check", "operation", "EraseSquareAnywhere"]) == 0
    assert re.search(r"passed +device +0\.00 levels", capsys.readouterr().out)
    yaml_block = re.findall(r"```yaml\n(plugin.*?)```", (DOCS / page).read_text(), re.DOTALL)[0]
    (tmp_path / "page.yaml").write_text(yaml_block.replace("plugin: erasing.py", ""))
    configs = ["--config", str(small_config), "--config", str(tmp_path / "page.yaml")]
    data = VidsslCLI("fit", [*configs, "--wandb.mode", "disabled"]).datamodule
    erase, blur = data.augmentations[0].operations
    assert (erase.share, blur.probability) == (0.5, 0.3)
    assert next(iter(data.train_dataloader())).views[0].shape == (8, 3, 4, 56, 56)


def test_extra_tensors_of_ones_own(loaded, small_config):
    assert loaded("guides/own_parts.md", "speech.py")
    words = ["--data.extras", "{words: {class_path: SpokenWords}}"]
    data = VidsslCLI("fit", ["--config", str(small_config), *words, "--wandb.mode", "disabled"]).datamodule
    batch = next(iter(data.train_dataloader()))
    assert batch.extras["words"].shape == (8, 16)
    assert batch.extras["words"].dtype == torch.int64


def test_the_method_of_the_readme_trains_as_a_script(beside_the_videos):
    """On a screen: at most 15 lines besides the imports, and a page of at most 120."""
    page = (DOCS.parent / "README.md").read_text()
    assert len(page.splitlines()) <= 120
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 15
    script = beside_the_videos / "my_method.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=beside_the_videos, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    accuracy = re.findall(r"tensor\((.*?)\)", done.stdout)[-1]
    assert 0 <= float(accuracy) <= 1
