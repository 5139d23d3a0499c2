import argparse

import pytest
import torch

from vidssl.backbones import build_backbone
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError


def norm_shapes(name, channels):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in parts}, f"{name}.num_batches_tracked": ()}


def released_shapes():
    """Names and shapes of the encoder in MCL's released code (model/backbone.py at bdf8141), of depth 50."""
    shapes = {"conv1.weight": (64, 3, 4, 7, 7), **norm_shapes("bn1", 64)}
    channels = 64
    for stage, (inner, num_blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        for number in range(num_blocks):
            block = f"layer{stage}.{number}"
            shapes[f"{block}.conv1.weight"] = (inner, channels, 1, 1, 1)
            shapes |= norm_shapes(f"{block}.bn1", inner)
            shapes[f"{block}.conv2.weight"] = (inner, inner, 1, 3, 3)
            shapes[f"{block}.conv2_t.weight"] = (inner, inner, 3, 1, 1)
            shapes |= norm_shapes(f"{block}.bn2", inner)
            shapes[f"{block}.conv3.weight"] = (4 * inner, inner, 1, 1, 1)
            shapes |= norm_shapes(f"{block}.bn3", 4 * inner)
            if number == 0:
                shapes[f"{block}.downsample.0.weight"] = (4 * inner, channels, 1, 1, 1)
                shapes |= norm_shapes(f"{block}.downsample.1", 4 * inner)
            channels = 4 * inner
    return shapes


def released_heads():
    """The rest of the released model: two contrastive heads, the head of the order task and its classifier."""
    shapes = {"order_classfier.fc.weight": (2, 384), "order_classfier.fc.bias": (2,)}
    for head in ("nce_inter_head", "nce_intra_head", "order_head"):
        shapes |= {f"{head}.head.0.weight": (2048, 2048), f"{head}.head.0.bias": (2048,)}
        shapes |= {f"{head}.head.2.weight": (128, 2048), f"{head}.head.2.bias": (128,)}
    return shapes


def random_tensors(shapes, prefix, seed):
    generator = torch.Generator().manual_seed(seed)
    return {prefix + name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def count(backbone):
    return sum(parameter.numel() for parameter in backbone.parameters())


def on_meta(name):
    with torch.device("meta"):
        return build_backbone(name)


def test_names_shapes_and_parameters_are_those_of_the_released_code():
    backbone = on_meta("p3d_a_r50")
    assert {name: tuple(tensor.shape) for name, tensor in backbone.state_dict().items()} == released_shapes()
    # ResNet-50 without its classifier, 16 temporal convolutions, 3 more frames under the stem.
    temporal = 3 * (3 * 64**2 + 4 * 128**2 + 6 * 256**2 + 3 * 512**2)
    assert count(backbone) == 23_508_032 + temporal + 64 * 3 * 3 * 7 * 7 == 27_308_672


def test_depth_18_has_two_temporal_convolutions_a_block():
    temporal = 3 * 4 * (64**2 + 128**2 + 256**2 + 512**2)
    assert count(on_meta("p3d_a_r18")) == 11_176_512 + temporal + 64 * 3 * 3 * 7 * 7 == 15_382_656


def test_a_checkpoint_of_the_released_code_loads_whole(tmp_path):
    encoder, heads = released_shapes(), released_heads()
    learning = random_tensors(encoder, "module.backbone.", 0) | random_tensors(heads, "module.", 1)
    average = random_tensors(encoder, "module.backbone.", 2) | random_tensors(heads, "module.", 3)
    checkpoint = {
        "opt": argparse.Namespace(dataset="ucf101", crop=0.2, lr_decay_epochs=[120, 160, 200]),
        "model": learning,
        "model_ema": average,
        "contrast": {"memory": torch.zeros(4, 128), "params": torch.zeros(1)},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "scheduler": {"last_epoch": 3, "base_lrs": [0.01], "after_scheduler": {"T_max": 10}},
        "epoch": 200,
    }
    torch.save(checkpoint, tmp_path / "current.pth")
    backbone = build_backbone("p3d_a_r50")
    report = load_weights(backbone, tmp_path / "current.pth")
    assert (report.fraction, report.prefix) == (1.0, "module.backbone.")
    assert set(report.unexpected) == {f"module.{name}" for name in heads}
    assert not report.inflated
    assert not report.identities
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, learning[f"module.backbone.{name}"].to(tensor.dtype)), name


@pytest.mark.parametrize(("name", "layer"), [("p3d_a_r50", "layer4.2.conv3"), ("p3d_a_r18", "layer4.1.conv2_t")])
def test_the_last_convolution_is_aligned_at_four_times_seven_times_seven(name, layer):
    backbone = on_meta(name)
    features, maps = backbone.forward_aligned(torch.empty(2, 3, 16, 224, 224, device="meta"))
    assert backbone.alignment_layer == layer
    assert maps.shape == (2, backbone.feature_dim, 4, 7, 7)
    assert features.shape == (2, backbone.feature_dim)


def test_frames_after_the_last_whole_four_do_not_count_and_three_are_refused():
    backbone = build_backbone("p3d_a_r18").eval()
    clips = torch.randn(1, 3, 7, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone(clips), backbone(clips[:, :, :4]))
        with pytest.raises(VidsslError, match="at least T x H x W = 4 x 1 x 1"):
            backbone(clips[:, :, :3])
