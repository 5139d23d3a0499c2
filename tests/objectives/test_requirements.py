"""What a method requires of the data, and that a run without it is refused before it begins."""

import pytest
import torch

from vidssl.cli.main import main
from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.data import AugmentationRecipe, IntervalSampler, UniformSampler
from vidssl.data.augmentation import MCL_VIEW
from vidssl.errors import VidsslError
from vidssl.objectives import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.checks import Delivered, check_delivered, check_extras
from vidssl.objectives.contract import fault_of
from vidssl.objectives.contract_case import Case
from vidssl.types import ClipBatch

pytestmark = pytest.mark.usefixtures("no_plugins_left")

PACES = '''
from dataclasses import dataclass
import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from vidssl.data import ClipSampler
from vidssl.data.sampling import clip_indices
from vidssl.objectives import BackboneSpec, Objective, OptimizerSpec

@dataclass
class Paced(ClipSampler):
    """One clip at a speed that is drawn.

    Args:
        num_frames: frames per clip.
        paces: strides to draw from.
    """

    num_frames: int = 8
    paces: tuple[int, ...] = (1, 2, 4)
    num_clips = 1

    @property
    def stride(self):
        return self.paces[0]

    @property
    def strides(self):
        return tuple(self.paces)

    def __call__(self, num_video_frames, rng, motion=None):
        start, pace = int(rng.integers(num_video_frames)), int(rng.choice(self.paces))
        return [clip_indices(start, num_video_frames, self.num_frames, pace)]

class Pace(Objective):
    """Which speed a clip is played at.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
    """

    num_views = 1
    needs_sampler = ("Paced",)
    needs_strides = (1, 2, 4)
    defaults = {
        "data": {
            "sampler": {"class_path": "Paced", "init_args": {"num_frames": 4}},
            "augmentations": [{"crop_size": 32}],
            "batch_size": 8,
        },
        "trainer": {"max_epochs": 3},
    }

    def __init__(self, backbone: BackboneSpec = BackboneSpec(name="small"), optimizer: OptimizerSpec = OptimizerSpec()):
        super().__init__(backbone, optimizer)
        self.head = nn.Linear(self.backbone.feature_dim, 3)

    def training_step(self, batch, batch_idx):
        scores = self.head(self.backbone(self.network_input(batch.views)))
        loss = cross_entropy(scores, batch.strides[:, 0].log2().long())
        self.log_training(loss=loss.detach())
        return loss
'''


@pytest.fixture
def paces(tmp_path):
    (tmp_path / "paces.py").write_text(PACES)
    return str(tmp_path / "paces.py")


class Wanting(Objective):
    """A method that the tests give requirements."""

    num_views = 2

    def __init__(self) -> None:
        super().__init__(BackboneSpec(name="small"), OptimizerSpec())

    def training_step(self, batch, batch_idx):
        return self.backbone(self.network_input(batch.views)).mean()


@pytest.mark.parametrize(
    ("requirement", "delivered", "told"),
    [
        ({"num_views": 3}, {}, "Wanting needs 3 views per video, data.sampler gives 2"),
        (
            {"needs_sampler": ("MotionSampler", "PacedSampler")},
            {},
            "needs the sampler MotionSampler or PacedSampler, and data.sampler is UniformSampler: set data.sampler to",
        ),
        (
            {"needs_strides": (1, 2)},
            {},
            r"needs clips of the strides 1, 2, and data.sampler \(UniformSampler\) draws 2",
        ),
        ({"needs_motion": True}, {}, "learns from the motion of its clips, and data.motion is null"),
        (
            {"needs_labels": True},
            {"unlabelled": (3, 9)},
            "learns from labels, and 3 of the 9 videos of data.train_split",
        ),
        (
            {"needs_extras": {"audio": torch.zeros(3)}},
            {"extras": ("text",)},
            r"needs data.extras.audio \(there are text\)",
        ),
    ],
)
def test_what_is_missing_is_named(requirement, delivered, told):
    objective = Wanting()
    check_delivered(objective, Delivered(UniformSampler(4, 2)))  # nothing is required
    for name, value in requirement.items():
        setattr(objective, name, value)
    with pytest.raises(VidsslError, match=told):
        check_delivered(objective, Delivered(UniformSampler(4, 2), **delivered))


def test_a_sampler_below_the_one_that_is_required_will_do():
    class Nearer(IntervalSampler):
        pass

    objective = Wanting()
    objective.needs_sampler, objective.needs_strides = ("IntervalSampler",), (2,)
    check_delivered(objective, Delivered(Nearer()))


def test_extras_are_compared_with_the_examples():
    objective = Wanting()
    objective.needs_extras = {"audio": torch.zeros(3), "text": torch.zeros(2, dtype=torch.int64)}
    batch = Case("", clips=Case("").clips).batch(objective)
    assert batch.extras["audio"].shape == (4, 3)
    check_extras(objective, batch)
    wrong = ClipBatch(batch.views, batch.label, batch.index, extras={**batch.extras, "audio": torch.zeros(4, 5)})
    with pytest.raises(VidsslError, match=r"data\.extras\.audio, which gave torch.float32 of shape \(5,\)"):
        check_extras(objective, wrong)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("needs_sampler", "IntervalSampler", "needs_sampler must be a tuple of names of samplers"),
        ("needs_strides", (1, "2"), "needs_strides must be a tuple of whole numbers"),
        ("needs_labels", 1, "needs_labels must be True, False or a property"),
        ("needs_extras", {"audio": 3}, "needs_extras must map a name to an example"),
        ("defaults", {"model": {}}, "defaults must map groups of a configuration"),
        ("needs_boxes", True, "asks for needs_boxes, which no data module provides"),
    ],
)
def test_what_cannot_be_asked_for_is_told(name, value, told):
    assert told in fault_of(type("Asks", (Wanting,), {name: value}))


def test_a_method_brings_its_sampler_and_the_name_is_enough(paces, synthetic_catalog, tmp_path):
    least = ["--plugin", paces, "--objective", "Pace", "--data.catalog", str(synthetic_catalog)]
    quiet = ["--run_dir", str(tmp_path / "run"), "--wandb.mode", "disabled"]
    built = VidsslCLI("fit", [*least, *quiet])
    assert (built.datamodule.batch_size, built.trainer.max_epochs) == (8, 3)
    batch = next(iter(built.datamodule.train_dataloader()))
    assert batch.strides.shape == (8, 1)
    assert set(batch.strides.flatten().tolist()) <= {1, 2, 4}
    assert torch.equal(batch.part(slice(2, 4)).strides, batch.strides[2:4])
    (tmp_path / "mine.yaml").write_text("data: {augmentations: [{crop_size: 16, flip_probability: 0.5}]}")
    mine = ["--config", str(tmp_path / "mine.yaml"), "--data.batch_size", "4", "--data.sampler.num_frames", "6"]
    built = VidsslCLI("fit", [*least, *quiet, *mine])
    assert [recipe.crop_size for recipe in built.datamodule.augmentations] == [16]
    assert (built.datamodule.batch_size, built.datamodule.sampler.num_frames) == (4, 6)  # flags win


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--data.sampler", "UniformSampler", "--data.sampler.num_clips", "1"], "Pace needs the sampler Paced, and"),
        (["--data.sampler.paces", "[1, 2]"], "Pace needs clips of the strides 1, 2, 4, and data.sampler (Paced) draws"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused_before_the_run(
    paces, synthetic_catalog, tmp_path, changed, told, capsys
):
    run = ["--plugin", paces, "--objective", "Pace", "--data.catalog", str(synthetic_catalog)]
    folder = ["--run_dir", str(tmp_path / "run"), "--wandb.mode", "disabled"]
    assert main(["fit", *run, *folder, *changed]) == 2
    assert told in capsys.readouterr().err
    assert list((tmp_path / "run").glob("*.ckpt")) == []


def test_a_plugin_with_its_own_sampler_keeps_the_contract(paces, capsys):
    assert main(["check", "objective", "Pace", "--plugin", paces, "--size", "16"]) == 0, capsys.readouterr().out
    assert "1 views per video, with strides 1, 2, 4, Paced" in capsys.readouterr().out


def test_mcl_has_the_data_that_it_needs_and_files_replace_it_key_by_key(synthetic_catalog, tmp_path):
    run = ["--objective", "MCL", "--data.catalog", str(synthetic_catalog), "--model.backbone.name", "small"]
    quiet = ["--run_dir", str(tmp_path / "run"), "--wandb.mode", "disabled"]
    data = VidsslCLI("fit", [*run, *quiet]).datamodule
    assert type(data.sampler).__name__ == "MotionSampler"
    assert data.augmentations == [MCL_VIEW] * 4
    assert data.motion is not None
    (tmp_path / "mine.yaml").write_text(
        "data: {augmentations: [{crop_size: 112}], sampler: {class_path: MotionSampler}}"
    )
    data = VidsslCLI("fit", ["--config", str(tmp_path / "mine.yaml"), *run, *quiet]).datamodule
    assert data.augmentations == [AugmentationRecipe(crop_size=112)] * 4  # nothing of the method's own recipe
