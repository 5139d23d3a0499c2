"""Plug-ins as their users have them: a package installed by pip and a file, neither of them in the checkout."""

import os
import re
import subprocess
import sys
import textwrap

import pytest
import yaml

from vidssl.cli.main import main
from vidssl.cli.new import choose_names, write_package
from vidssl.runs.metrics_csv import read_metrics

# Packages that are broken, each in another way: name of the objective -> (the package's only file, what is said of it).
BROKEN = {
    "ImportsNothing": ("import no_such_package", r"imported: ModuleNotFoundError: No module named 'no_such_package'"),
    "WrongBase": (
        "import torch\nclass WrongBase(torch.nn.Module): pass",
        r"used: WrongBase is a class below torch\.nn",
    ),
    "NoClass": ("NoClass = 3", r"used: it is of type int, not a class below vidssl\.objectives\.base\.Objective"),
    "Misspelt": (
        "class Mispelt: pass",
        r"imported: AttributeError: module 'broken_misspelt' has no attribute 'Misspelt'",
    ),
    "NoStep": (
        "from vidssl.objectives.base import Objective\nclass NoStep(Objective): pass",
        r"used: NoStep has no training_step\(self, batch, batch_idx\), which returns the loss",
    ),
    "UnknownViews": (
        """
        from vidssl.objectives.base import Objective
        class UnknownViews(Objective):
            num_views = ["query", "key"]
            def training_step(self, batch, batch_idx): pass
        """,
        r"used: UnknownViews\.num_views must be the number of clips of each video, 1 or more, got \['query', 'key'\]",
    ),
    "AsksForFlow": (
        """
        from vidssl.objectives.base import Objective
        class AsksForFlow(Objective):
            needs_flow = True
            def training_step(self, batch, batch_idx): pass
        """,
        r"used: AsksForFlow asks for needs_flow, which no data module provides",
    ),
    # as MoCo, which exists
    "MoCo": (
        "class MoCo: pass",
        r"'MoCo' is claimed by vidssl\.objectives\.moco:MoCo \(vidssl\) and by broken_moco:MoCo \(",
    ),
}

FILE = """
import numpy as np
import torch.nn.functional as F
from vidssl.backbones.contract import Backbone
from vidssl.data.sampling import EvenlySpacedSampler
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from torch import nn


class BackwardsSampler(EvenlySpacedSampler):
    '''Clips from the last frame to the first.'''

    def __call__(self, *args, **kwargs):
        return [np.ascontiguousarray(clip[::-1]) for clip in super().__call__(*args, **kwargs)]


class OneLayer(Backbone):
    def __init__(self, width: int = 8):
        super().__init__()
        self.conv = nn.Conv3d(3, width, 3, stride=(2, 4, 4), padding=1)
        self.feature_dim, self.alignment_layer, self.stride = width, "conv", (2, 4, 4)

    def compute_maps(self, clips):
        return self.conv(clips).relu()


class FromOneFile(Objective):
    '''Features of two clips agree, in few dimensions or many.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        weight: of the loss.
    '''

    def __init__(
        self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec(), weight: float = 1.0
    ) -> None:
        super().__init__(backbone, optimizer)
        self.weight = weight

    def training_step(self, batch, batch_idx):
        view1, view2 = self.backbone(self.network_input(batch.views)).chunk(2)
        loss = self.weight * F.mse_loss(view1, view2)
        self.log_training(loss=loss.detach())
        return loss
"""

pytestmark = pytest.mark.usefixtures("no_plugins_left")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with packages in it as pip leaves them: the one that vidssl writes, and the broken ones."""
    folder = tmp_path_factory.mktemp("site-packages")
    source = tmp_path_factory.mktemp("source")
    write_package(choose_names("TwoClipsAgree"), source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(source)], check=True, timeout=120)
    for name, (code, _) in BROKEN.items():
        module = f"broken_{name.lower()}"
        (folder / f"{module}.py").write_text(textwrap.dedent(code))
        metadata = folder / f"{module}-0.1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n")
        (metadata / "entry_points.txt").write_text(f"[vidssl.objectives]\n{name} = {module}:{name}\n")
    return folder


def short_config(small_config, tmp_path, **changes):
    """The small configuration with other keys at its top; None leaves one out."""
    config = {**yaml.safe_load(small_config.read_text()), **changes}
    file = tmp_path / "plugin.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return str(file)


def train_ours(small_config, tmp_path):
    """Train CVRL and MCL on the same videos for an epoch each; return the folders of their runs."""
    once = ["--trainer.max_epochs", "1", "--wandb.mode", "disabled", "--no-plugins"]
    data = yaml.safe_load(small_config.read_text())["data"]
    data["sampler"] = {"class_path": "MotionSampler", "init_args": {"num_frames": 4, "stride": 2}}
    data["motion"] = {"settings": {"estimator": "dis"}, "target_shape": [2, 4, 4]}
    data["augmentations"] = data["augmentations"][:1]
    contrast = {"embedding_dim": 16, "hidden_dim": 32, "queue_size": 24}
    model = {"backbone": {"name": "small"}, "contrast": contrast, "optimizer": {"name": "adamw", "warmup_epochs": 1}}
    folders = {"cvrl": str(small_config)}
    folders["mcl"] = short_config(small_config, tmp_path, objective="MCL", model=model, data=data)
    for folder, config in folders.items():
        assert main(["fit", "--config", config, "--run_dir", str(tmp_path / folder), *once]) == 0
        os.environ.pop("VIDSSL_PLUGINS")
    return [tmp_path / folder for folder in folders]


def metric_names(run):
    return {name for row in read_metrics(run) for name in row}


def test_an_installed_package_is_listed_trained_evaluated_and_compared(
    installed, small_config, tmp_path, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(str(installed))
    assert main(["list", "objectives"]) == 0
    told = capsys.readouterr().out
    assert "TwoClipsAgree   plug-in two_clips_agree.objective:TwoClipsAgree (package two-clips-agree 0.1.0)" in told
    assert re.search(r"^CVRL +two clips", told, re.MULTILINE)
    for name, (_, message) in BROKEN.items():
        assert re.search(rf"^{name} +BROKEN: .*{message}", told, re.MULTILINE), name

    model = {"backbone": {"name": "small"}, "embedding_dim": 16, "optimizer": {"name": "adamw", "warmup_epochs": 1}}
    config = short_config(small_config, tmp_path, objective="TwoClipsAgree", model=model)
    assert main(["fit", "--config", config, "--trainer.max_epochs", "1", "--wandb.mode", "disabled"]) == 0
    warned = capsys.readouterr().err
    for name, (_, message) in BROKEN.items():  # told, and in nobody's way
        assert re.search(rf"warning: .*{message}", warned), name
    run = tmp_path / "runs" / "small"
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["model"]["class_path"] == "two_clips_agree.objective.TwoClipsAgree"
    assert {"train/loss", "train/similarity", "eval/synthetic/knn/top1"} <= metric_names(run)

    catalog = str(saved["data"]["catalog"])
    clips = ["num_frames=4", "num_clips=1", "resize=32", "crop_size=32"]
    args = ["--checkpoint", str(run / "checkpoints" / "last.ckpt"), "--data", catalog, "--protocol", "knn"]
    assert main(["evaluate", *args, "--set", *clips, "--num-workers", "0", "--output", str(tmp_path / "measured")]) == 0
    assert "top1" in capsys.readouterr().out

    runs = [run, *train_ours(small_config, tmp_path)]
    page, table = tmp_path / "comparison.html", tmp_path / "table.md"
    capsys.readouterr()
    assert main(["compare", *map(str, runs), "--html", str(page), "--markdown", str(table)]) == 0
    for method in ("TwoClipsAgree", "CVRL", "MCL"):
        assert method in table.read_text()
        assert method in page.read_text()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_says_so_when_its_objective_is_asked_for(name, installed, small_config, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(installed))
    assert main(["fit", "--config", str(small_config), "--objective", name]) == 2
    told = capsys.readouterr().err
    assert re.search(BROKEN[name][1], told)
    assert f"package broken_{name.lower()} 0.1" in told


def test_a_broken_package_is_not_even_looked_at_when_plugins_are_off(installed, small_config, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv("VIDSSL_PLUGINS", "1")  # put back afterwards
    args = ["--config", str(small_config), "--objective", "MoCo", "--model.contrast.queue_size", "16"]
    one_step = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "0", "--wandb.mode", "disabled"]
    assert main(["fit", "--no-plugins", *args, *one_step]) == 0
    assert "broken" not in capsys.readouterr().err


def test_a_file_trains_on_two_processes_with_workers_and_resumes(small_config, tmp_path, monkeypatch, capsys):
    """The other process, its loader workers and those who continue find the file, its sampler and its backbone."""
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "from_one_file.py"
    file.write_text(FILE)
    data = yaml.safe_load(small_config.read_text())["data"]
    sampler = {"class_path": "BackwardsSampler", "init_args": {"num_frames": 4, "stride": 2, "num_clips": 2}}
    data |= {"sampler": sampler, "loading": {"num_workers": 1}}
    model = {"backbone": {"name": "OneLayer", "options": {"width": 4}}, "weight": 0.5}
    model["optimizer"] = {"name": "adamw", "warmup_epochs": 1}
    config = short_config(small_config, tmp_path, objective="FromOneFile", model=model, data=data)
    command = [sys.executable, "-m", "vidssl.cli.main", "fit", "--config", config, "--plugin", str(file)]
    command += ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_epochs", "1"]
    done = subprocess.run(
        [*command, "--wandb.mode", "disabled"], capture_output=True, text=True, timeout=500, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]

    run = tmp_path / "runs" / "small"
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["plugin"] == [str(file)]
    assert (run / "plugins" / file.name).read_text() == FILE
    assert saved["model"]["class_path"] == "from_one_file.FromOneFile"
    assert saved["data"]["sampler"]["class_path"] == "from_one_file.BackwardsSampler"
    assert {"train/loss", "eval/synthetic/knn/top1"} <= metric_names(run)

    continued = ["--config", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
    one_process = ["--trainer.devices", "1", "--trainer.strategy", "auto", "--data.loading.num_workers", "0"]
    assert main(["fit", *continued, *one_process, "--trainer.max_epochs", "2"]) == 0
    assert max(row["step"] for row in read_metrics(run) if "train/loss" in row) == 7  # of 0 to 7
    capsys.readouterr()
    exported = tmp_path / "backbone.safetensors"
    last = str(run / "checkpoints" / "last.ckpt")
    assert main(["export", "--checkpoint", last, "--output", str(exported), "--plugin", str(file)]) == 0
    assert "OneLayer" in capsys.readouterr().out
