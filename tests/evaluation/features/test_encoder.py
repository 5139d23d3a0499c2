import pytest
import torch

from vidssl.backbones import build_backbone
from vidssl.backbones.export import export_backbone
from vidssl.errors import VidsslError
from vidssl.evaluation.features.encoder import OutsideWeights, load_encoder, sha256_of
from vidssl.objectives.base import BackboneSpec
from vidssl.objectives.moco import MoCo
from vidssl.types import ClipBatch

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of MoCo whose two encoders differ, and the objective."""
    torch.manual_seed(3)
    objective = MoCo(BackboneSpec("small", pixel_mean=MEAN, pixel_std=STD)).eval()
    for name, tensor in objective.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
        if "momentum" in name and tensor.is_floating_point():
            tensor.mul_(2)
    file = tmp_path_factory.mktemp("run") / "last.ckpt"
    content = {"state_dict": objective.state_dict(), "hyper_parameters": dict(objective.hparams)}
    torch.save({**content, "epoch": 4, "global_step": 40}, file)
    return file, objective


def batch():
    generator = torch.Generator().manual_seed(0)
    views = [torch.randint(0, 256, (2, 3, 4, 32, 32), generator=generator).to(torch.uint8) for _ in range(3)]
    return ClipBatch(views, label=torch.tensor([1, 0]), index=torch.tensor([5, 7]))


@torch.no_grad()
def features(module):
    return module.predict_step(batch(), 0)


def test_our_checkpoint_gives_the_features_of_the_network_that_learns(checkpoint):
    file, objective = checkpoint
    loaded = load_encoder(file)
    expected, found = features(objective), features(loaded.encoder)
    assert found["features"].shape == (2, 3, 128)
    assert found["index"].tolist() == [5, 7]
    assert torch.equal(found["features"], expected["features"])
    told = loaded.provenance
    assert told["sha256"] == sha256_of(file)
    assert (told["kind"], told["objective"], told["backbone"]) == ("checkpoint", "MoCo", "small")
    assert (told["epoch"], told["global_step"]) == (4, 40)
    assert (tuple(told["pixel_mean"]), tuple(told["pixel_std"])) == (MEAN, STD)
    assert "network that learns" in told["encoder"]
    assert loaded.trained_on is None


def test_an_export_gives_the_same(checkpoint, tmp_path):
    file, objective = checkpoint
    export_backbone(file, tmp_path / "backbone.safetensors")
    loaded = load_encoder(tmp_path / "backbone.safetensors")
    assert torch.equal(features(loaded.encoder)["features"], features(objective)["features"])
    assert (loaded.provenance["kind"], loaded.provenance["epoch"]) == ("export", 4)
    assert loaded.provenance["objective"] == "MoCo"


def test_other_peoples_weights_need_a_backbone_and_come_with_a_report(tmp_path):
    torch.manual_seed(1)
    theirs = build_backbone("small", width=2).eval()
    file = tmp_path / "theirs.pth"
    torch.save(
        {"state_dict": {f"module.encoder_q.{name}": tensor for name, tensor in theirs.state_dict().items()}}, file
    )
    with pytest.raises(VidsslError, match=r"does not say which backbone it holds.*vidssl list backbones"):
        load_encoder(file)
    loaded = load_encoder(file, OutsideWeights("small", {"width": 2}, pixel_mean=MEAN, pixel_std=STD))
    assert loaded.report.fraction == 1
    assert loaded.provenance["encoder"] == "names with the prefix 'module.encoder_q.'"
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, loaded.encoder.backbone.state_dict()[name])
    with pytest.raises(VidsslError, match="Less than 90% of the tensors match"):
        load_encoder(file, OutsideWeights("small"))


def test_a_backbone_that_contradicts_the_file_is_refused(checkpoint):
    with pytest.raises(VidsslError, match=r"holds small with the options \{\}, not r3d_18"):
        load_encoder(checkpoint[0], OutsideWeights("r3d_18"))
    assert load_encoder(checkpoint[0], OutsideWeights("small")).provenance["backbone"] == "small"


def test_a_checkpoint_that_lacks_tensors_is_refused(checkpoint, tmp_path):
    content = torch.load(checkpoint[0], weights_only=True)
    del content["state_dict"]["backbone.stem.0.weight"]
    torch.save(content, tmp_path / "torn.ckpt")
    with pytest.raises(VidsslError, match=r"does not hold a complete small.*\n.*\n.*stem\.0\.weight"):
        load_encoder(tmp_path / "torn.ckpt")


def test_an_untrained_network_depends_on_its_seed_and_leaves_the_generator_alone():
    before = torch.get_rng_state()
    first, same, other = (load_encoder(None, OutsideWeights("small", seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    digests = [loaded.provenance["sha256"] for loaded in (first, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert first.trained_on == ()
    with pytest.raises(VidsslError, match="needs a backbone's name"):
        load_encoder(None)


def test_it_stays_frozen(checkpoint):
    frozen = load_encoder(checkpoint[0]).encoder
    frozen.train()
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    before = {name: tensor.clone() for name, tensor in frozen.state_dict().items()}
    features(frozen)
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen.state_dict().items())
