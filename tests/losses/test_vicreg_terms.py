import numpy as np
import pytest
import torch
from processes import run_on_processes
from torch import distributed as dist

from vidssl.errors import VidsslError
from vidssl.losses.vicreg import vicreg_terms


def pair(num_videos=6, dim=4, seed=0):
    """Two views that differ a little, with dimensions of unlike spread, some below the target and some above it."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.1, 2.0, dim)
    first = torch.randn(num_videos, dim, generator=generator) @ (torch.eye(dim) + 0.3) * scale
    return first, first + 0.2 * torch.randn(num_videos, dim, generator=generator)


def naive_terms(view1, view2):
    """Eq. (1) to (5) in loops, with the released code's two factors."""
    view1, view2 = view1.double().numpy(), view2.double().numpy()
    num_videos, dim = view1.shape
    variance, covariance = [], []
    for view in (view1, view2):
        mean = view.mean(axis=0)
        hinge = 0.0
        for j in range(dim):
            spread = sum((view[i, j] - mean[j]) ** 2 for i in range(num_videos)) / (num_videos - 1)
            hinge += max(0.0, 1 - np.sqrt(spread + 1e-4)) / dim
        variance.append(hinge)
        matrix = sum(np.outer(row - mean, row - mean) for row in view) / (num_videos - 1)
        covariance.append(sum(matrix[i, j] ** 2 for i in range(dim) for j in range(dim) if i != j) / dim)
    invariance = np.mean([np.sum((a - b) ** 2) / dim for a, b in zip(view1, view2, strict=True)])
    return {"invariance": invariance, "variance": np.mean(variance), "covariance": sum(covariance)}


@pytest.mark.parametrize(("num_videos", "dim"), [(2, 3), (6, 4), (5, 16), (3, 1)])
def test_terms_are_the_papers(num_videos, dim):
    view1, view2 = pair(num_videos, dim)
    found = vars(vicreg_terms(view1, view2))
    expected = naive_terms(view1, view2)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4, abs=1e-7), name


def test_the_extremes():
    collapsed = torch.ones(8, 5)
    terms = vicreg_terms(collapsed, collapsed)
    assert (terms.invariance, terms.covariance) == (0, 0)
    assert terms.variance.item() == pytest.approx(1 - 0.01)  # the root of 1e-4 is what is left of the deviation
    # the corners of a cube: every dimension spreads enough, and none says anything about another
    corners = 2 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    terms = vicreg_terms(corners, corners)
    assert (terms.invariance, terms.variance) == (0, 0)
    assert terms.covariance.item() == pytest.approx(0, abs=1e-9)


def test_every_term_pushes():
    for name in ("invariance", "variance", "covariance"):
        view1, view2 = (view.requires_grad_() for view in pair())
        getattr(vicreg_terms(view1, view2), name).backward()
        assert view1.grad.any(), name
        assert view1.grad.isfinite().all(), name
    still = torch.ones(4, 3, requires_grad=True)
    vicreg_terms(still, still).variance.backward()
    assert still.grad.isfinite().all()


def test_float32_under_autocast():
    view1, view2 = pair()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = vars(vicreg_terms(view1, view2))
    for name, value in vars(vicreg_terms(view1, view2)).items():
        assert found[name].dtype == torch.float32
        assert found[name].item() == value.item()


def _loss(view1, view2):
    terms = vicreg_terms(view1, view2)
    return 25 * terms.invariance + 25 * terms.variance + terms.covariance


def _compare_with_one_process(rank, world_size):
    share = 6 // world_size
    mine = slice(rank * share, (rank + 1) * share)
    local = [view[mine].clone().requires_grad_() for view in pair()]
    loss = _loss(*local) / world_size  # DDP takes the mean of the processes' gradients
    loss.backward()
    total = loss.detach().clone()
    dist.all_reduce(total)
    expected = torch.load("expected.pt", weights_only=True)
    torch.testing.assert_close(total, expected["loss"], rtol=1e-5, atol=1e-6)
    for view, gradient in zip(local, expected["gradients"], strict=True):
        torch.testing.assert_close(view.grad, gradient[mine], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_together_equal_one_on_the_joint_batch(world_size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    joint = [view.requires_grad_() for view in pair()]
    loss = _loss(*joint)
    loss.backward()
    torch.save({"loss": loss.detach(), "gradients": [view.grad for view in joint]}, "expected.pt")
    run_on_processes(_compare_with_one_process, world_size)


def test_mistakes_are_named():
    with pytest.raises(VidsslError, match=r"\(6, 4\) and \(5, 4\)"):
        vicreg_terms(pair()[0], pair(5)[0])
    with pytest.raises(VidsslError, match=r"data\.batch_size to 2"):
        vicreg_terms(*pair(1))
