import pytest
import torch
from torchvision import models

from vidssl.backbones import build_backbone
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError


@pytest.mark.parametrize(("name", "theirs"), [("resnet2d_18", "resnet18"), ("resnet2d_50", "resnet50")])
def test_features_are_the_mean_of_torchvisions_over_the_frames(name, theirs, tmp_path):
    torch.manual_seed(0)
    network = models.get_model(theirs).eval()
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    backbone = build_backbone(name).eval()
    report = load_weights(backbone, tmp_path / "theirs.pth")
    assert (report.fraction, report.inflated) == (1.0, ())
    assert report.unexpected == ("fc.weight", "fc.bias")
    network.fc = torch.nn.Identity()
    clips = torch.randn(2, 3, 5, 64, 64)
    with torch.no_grad():
        expected = torch.stack([network(clips[:, :, frame]) for frame in range(5)]).mean(dim=0)
        maps = backbone.forward_maps(clips)
        torch.testing.assert_close(backbone(clips), expected, rtol=1e-4, atol=1e-4)
        assert maps.shape == (2, backbone.feature_dim, 5, 2, 2)
        torch.testing.assert_close(maps[1, :, 3].mean(dim=(1, 2)), network(clips[1:, :, 3])[0], rtol=1e-4, atol=1e-4)


def test_the_aligned_map_has_the_layout_of_the_clips():
    torch.manual_seed(0)
    backbone = build_backbone("resnet2d_18").eval()
    clips = torch.randn(2, 3, 3, 32, 32)
    _, together = backbone.forward_aligned(clips)
    _, alone = backbone.forward_aligned(clips[1:, :, 2:])
    assert together.shape == (2, 512, 3, 1, 1)
    torch.testing.assert_close(together[1, :, 2], alone[0, :, 0], rtol=1e-4, atol=1e-4)


def test_unknown_weights_are_told():
    with pytest.raises(VidsslError, match=r"no weights 'IMAGENET' for resnet50.*Known: IMAGENET1K_V1, IMAGENET1K_V2"):
        build_backbone("resnet2d_50", weights="IMAGENET")
