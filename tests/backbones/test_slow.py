import pytest
import torch

from vidssl.backbones import build_backbone
from vidssl.backbones.weights import load_weights


def on_meta(name, **options):
    with torch.device("meta"):
        return build_backbone(name, **options)


def count(backbone):
    return sum(parameter.numel() for parameter in backbone.parameters())


def slow_r50_state():
    """Names and shapes of PyTorchVideo's Slow R50, Kinetics-400 head included, as its published file has them."""
    state = {"blocks.0.conv.weight": torch.randn(64, 3, 1, 7, 7), **norm("blocks.0.norm", 64)}
    channels = 64
    for stage, (num_blocks, frames) in enumerate([(3, 1), (4, 1), (6, 3), (3, 3)]):
        inner = 64 * 2**stage
        for number in range(num_blocks):
            block = f"blocks.{stage + 1}.res_blocks.{number}"
            if number == 0:
                state[f"{block}.branch1_conv.weight"] = torch.randn(4 * inner, channels, 1, 1, 1)
                state |= norm(f"{block}.branch1_norm", 4 * inner)
            state[f"{block}.branch2.conv_a.weight"] = torch.randn(inner, channels, frames, 1, 1)
            state |= norm(f"{block}.branch2.norm_a", inner)
            state[f"{block}.branch2.conv_b.weight"] = torch.randn(inner, inner, 1, 3, 3)
            state |= norm(f"{block}.branch2.norm_b", inner)
            state[f"{block}.branch2.conv_c.weight"] = torch.randn(4 * inner, inner, 1, 1, 1)
            state |= norm(f"{block}.branch2.norm_c", 4 * inner)
            channels = 4 * inner
    return state | {"blocks.5.proj.weight": torch.randn(400, 2048), "blocks.5.proj.bias": torch.randn(400)}


def norm(name, channels):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": torch.rand(channels) for part in parts}


def test_r3d_50_has_the_papers_number_of_parameters():
    # CVRL, section 3: 31.7 M without the head.
    assert count(on_meta("r3d_50")) == 31_672_128
    assert round(31_672_128 / 1e6, 1) == 31.7


@pytest.mark.parametrize(
    ("name", "width", "feature_dim", "parameters"),
    [
        ("slow_r18", 1, 512, 20_023_872),
        ("slow_r50", 1, 2048, 31_634_496),  # PyTorchVideo's 32.45 M less its head of 2049 x 400
        ("r3d_50", 2, 4096, 126_488_192),
        ("r3d_50", 4, 8192, 505_552_128),
        ("r3d_152", 1, 2048, 82_036_544),
    ],
)
def test_members_of_the_family(name, width, feature_dim, parameters):
    backbone = on_meta(name, width=width)
    assert (backbone.feature_dim, count(backbone)) == (feature_dim, parameters)


def test_pytorchvideo_checkpoint_loads(tmp_path):
    state = slow_r50_state()
    torch.save({"model_state": state}, tmp_path / "SLOW_8x8_R50.pyth")
    backbone = build_backbone("slow_r50")
    report = load_weights(backbone, tmp_path / "SLOW_8x8_R50.pyth")
    assert report.fraction == 1.0
    assert report.unexpected == ("blocks.5.proj.weight", "blocks.5.proj.bias")
    for name in ("blocks.0.norm.running_var", "blocks.4.res_blocks.2.branch2.conv_c.weight"):
        assert torch.equal(backbone.state_dict()[name], state[name])


def test_only_the_stem_of_r3d_50_halves_the_frames():
    shapes = {}
    backbone = on_meta("r3d_50")
    for number, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda m, i, maps, number=number: shapes.update({number: tuple(maps.shape[1:])}))
    backbone(torch.empty(1, 3, 16, 224, 224, device="meta"))
    assert shapes == {
        0: (64, 8, 56, 56),
        1: (256, 8, 56, 56),
        2: (512, 8, 28, 28),
        3: (1024, 8, 14, 14),
        4: (2048, 8, 7, 7),
    }


def test_initialisation():
    torch.manual_seed(0)
    backbone = build_backbone("r3d_50", last_norm_weight=0.0)
    block = backbone.blocks[4].res_blocks[2]
    weight = block.branch2.conv_b.weight
    # Kaiming, fan-out: variance 2 / (output channels x kernel).
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert not block.branch2.norm_c.weight.any()
    maps = torch.rand(1, 2048, 2, 2, 2)
    assert torch.equal(block(maps), maps)
