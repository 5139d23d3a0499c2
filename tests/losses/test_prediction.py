import numpy as np
import pytest
import torch

from vidssl.errors import VidsslError
from vidssl.losses.prediction import negative_cosine, normalised_regression


def views(num_views, num_videos=5, dim=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return list(3 * torch.randn(num_views, num_videos, dim, generator=generator))


def naive_distances(predictions, targets):
    """Squared distance of unit vectors (BYOL, eq. 2) for each ordered pair of views, the mean over videos."""
    found = {}
    for i, predicted in enumerate(predictions):
        for j, target in enumerate(targets):
            if i == j:
                continue
            rows = []
            for p, z in zip(predicted.double().numpy(), target.double().numpy(), strict=True):
                rows.append(np.sum((p / np.sqrt(p @ p) - z / np.sqrt(z @ z)) ** 2))
            found[i, j] = np.mean(rows)
    return found


def test_two_views_are_the_papers_losses():
    predictions, targets = views(2), views(2, seed=1)
    distance = naive_distances(predictions, targets)
    # BYOL: L of eq. (2) plus the same with the views exchanged
    assert normalised_regression(predictions, targets).item() == pytest.approx(distance[0, 1] + distance[1, 0])
    # SimSiam, eq. (4): D(p1, z2) / 2 + D(p2, z1) / 2, and |a - b|^2 = 2 - 2 cos
    expected = ((distance[0, 1] - 2) / 2 + (distance[1, 0] - 2) / 2) / 2
    assert negative_cosine(predictions, targets).item() == pytest.approx(expected)


@pytest.mark.parametrize("num_views", [3, 4])
def test_more_views_predict_all_others(num_views):
    predictions, targets = views(num_views), views(num_views, seed=1)
    distance = naive_distances(predictions, targets)
    assert len(distance) == num_views * (num_views - 1)
    expected = sum(np.mean([distance[i, j] for j in range(num_views) if j != i]) for i in range(num_views))
    assert normalised_regression(predictions, targets).item() == pytest.approx(expected)
    assert negative_cosine(predictions, targets).item() == pytest.approx(np.mean(list(distance.values())) / 2 - 1)


def test_targets_get_no_gradient():
    predictions = [view.requires_grad_() for view in views(2)]
    targets = [view.requires_grad_() for view in views(2, seed=1)]
    normalised_regression(predictions, targets).backward()
    assert all(view.grad.any() for view in predictions)
    assert all(view.grad is None for view in targets)


def test_the_best_and_the_worst():
    same = views(1) * 2
    assert negative_cosine(same, same).item() == pytest.approx(-1)
    assert normalised_regression(same, same).item() == pytest.approx(0, abs=1e-5)
    assert negative_cosine(same, [-view for view in same]).item() == pytest.approx(1)


def test_float32_under_autocast():
    predictions, targets = views(2), views(2, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = negative_cosine([view.bfloat16() for view in predictions], [view.bfloat16() for view in targets])
        exact = negative_cosine(predictions, targets)
    assert loss.dtype == torch.float32
    assert exact.item() == negative_cosine(predictions, targets).item()


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [(views(1), views(1)), (views(2), views(3)), (views(2), views(2, num_videos=4))],
)
def test_wrong_shapes_are_named(predictions, targets):
    with pytest.raises(VidsslError, match=r"two or more predictions and as many targets.*\(5, 7\)"):
        negative_cosine(predictions, targets)
