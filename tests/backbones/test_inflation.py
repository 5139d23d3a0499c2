import pytest
import torch
from torchvision import models

from vidssl.backbones import build_backbone
from vidssl.backbones.inflation import inflate_kernel
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError


def trained_image_network(name):
    """A 2D ResNet whose normalisations do something, like those of a trained one."""
    torch.manual_seed(0)
    network = models.get_model(name)
    for tensor_name, tensor in network.state_dict().items():
        if tensor_name.endswith(("bn1.weight", "bn2.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif tensor_name.endswith((".bias", "running_mean")):
            tensor.normal_(0, 0.1)
    return network


def save_moco(network, path):
    """The layout of MoCo v2's published ImageNet checkpoints, down to the format of torch files of 2020."""
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("fc.")}
    head = {
        "fc.0.weight": torch.zeros(8, 8),
        "fc.0.bias": torch.zeros(8),
        "fc.2.weight": torch.zeros(4, 8),
        "fc.2.bias": torch.zeros(4),
    }
    average = {f"module.encoder_k.{name}": torch.zeros_like(tensor) for name, tensor in (state | head).items()}
    learning = {f"module.encoder_q.{name}": tensor for name, tensor in (state | head).items()}
    queue = {"module.queue": torch.zeros(4, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    content = {"epoch": 200, "arch": "resnet50", "state_dict": average | learning | queue, "optimizer": {"state": {}}}
    torch.save(content, path, _use_new_zipfile_serialization=False)


def loaded(name, path):
    backbone = build_backbone(name).eval()
    return backbone, load_weights(backbone, path)


def test_a_kernel_is_spread_evenly_or_put_on_one_frame():
    kernel = torch.randn(2, 3, 5, 5)
    even = inflate_kernel(kernel, 4, None)
    assert even.shape == (2, 3, 4, 5, 5)
    assert torch.equal(even[:, :, 0], even[:, :, 3])
    torch.testing.assert_close(even.sum(dim=2), kernel)
    single = inflate_kernel(kernel, 4, 1)
    assert torch.equal(single[:, :, 1], kernel)
    assert not single[:, :, [0, 2, 3]].any()
    assert torch.equal(inflate_kernel(kernel, 1, 1)[:, :, 0], kernel)


# Kernels of a 2D ResNet, temporal kernels of its P3D-A.
@pytest.mark.parametrize(("depth", "num_kernels", "num_temporal"), [(18, 20, 16), (50, 53, 16)])
def test_p3d_inflated_from_moco_sees_every_fourth_frame_as_the_2d_network_does(
    depth, num_kernels, num_temporal, tmp_path
):
    save_moco(trained_image_network(f"resnet{depth}"), tmp_path / "moco.pth.tar")
    p3d, report = loaded(f"p3d_a_r{depth}", tmp_path / "moco.pth.tar")
    frames, report_2d = loaded(f"resnet2d_{depth}", tmp_path / "moco.pth.tar")
    assert report.prefix == report_2d.prefix == "module.encoder_q."
    assert report.fraction == report_2d.fraction == 1.0
    assert (len(report.inflated), len(report.identities)) == (num_kernels, num_temporal)
    assert {name for name in report.unexpected if "encoder_q" in name} == {
        f"module.encoder_q.fc.{number}.{part}" for number in (0, 2) for part in ("weight", "bias")
    }
    clips = torch.randn(2, 3, 12, 64, 64)
    with torch.no_grad():
        # The stem looks at the second frame of every four; identities keep the frames apart, at the borders too.
        maps, expected = p3d.forward_maps(clips), frames.forward_maps(clips[:, :, 1::4])
        torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
        still = clips[:, :, :1].expand_as(clips)
        features, expected = p3d(still), frames(still)
        torch.testing.assert_close(features, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_slow_inflated_gives_the_2d_features_of_a_still_clip_away_from_its_ends(tmp_path):
    torch.save(trained_image_network("resnet18").state_dict(), tmp_path / "resnet18.pth")
    slow, report = loaded("slow_r18", tmp_path / "resnet18.pth")
    frames, _ = loaded("resnet2d_18", tmp_path / "resnet18.pth")
    assert (report.fraction, len(report.inflated), report.identities) == (1.0, 20, ())
    # Four temporal kernels of 3 see four frames to either side: the fifth of nine sees no padding.
    still = torch.randn(1, 3, 1, 64, 64).expand(1, 3, 9, 64, 64)
    with torch.no_grad():
        maps, expected = slow.forward_maps(still), frames.forward_maps(still)
    torch.testing.assert_close(maps[:, :, 4], expected[:, :, 4], rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["slow_r50", "r3d_50"])
def test_bottlenecks_of_the_slow_family_are_inflated(name, tmp_path):
    network = trained_image_network("resnet50")
    torch.save(network.state_dict(), tmp_path / "resnet50.pth")
    backbone, report = loaded(name, tmp_path / "resnet50.pth")
    assert (report.fraction, len(report.inflated)) == (1.0, 53)
    theirs, ours = network.state_dict(), backbone.state_dict()
    torch.testing.assert_close(ours["blocks.0.conv.weight"].sum(dim=2), theirs["conv1.weight"])
    conv_a = ours["blocks.4.res_blocks.2.branch2.conv_a.weight"]
    assert conv_a.shape[2] == 3
    torch.testing.assert_close(conv_a.sum(dim=2), theirs["layer4.2.conv1.weight"])
    assert torch.equal(ours["blocks.2.res_blocks.0.branch1_norm.bias"], theirs["layer2.0.downsample.1.bias"])
    assert torch.equal(ours["blocks.3.res_blocks.5.branch2.norm_c.running_var"], theirs["layer3.5.bn3.running_var"])


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18"])
def test_torchvisions_3d_resnets_are_inflated(name, tmp_path):
    network = trained_image_network("resnet18")
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    backbone, report = loaded(name, tmp_path / "resnet18.pth")
    assert (report.fraction, len(report.inflated), report.identities) == (1.0, 20, ())
    theirs, ours = network.state_dict(), backbone.state_dict()
    torch.testing.assert_close(ours["stem.0.weight"].sum(dim=2), theirs["conv1.weight"])
    torch.testing.assert_close(ours["layer3.0.conv2.0.weight"].sum(dim=2), theirs["layer3.0.conv2.weight"])
    assert torch.equal(ours["layer3.0.conv2.1.running_mean"], theirs["layer3.0.bn2.running_mean"])


@pytest.mark.parametrize("name", ["r2plus1d_18", "s3d", "small", "p3d_a_r50"])
def test_a_2d_network_that_does_not_fit_is_refused_and_changes_nothing(name, tmp_path):
    torch.save(models.get_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    backbone = build_backbone(name)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(VidsslError, match=r"resnet18.pth.*tensors matched(?s:.*)another architecture"):
        load_weights(backbone, tmp_path / "resnet18.pth")
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_the_report_tells_what_was_inflated(tmp_path):
    state = models.get_model("resnet18").state_dict()
    del state["layer4.1.bn2.bias"]
    torch.save(state, tmp_path / "part.pth")
    _, report = loaded("p3d_a_r18", tmp_path / "part.pth")
    assert report.missing == ("layer4.1.bn2.bias",)
    # 20 kernels and 20 normalisations of 4 tensors, and 16 temporal kernels.
    assert "115 of 116 tensors matched (99%)" in str(report)
    assert "inflated from 2D kernels: 20 (conv1.weight, " in str(report)
    assert "temporal kernels set to the identity: 16 (layer1.0.conv1_t.weight, " in str(report)


def test_a_3d_file_with_gaps_keeps_its_temporal_kernels(tmp_path):
    torch.manual_seed(0)
    state = build_backbone("p3d_a_r18").state_dict()
    del state["layer4.1.conv2_t.weight"]
    torch.save(state, tmp_path / "part.pth")
    backbone, report = loaded("p3d_a_r18", tmp_path / "part.pth")
    assert report.missing == ("layer4.1.conv2_t.weight",)
    assert torch.equal(backbone.state_dict()["layer1.0.conv1_t.weight"], state["layer1.0.conv1_t.weight"])
