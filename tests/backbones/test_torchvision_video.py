import pytest
import torch
from torchvision import models

from vidssl.backbones import build_backbone
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError

NAMES = ["mc3_18", "r2plus1d_18", "r3d_18", "s3d"]


@pytest.mark.parametrize("name", NAMES)
def test_a_torchvision_file_loads_and_gives_torchvisions_features(name, tmp_path):
    network = models.get_model(name).eval()
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    backbone = build_backbone(name).eval()
    report = load_weights(backbone, tmp_path / "theirs.pth")
    assert report.fraction == 1.0
    assert all(name.startswith(("fc.", "classifier.")) for name in report.unexpected)
    classifier = network.classifier if name == "s3d" else network.fc
    pooled = []
    classifier.register_forward_hook(lambda module, inputs, output: pooled.append(inputs[0].flatten(1)))
    clips = torch.randn(1, 3, 16, 224 if name == "s3d" else 32, 224 if name == "s3d" else 32)
    with torch.no_grad():
        network(clips)
        torch.testing.assert_close(backbone(clips), pooled[0], rtol=1e-4, atol=1e-5)


def test_unknown_weights_are_told():
    with pytest.raises(VidsslError, match=r"no weights 'KINETICS400' for r3d_18. Did you mean 'KINETICS400_V1'\?"):
        build_backbone("r3d_18", weights="KINETICS400")


def test_a_failed_download_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(VidsslError, match=r"Cannot get the weights 'KINETICS400_V1' of s3d from https://.*refused"):
        build_backbone("s3d", weights="KINETICS400_V1")
