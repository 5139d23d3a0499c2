"""Motion alignment against loops written from the equations, and its derivatives of first and second order."""

import numpy as np
import pytest
import torch
from torch import nn

from vidssl.errors import VidsslError
from vidssl.losses.motion_alignment import (
    FORMS,
    RELEASED_ATTENTION_SCALE,
    TERMS,
    alignment_terms,
    motion_target,
    prediction_map,
    similarity_gradient,
)

B, C, T, H, W = 3, 5, 4, 3, 2


def naive_prediction(form, maps, gradients):
    predicted = np.zeros((B, T, H, W))
    for b, t, y, x in np.ndindex(B, T, H, W):
        for c in range(C):
            weight = np.mean([gradients[b, c, t, i, j] for i in range(H) for j in range(W)])
            if form == "feature":
                predicted[b, t, y, x] += maps[b, c, t, y, x]
            elif form == "weighted-feature":
                predicted[b, t, y, x] += weight * maps[b, c, t, y, x]
            else:
                predicted[b, t, y, x] += weight * gradients[b, c, t, y, x]
        if form != "feature":
            predicted[b, t, y, x] = max(0.0, predicted[b, t, y, x])
    return predicted


def naive_cosine(left, right):
    left, right = left.ravel(), right.ravel()
    return float(left @ right / (np.sqrt(left @ left) * np.sqrt(right @ right)))


def naive_term(term, predicted, target, scale):
    losses = []
    for p, m in zip(predicted, target, strict=True):
        if term == "st":
            attention = np.exp([scale * m[t].sum() for t in range(T)])
            attention /= attention.sum()
            losses.append(1 - sum(attention[t] * naive_cosine(p[t], m[t]) for t in range(T)))
        elif term == "s":
            losses.append(1 - naive_cosine(sum(p) / T, sum(m) / T))
        else:
            losses.append(1 - naive_cosine(np.array([x.sum() for x in p]), np.array([x.sum() for x in m])))
    return np.mean(losses)


def draw(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, C, T, H, W)), rng.normal(size=(B, C, T, H, W)), rng.exponential(size=(B, T, H, W))


@pytest.mark.parametrize("form", FORMS)
def test_prediction_maps_are_the_equations(form):
    maps, gradients, _ = draw()
    predicted = prediction_map(form, torch.tensor(maps), torch.tensor(gradients))
    np.testing.assert_allclose(predicted, naive_prediction(form, maps, gradients), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_terms_are_the_equations(form, term, scale):
    maps, gradients, target = draw(1)
    predicted = naive_prediction(form, maps, gradients)
    found = alignment_terms(torch.tensor(predicted), torch.tensor(target), [term], attention_scale=scale)
    assert found[term].item() == pytest.approx(naive_term(term, predicted, target, scale), rel=1e-9)


def test_a_term_is_half_the_squared_distance_of_unit_vectors():
    _, _, target = draw(2)
    predicted = draw(3)[2]
    left, right = (x.mean(axis=1).reshape(B, -1) for x in (predicted, target))
    distances = [np.sum((a / np.sqrt(a @ a) - b / np.sqrt(b @ b)) ** 2) for a, b in zip(left, right, strict=True)]
    found = alignment_terms(torch.tensor(predicted), torch.tensor(target), ["s"])["s"]
    assert found.item() == pytest.approx(np.mean(distances) / 2, rel=1e-9)


def test_attention_is_that_of_the_released_code_in_its_units():
    # 8-bit flow of +-20 pixels, 4 flows added, two components added; ours: pixels, mean of flows, mean of components
    released = np.random.default_rng(0).exponential(size=(B, T, H, W))
    predicted = draw(4)[2]
    ours = released / (255 / 40 * 4 * 2)
    expected = naive_term("st", predicted, released, 1.0)
    assert alignment_terms(torch.tensor(predicted), torch.tensor(ours), ["st"])["st"].item() == pytest.approx(expected)
    assert RELEASED_ATTENTION_SCALE == 51


def test_aligned_maps_cost_nothing_at_any_scale():
    _, _, target = draw(5)
    target = torch.tensor(target, dtype=torch.float32)
    for factor in (1e-20, 1.0, 1e15):  # gradients of gradients are tiny
        for value in alignment_terms(factor * target, target, TERMS).values():
            assert value.item() == pytest.approx(0, abs=1e-6)


def test_target_is_the_mean_over_cells():
    motion = np.random.default_rng(0).exponential(size=(2, 8, 6, 4))
    expected = motion.reshape(2, 4, 2, 3, 2, 2, 2).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(motion_target(torch.tensor(motion), (4, 3, 2)), expected)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("still", ["prediction", "target", "both", "one moment"])
def test_zero_maps_are_finite_to_the_second_derivative(term, still):
    _, _, target = draw(6)
    predicted, target = torch.tensor(draw(7)[2], requires_grad=True), torch.tensor(target)
    masks = {name: torch.ones(T, 1, 1, dtype=torch.float64) for name in ("prediction", "target")}
    for name, mask in masks.items():
        if still in (name, "both"):
            mask.zero_()
        elif still == "one moment":
            mask[1] = 0
    loss = alignment_terms(predicted * masks["prediction"], target * masks["target"], [term])[term]
    (first,) = torch.autograd.grad(loss, predicted, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), predicted, allow_unused=True)
    assert loss.isfinite()
    assert first.isfinite().all()
    assert second is None or second.isfinite().all()
    if still in ("target", "both"):
        assert loss == 1
        assert not first.any()


@pytest.mark.parametrize("term", TERMS)
def test_terms_have_first_and_second_derivatives(term):
    _, _, target = draw(8)
    predicted = torch.tensor(draw(9)[2], requires_grad=True)

    def loss(prediction):
        return alignment_terms(prediction, torch.tensor(target), [term], attention_scale=0.5)[term]

    assert torch.autograd.gradcheck(loss, predicted)
    assert torch.autograd.gradgradcheck(loss, predicted)


class Network(nn.Module):
    """Convolution (aligned), normalisation, activation, pooling, unit vector."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(1, 3, (1, 2, 1))
        self.norm = nn.BatchNorm3d(3)
        self.head = nn.Linear(3, 2)

    def forward(self, clips):
        maps = self.first(clips)
        features = self.norm(maps).tanh().mean(dim=(2, 3, 4))
        return nn.functional.normalize(self.head(features), dim=1), maps


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_of_the_whole_loss_through_a_network(form):
    torch.manual_seed(0)
    network = Network().double()
    clips = torch.randn(2, 1, 2, 3, 2, dtype=torch.float64)
    keys = nn.functional.normalize(torch.randn(2, 2, dtype=torch.float64), dim=1)
    target = torch.rand(2, 2, 2, 2, dtype=torch.float64)

    def loss(*parameters):
        named = dict(zip(dict(network.named_parameters()), parameters, strict=True))
        embeddings, maps = torch.func.functional_call(network, named, (clips,))
        gradients = similarity_gradient((embeddings * keys).sum(dim=1), maps)
        terms = alignment_terms(prediction_map(form, maps, gradients), target, TERMS, attention_scale=0.1)
        return sum(terms.values())

    parameters = tuple(network.parameters())
    assert torch.autograd.gradcheck(loss, parameters)
    if form != "feature":  # what comes after the aligned maps learns through the second derivative alone
        (slope,) = torch.autograd.grad(loss(*parameters), network.head.weight)
        assert slope.any()


def test_everything_is_float32_under_autocast():
    maps, gradients, target = (torch.tensor(x, dtype=torch.bfloat16) for x in draw(10))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = prediction_map("weighted-gradient", maps, gradients)
        found = alignment_terms(predicted, motion_target(target, (T, H, W)), TERMS)
    assert predicted.dtype == torch.float32
    expected = alignment_terms(prediction_map("weighted-gradient", maps.float(), gradients.float()), target, TERMS)
    for term, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[term].item(), rel=1e-6)


def test_mistakes_are_named():
    maps = torch.rand(1, 2, 2, 2, 2)
    with pytest.raises(VidsslError, match="Did you mean 'weighted-gradient'"):
        prediction_map("weighted_gradient", maps, maps)
    with pytest.raises(VidsslError, match="Known: st, s, t"):
        alignment_terms(maps[:, 0], maps[:, 0], ["ts"])
    with pytest.raises(VidsslError, match=r"\(1, 2, 2, 2\) and \(1, 1, 2, 2\)"):
        alignment_terms(maps[:, 0], maps[:, 0, :1], ["st"])
