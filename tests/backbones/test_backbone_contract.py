"""Every registered backbone keeps the contract: registering one is enough for these tests to run on it."""

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import normalize

from vidssl.backbones import BACKBONES, build_backbone
from vidssl.errors import UnknownNameError, VidsslError

CLIP_SIZE = (8, 32, 32)


@pytest.fixture(scope="module", params=BACKBONES.names())
def backbone(request):
    torch.manual_seed(0)
    return build_backbone(request.param)


@pytest.fixture
def clips():
    return torch.randn(2, 3, *CLIP_SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(16, 224, 224), (8, 56, 56), (5, 65, 33)])
@pytest.mark.parametrize("name", BACKBONES.names())
def test_maps_have_the_announced_shape(name, size):
    with torch.device("meta"):
        network = build_backbone(name)
        maps = network.forward_maps(torch.empty(2, 3, *size))
    assert maps.shape == (2, network.feature_dim, *network.output_grid(*size))


def test_minimum_clip_passes_and_less_is_refused(backbone):
    backbone.eval()
    frames, height, width = backbone.minimum_clip
    assert backbone(torch.zeros(1, 3, frames, height, width)).shape == (1, backbone.feature_dim)
    with pytest.raises(VidsslError, match="sample more frames"):
        backbone(torch.zeros(1, 3, frames - 1, height, width))


def test_features_are_the_mean_of_the_maps_and_repeatable_in_evaluation(backbone, clips):
    backbone.eval()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with torch.no_grad():
        features = backbone(clips)
        torch.testing.assert_close(features, backbone.forward_maps(clips).mean(dim=(2, 3, 4)))
        assert torch.equal(features, backbone(clips))
        alone = backbone(clips[:1])
    # Random weights without batch statistics let features grow with depth: the tolerance is relative to the largest.
    torch.testing.assert_close(features[:1], alone, rtol=0, atol=1e-4 * features.abs().max().item())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_training_is_repeatable_and_reaches_every_parameter(backbone, clips):
    backbone.train()
    # At random weights plain sums of a normalised layer have no gradient: use a fixed direction.
    direction = torch.randn(backbone.feature_dim, generator=torch.Generator().manual_seed(2))
    first = backbone(clips)
    assert torch.equal(first, backbone(clips))
    parameters = list(backbone.parameters())
    gradients = torch.autograd.grad((first**2 @ direction).sum(), parameters)
    assert all(torch.isfinite(gradient).all() and gradient.any() for gradient in gradients)


def gradient_at_alignment(backbone, clips, layer="last"):
    """d(query . key) / dA of the MCL loss for a fixed random key, differentiable again; and A."""
    features, aligned = backbone.forward_aligned(clips, layer)
    query = normalize(features, dim=1)
    key = normalize(torch.randn(query.shape, generator=torch.Generator().manual_seed(3)), dim=1)
    (gradient,) = torch.autograd.grad((query * key).sum(), aligned, create_graph=True)
    return gradient, aligned


@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_through_the_aligned_map_reach_every_parameter(backbone, clips, training):
    backbone.train(training)
    gradient, aligned = gradient_at_alignment(backbone, clips)
    assert gradient.shape == aligned.shape == (2, backbone.feature_dim, *backbone.output_grid(*CLIP_SIZE))
    assert gradient.any()
    loss = gradient.mean(dim=(2, 3, 4)).square().sum()
    parameters = list(backbone.parameters())
    second = torch.autograd.grad(loss, parameters)
    assert all(torch.isfinite(tensor).all() and tensor.any() for tensor in second)


def test_the_gradient_at_the_aligned_map_says_where(backbone):
    # Past the last rectifier it would be the same in every cell, and no motion could be aligned with it.
    backbone.eval()
    clips = torch.randn(1, 3, 16, 64, 64, generator=torch.Generator().manual_seed(4))
    gradient, _ = gradient_at_alignment(backbone, clips)
    assert gradient.std(dim=(2, 3, 4)).max() > 0.1 * gradient.abs().max()


def test_nothing_writes_into_the_aligned_map(backbone, clips):
    backbone.train()
    copies = []
    layer = backbone.get_submodule(backbone.alignment_layer)
    handle = layer.register_forward_hook(lambda module, inputs, output: copies.append(output.detach().clone()))
    _, aligned = backbone.forward_aligned(clips)
    handle.remove()
    assert torch.equal(aligned, backbone.aligned_maps(copies[0], len(clips))[0])
    assert not layer._forward_hooks


@pytest.mark.parametrize("name", BACKBONES.names())
def test_every_layer_that_is_listed_can_be_aligned(name):
    with torch.device("meta"):
        network = build_backbone(name)
        clips = torch.empty(1, 3, 16, 64, 64)
    grids = []
    for layer in network.alignment_layers:
        features, maps = network.forward_aligned(clips, layer)
        assert features.shape == (1, network.feature_dim)
        grids.append(maps.shape[2:])
    assert len(grids) >= 3
    assert grids == sorted(grids, reverse=True)  # finer ones come first
    assert network.forward_aligned(clips)[1].shape[2:] == grids[-1] == network.output_grid(16, 64, 64)


# One of each family; the others have the same layers.
@pytest.mark.parametrize("name", ["small", "slow_r18", "p3d_a_r18", "r3d_18", "resnet2d_18", "s3d"])
def test_second_derivatives_reach_what_lies_before_earlier_layers(name):
    torch.manual_seed(0)
    network = build_backbone(name)
    first_weights = next(network.parameters())
    clips = torch.randn(2, 3, *CLIP_SIZE, generator=torch.Generator().manual_seed(1))
    for layer in network.earlier_layers:
        before = []
        handle = network.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, seen=before: seen.append(output.detach().clone())
        )
        gradient, aligned = gradient_at_alignment(network, clips, layer)
        handle.remove()
        assert torch.equal(aligned, network.aligned_maps(before[0], len(clips))[0]), layer  # nobody wrote into it
        (second,) = torch.autograd.grad(gradient.mean(dim=(2, 3, 4)).square().sum(), first_weights)
        assert second.isfinite().all(), layer
        assert second.any(), layer


def test_a_layer_that_is_not_listed_is_told_with_those_that_are():
    with pytest.raises(
        VidsslError, match=r"no layer 'stages\.1\.con'.* Did you mean 'stages\.1\.conv'\? Known: last, st"
    ):
        build_backbone("small").forward_aligned(torch.zeros(1, 3, 4, 32, 32), "stages.1.con")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.zeros(3, 8, 32, 32), "not 3 x 8 x 32 x 32"),
        (torch.zeros(2, 8, 3, 32, 32), "channels come second"),
        (torch.zeros(2, 3, 8, 32, 32, dtype=torch.uint8), "torch.uint8: normalise"),
        ([1, 2], "not a list"),
    ],
)
def test_wrong_input_is_told(value, told):
    with pytest.raises(VidsslError, match=told):
        build_backbone("small")(value)


def test_unknown_names_and_options_are_told():
    with pytest.raises(UnknownNameError, match="Did you mean 'r3d_50'"):
        build_backbone("r3d50")
    with pytest.raises(VidsslError, match=r"'r3d_50' has no option 'widht'. Did you mean 'width'\? Accepted: width, "):
        build_backbone("r3d_50", widht=2)
    with pytest.raises(VidsslError, match=r"positive integer, not 1\.5"):
        build_backbone("slow_r18", width=1.5)
    with pytest.raises(VidsslError, match="positive integer, not 0"):
        build_backbone("small", width=0)


def test_listing_does_not_import_torch():
    code = (
        "import sys; from vidssl.backbones import BACKBONES; BACKBONES.summaries(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert all(BACKBONES.summaries().values())
