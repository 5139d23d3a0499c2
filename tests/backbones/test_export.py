import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import vidssl
from vidssl.backbones import build_backbone, export
from vidssl.backbones.checkpoints import CHECKSUM
from vidssl.backbones.export import export_backbone, load_exported
from vidssl.backbones.weights import load_weights
from vidssl.cli.export import run_export
from vidssl.errors import VidsslError

OPTIONS = {"width": 2}


@pytest.fixture
def trained():
    torch.manual_seed(1)
    backbone = build_backbone("small", **OPTIONS)
    backbone(torch.randn(2, 3, 8, 32, 32))  # moves the running statistics
    return backbone.eval()


@pytest.fixture
def checkpoint(trained, tmp_path):
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, trained.state_dict())
    return path


def write_checkpoint(path, state, **hyper_parameters):
    values = {
        "objective": "CVRL",
        "backbone": "small",
        "backbone_options": OPTIONS,
        "pixel_mean": [0.45, 0.45, 0.45],
        "catalog_digest": "0123456789abcdef",
    }
    content = {
        "epoch": 4,
        "global_step": 120,
        "hyper_parameters": values | hyper_parameters,
        "state_dict": {f"backbone.{name}": tensor for name, tensor in state.items()}
        | {"head.weight": torch.zeros(2, 2)},
    }
    torch.save(content, path)


def test_an_exported_backbone_is_rebuilt_from_its_file_alone(checkpoint, trained, tmp_path):
    output = tmp_path / "made" / "backbone.safetensors"
    export_backbone(checkpoint, output)
    rebuilt = load_exported(output)
    clips = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        assert torch.equal(rebuilt(clips), trained(clips))
    assert not rebuilt.training
    assert load_weights(build_backbone("small", **OPTIONS), output).fraction == 1.0
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_the_file_says_where_it_comes_from(checkpoint, tmp_path):
    provenance = export_backbone(checkpoint, tmp_path / "backbone.safetensors")
    with safe_open(tmp_path / "backbone.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", **provenance}
        assert not any(name.startswith(("backbone.", "head")) for name in file.keys())  # noqa: SIM118
    assert len(provenance[CHECKSUM]) == 8
    assert provenance == {
        CHECKSUM: provenance[CHECKSUM],
        "backbone": "small",
        "backbone_options": json.dumps(OPTIONS),
        "vidssl_version": vidssl.__version__,
        "checkpoint": "last.ckpt",
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "epoch": "4",
        "global_step": "120",
        "objective": "CVRL",
        "pixel_mean": "[0.45, 0.45, 0.45]",
        "catalog_digest": "0123456789abcdef",
    }


def test_weights_to_start_from_are_not_fetched_again(tmp_path):
    state = build_backbone("r3d_18").state_dict()
    options = {"weights": "KINETICS400_V1"}
    write_checkpoint(tmp_path / "run.ckpt", state, backbone="r3d_18", backbone_options=options)
    provenance = export_backbone(tmp_path / "run.ckpt", tmp_path / "run.safetensors")
    assert json.loads(provenance["backbone_options"]) == options
    assert torch.equal(load_exported(tmp_path / "run.safetensors").stem[0].weight, state["stem.0.weight"])


def test_the_command(checkpoint, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    assert run_export(["--checkpoint", str(checkpoint), "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "out.safetensors (" in told
    assert "global_step: 120" in told


@pytest.mark.parametrize(
    ("hyper_parameters", "told"),
    [
        ({"backbone": None}, "does not name its backbone"),
        ({"backbone": "smal"}, "Unknown backbone 'smal'"),
        ({"backbone_options": {}}, r"not hold a complete small(?s:.*)another shape"),
        ({"backbone": "slow_r18", "backbone_options": {}}, "not hold a complete slow_r18(?s:.*)missing"),
    ],
)
def test_checkpoints_that_are_not_ours_or_incomplete(hyper_parameters, told, trained, tmp_path):
    write_checkpoint(tmp_path / "bad.ckpt", trained.state_dict(), **hyper_parameters)
    with pytest.raises(VidsslError, match=told):
        export_backbone(tmp_path / "bad.ckpt", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_outputs_that_cannot_be_written(checkpoint, tmp_path):
    with pytest.raises(VidsslError, match=r"must end in .safetensors, not 'out.pt'"):
        export_backbone(checkpoint, tmp_path / "out.pt")
    with pytest.raises(VidsslError, match=r"Cannot write .*last.ckpt/out.safetensors"):
        export_backbone(checkpoint, checkpoint / "out.safetensors")


def test_a_write_that_fails_leaves_the_older_file_alone(checkpoint, tmp_path, monkeypatch):
    output = tmp_path / "out.safetensors"
    output.write_bytes(b"older")

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "save_file", full_disk)
    with pytest.raises(VidsslError, match="No space left on device"):
        export_backbone(checkpoint, output)
    assert output.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "out.safetensors"]


def test_a_file_that_is_no_export_is_told(trained, tmp_path):
    save_file({name: t.contiguous() for name, t in trained.state_dict().items()}, tmp_path / "bare.safetensors")
    with pytest.raises(VidsslError, match="does not say which backbone"):
        load_exported(tmp_path / "bare.safetensors")
