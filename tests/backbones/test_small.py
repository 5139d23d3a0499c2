import torch

from vidssl.backbones import build_backbone


def test_size():
    backbone = build_backbone("small")
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 488_368
    assert backbone.feature_dim == 128
    assert build_backbone("small", width=2).feature_dim == 256


def test_memory_order_of_the_clips_does_not_matter():
    torch.manual_seed(0)
    backbone = build_backbone("small").eval()
    clips = torch.randn(2, 3, 8, 56, 56)
    with torch.no_grad():
        torch.testing.assert_close(backbone(clips), backbone(clips.contiguous(memory_format=torch.channels_last_3d)))


def test_a_cell_sees_five_frames_to_either_side():
    torch.manual_seed(0)
    backbone = build_backbone("small").eval()
    clips = torch.randn(1, 3, 8, 56, 56, requires_grad=True)
    maps = backbone.forward_maps(clips)
    for cell, seen in [(0, range(6)), (1, range(8))]:  # their centres are frames 0 and 4
        (gradient,) = torch.autograd.grad(maps[:, :, cell].sum(), clips, retain_graph=True)
        assert [frame for frame in range(8) if gradient[:, :, frame].any()] == list(seen)
