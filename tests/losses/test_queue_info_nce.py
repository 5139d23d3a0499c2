import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vidssl.errors import VidsslError
from vidssl.losses.queue_info_nce import clip_info_nce, queue_info_nce


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, dtype=torch.float64, generator=generator), dim=-1).float()


def naive_queue_loss(queries, positives, negatives, temperature):
    losses = []
    for query, own in zip(queries, positives, strict=True):
        for positive in own:
            logits = np.array([query @ positive, *(query @ negative for negative in negatives)]) / temperature
            losses.append(-np.log(np.exp(logits[0]) / np.exp(logits).sum()))
    return np.mean(losses)


@pytest.mark.parametrize(("num_videos", "num_positives", "num_negatives"), [(1, 1, 1), (4, 3, 17), (5, 1, 64)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_queue_loss_is_the_formula(num_videos, num_positives, num_negatives, temperature):
    queries, positives = unit(num_videos, 8), unit(num_videos, num_positives, 8, seed=1)
    negatives = unit(num_negatives, 8, seed=2)
    expected = naive_queue_loss(*(x.double().numpy() for x in (queries, positives, negatives)), temperature)
    found = queue_info_nce(queries, positives, negatives, temperature=temperature)
    assert found.loss.item() == pytest.approx(expected, rel=1e-5)


def test_negatives_that_are_left_out_do_not_count():
    queries, positives, negatives = unit(5, 8), unit(5, 3, 8, seed=1), unit(9, 8, seed=2)
    left_out = torch.rand(5, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    left_out[3] = True
    queries.requires_grad_()
    output = queue_info_nce(queries, positives, negatives, temperature=0.1, left_out=left_out)
    expected = [
        naive_queue_loss(query[None], own[None], negatives[~mask].double().numpy(), 0.1)
        for query, own, mask in zip(
            queries.detach().double().numpy(), positives.double().numpy(), left_out, strict=True
        )
    ]
    assert expected[3] == 0  # nothing to tell its positives from
    assert output.loss.item() == pytest.approx(np.mean(expected), rel=1e-5)
    (gradient,) = torch.autograd.grad(output.loss, queries)
    assert gradient.isfinite().all()
    assert not gradient[3].any()


def test_accuracy_counts_the_positives_that_are_nearest():
    queries = torch.eye(4)
    positives = torch.stack((torch.eye(4), torch.eye(4).roll(1, 0)), dim=1)  # one right, one wrong for every query
    output = queue_info_nce(queries, positives, torch.full((3, 4), 0.5), temperature=0.1)
    assert output.accuracy == 0.5


def test_clip_loss_is_a_cross_entropy_of_two():
    queries, same, others = unit(6, 8), unit(6, 8, seed=1), unit(6, 2, 8, seed=2)
    losses, right = [], []
    for query, key, rest in zip(queries.double(), same.double(), others.double(), strict=True):
        for other in rest:
            logits = torch.stack((query @ key, query @ other)) / 0.1
            losses.append(F.cross_entropy(logits[None], torch.tensor([0])).item())
            right.append(bool(logits[0] > logits[1]))
    output = clip_info_nce(queries, same, others, temperature=0.1)
    assert output.loss.item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert output.accuracy.item() == pytest.approx(np.mean(right))


def test_losses_stay_float32_under_autocast():
    queries, positives, negatives = unit(4, 8), unit(4, 3, 8, seed=1), unit(9, 8, seed=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inter = queue_info_nce(queries, positives, negatives, temperature=0.1).loss
        intra = clip_info_nce(queries, positives[:, 0], positives[:, 1:], temperature=0.1).loss
    assert inter.dtype == intra.dtype == torch.float32
    assert inter == queue_info_nce(queries, positives, negatives, temperature=0.1).loss
    assert intra == clip_info_nce(queries, positives[:, 0], positives[:, 1:], temperature=0.1).loss


def test_wrong_shapes_are_named():
    with pytest.raises(VidsslError, match=r"\(4, 8\) and \(3, 1, 8\)"):
        queue_info_nce(unit(4, 8), unit(3, 1, 8), unit(5, 8), temperature=0.1)
