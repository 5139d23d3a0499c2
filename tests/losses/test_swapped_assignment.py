import numpy as np
import pytest
import torch
import torch.nn.functional as F
from processes import run_on_processes
from torch import distributed as dist

from vidssl.errors import VidsslError
from vidssl.losses.swapped_assignment import sinkhorn, swapped_assignment

SETTINGS = {"temperature": 0.1, "epsilon": 0.05, "num_iterations": 3}


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def naive_sinkhorn(scores, epsilon, num_iterations):
    """The paper's listing (appendix A): clusters are rows; each is brought to 1 / K, each clip to 1 / N."""
    plan = np.exp(scores.T / epsilon)
    plan /= plan.sum()
    num_clusters, num_clips = plan.shape
    for _ in range(num_iterations):
        for k in range(num_clusters):
            plan[k] *= (1 / num_clusters) / plan[k].sum()
        for n in range(num_clips):
            plan[:, n] *= (1 / num_clips) / plan[:, n].sum()
    return (plan / plan.sum(axis=0)).T


def naive_loss(embeddings, prototypes):
    """Cross-entropy of each view's prediction and each other view's assignment (eq. 1 and 2), the mean over pairs."""
    scores = [view.double().numpy() @ prototypes.double().numpy().T for view in embeddings]
    losses = []
    for i, assigned in enumerate(scores):
        codes = naive_sinkhorn(assigned, 0.05, 3)
        for j, predicting in enumerate(scores):
            if i == j:
                continue
            for code, score in zip(codes, predicting, strict=True):
                predicted = np.exp(score / 0.1) / np.exp(score / 0.1).sum()
                losses.append(-np.sum(code * np.log(predicted)))
    return np.mean(losses)


@pytest.mark.parametrize("num_iterations", [1, 3, 10])
@pytest.mark.parametrize("shape", [(8, 3), (3, 8)])
def test_sinkhorn_is_the_papers(shape, num_iterations):
    scores = unit(shape[0], 6) @ unit(shape[1], 6, seed=1).T
    found = sinkhorn(scores, epsilon=0.05, num_iterations=num_iterations)
    expected = naive_sinkhorn(scores.double().numpy(), 0.05, num_iterations)
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), rtol=1e-3, atol=1e-6)


def test_clusters_get_equal_shares_and_clips_add_up_to_one():
    scores = unit(12, 6) @ unit(4, 6, seed=1).T
    codes = sinkhorn(scores, epsilon=0.5, num_iterations=100)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(12))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((4,), 3.0), rtol=1e-4, atol=0)
    # all clips alike: they are dealt out evenly, where the scores alone would put them all into one cluster
    alike = sinkhorn(scores[:1].expand(12, 4), epsilon=0.05, num_iterations=3)
    torch.testing.assert_close(alike, torch.full((12, 4), 0.25))


def test_a_small_epsilon_neither_overflows_nor_vanishes():
    scores = unit(12, 6) @ unit(4, 6, seed=1).T
    codes = sinkhorn(scores, epsilon=1e-4, num_iterations=3)
    assert codes.isfinite().all()
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(12))


@pytest.mark.parametrize("num_views", [2, 3])
def test_loss_is_the_papers(num_views):
    embeddings, prototypes = list(unit(num_views, 8, 6)), unit(5, 6, seed=1)
    output = swapped_assignment(embeddings, prototypes, **SETTINGS)
    assert output.loss.item() == pytest.approx(naive_loss(embeddings, prototypes), rel=1e-4)


def test_gradient_goes_into_predictions_and_prototypes_only():
    embeddings = [view.clone().requires_grad_() for view in unit(2, 8, 6)]
    prototypes = unit(5, 6, seed=1).requires_grad_()
    swapped_assignment(embeddings, prototypes, **SETTINGS).loss.backward()
    codes = [sinkhorn(view @ prototypes.T, epsilon=0.05, num_iterations=3) for view in embeddings]
    expected = [view.detach().clone().requires_grad_() for view in embeddings]
    for view, code in zip(expected, reversed(codes), strict=True):
        F.cross_entropy(view @ prototypes.detach().T / 0.1, code.detach()).div(2).backward()
    for view, other in zip(embeddings, expected, strict=True):
        torch.testing.assert_close(view.grad, other.grad)
    assert prototypes.grad.any()


def test_agreement():
    prototypes = torch.eye(4)
    view = torch.eye(4).repeat(2, 1)
    assert swapped_assignment([view, view], prototypes, **SETTINGS).agreement == 1
    assert swapped_assignment([view, view.roll(1, dims=0)], prototypes, **SETTINGS).agreement == 0


def test_float32_under_autocast():
    embeddings, prototypes = list(unit(2, 8, 6)), unit(5, 6, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = swapped_assignment(embeddings, prototypes, **SETTINGS).loss
    assert loss.dtype == torch.float32
    assert loss.item() == swapped_assignment(embeddings, prototypes, **SETTINGS).loss.item()


def _compare_with_one_process(rank, world_size):
    prototypes = unit(5, 6, seed=1).requires_grad_()
    share = 6 // world_size
    mine = slice(rank * share, (rank + 1) * share)
    local = [view[mine].clone().requires_grad_() for view in unit(2, 6, 6)]
    loss = swapped_assignment(local, prototypes, **SETTINGS).loss / world_size  # DDP takes the mean of the gradients
    loss.backward()
    total, gradient = loss.detach().clone(), prototypes.grad
    dist.all_reduce(total)
    dist.all_reduce(gradient)
    expected = torch.load("expected.pt", weights_only=True)
    torch.testing.assert_close(total, expected["loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, expected["prototypes"], rtol=1e-4, atol=1e-6)
    for view, other in zip(local, expected["views"], strict=True):
        torch.testing.assert_close(view.grad, other[mine], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_together_equal_one_on_the_joint_batch(world_size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prototypes = unit(5, 6, seed=1).requires_grad_()
    joint = [view.clone().requires_grad_() for view in unit(2, 6, 6)]
    loss = swapped_assignment(joint, prototypes, **SETTINGS).loss
    loss.backward()
    expected = {"loss": loss.detach(), "prototypes": prototypes.grad, "views": [view.grad for view in joint]}
    torch.save(expected, "expected.pt")
    run_on_processes(_compare_with_one_process, world_size)


@pytest.mark.parametrize(("views", "dim"), [((8, 6), 5), ((8,), 6)])
def test_wrong_shapes_are_named(views, dim):
    with pytest.raises(VidsslError, match="two views or more of one shape"):
        swapped_assignment([unit(*views)] * 2, unit(5, dim), **SETTINGS)


@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.08])
def test_scores_that_are_nearly_equal_spread_only_where_views_correlate_by_more_than_epsilon_over_temperature(epsilon):
    generator = torch.Generator().manual_seed(0)
    shared, *own = torch.randn(3, 4096, 16, generator=generator, dtype=torch.float64)
    for correlation in (0.1, 0.3, 0.4, 0.6, 0.7, 0.9):
        spread = torch.tensor(1e-3, dtype=torch.float64, requires_grad=True)
        scores = [spread * (correlation**0.5 * shared + (1 - correlation) ** 0.5 * each) for each in own]
        loss = swapped_assignment(scores, torch.eye(16), **{**SETTINGS, "epsilon": epsilon}).loss
        (slope,) = torch.autograd.grad(loss, spread)
        assert (slope < 0) == (correlation > epsilon / SETTINGS["temperature"])
