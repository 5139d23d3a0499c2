import numpy as np
import pytest
import torch
import torch.nn.functional as F
from processes import run_on_processes

from vidssl.errors import VidsslError
from vidssl.losses.info_nce import alignment, info_nce, uniformity
from vidssl.nn.gather import gather_with_gradients


def naive_info_nce(view1, view2, temperature):
    """The paper's formula in loops: the sum over both directions of the mean over videos."""
    num_videos = len(view1)
    total = 0.0
    for queries, others in ((view1, view2), (view2, view1)):
        for i in range(num_videos):
            positive = np.exp(queries[i] @ others[i] / temperature)
            candidates = positive
            for k in range(num_videos):
                if k != i:
                    candidates += np.exp(queries[i] @ others[k] / temperature)
                    candidates += np.exp(queries[i] @ queries[k] / temperature)
            total += -np.log(positive / candidates) / num_videos
    return total


def embeddings(num_videos, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, num_videos, dim, dtype=torch.float64, generator=generator)
    return F.normalize(pair, dim=2).float().unbind(0)


@pytest.mark.parametrize("num_videos", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_loss_is_the_papers_formula(num_videos, temperature):
    view1, view2 = embeddings(num_videos)
    expected = naive_info_nce(view1.double().numpy(), view2.double().numpy(), temperature)
    assert info_nce(view1, view2, temperature=temperature).loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    mean = info_nce(view1, view2, temperature=temperature, reduction="mean").loss.item()
    assert mean == pytest.approx(expected / 2, rel=1e-5, abs=1e-6)


def naive_nt_xent(views, temperature):
    """Each clip with each of its positives in turn, against all clips of other videos (SimCLR, eq. 1), the mean."""
    losses = []
    for i, queries in enumerate(views):
        for j, others in enumerate(views):
            if i == j:
                continue
            for n in range(len(queries)):
                positive = np.exp(queries[n] @ others[n] / temperature)
                negatives = sum(
                    np.exp(queries[n] @ view[k] / temperature) for view in views for k in range(len(view)) if k != n
                )
                losses.append(-np.log(positive / (positive + negatives)))
    return np.mean(losses)


def several_views(num_views, num_videos=6):
    generator = torch.Generator().manual_seed(3)
    views = torch.randn(num_views, num_videos, 16, dtype=torch.float64, generator=generator)
    return F.normalize(views, dim=2).float().unbind(0)


@pytest.mark.parametrize("num_views", [2, 3, 4])
def test_more_views_are_positives_one_at_a_time(num_views):
    views = several_views(num_views)
    expected = naive_nt_xent([view.double().numpy() for view in views], 0.5)
    assert info_nce(*views, temperature=0.5, reduction="mean").loss.item() == pytest.approx(expected, rel=1e-5)
    assert info_nce(*views, temperature=0.5).loss.item() == pytest.approx(num_views * expected, rel=1e-5)


def _compare_four_views(rank, world_size):
    joint = [view.clone().requires_grad_() for view in several_views(4)]
    share = 6 // world_size
    mine = slice(rank * share, (rank + 1) * share)
    local = [view.detach()[mine].clone().requires_grad_() for view in joint]
    (info_nce(*local, reduction="mean").loss / world_size).backward()
    torch.distributed.barrier()
    _joint_loss_of_many(joint).backward()
    for view, other in zip(local, joint, strict=True):
        torch.testing.assert_close(view.grad, other.grad[mine], rtol=1e-5, atol=1e-6)


def _joint_loss_of_many(views):
    """The mean over pairs of -log softmax, on one process, without any gathering."""
    everything = torch.cat(views)
    video = torch.arange(len(views[0])).repeat(len(views))
    similarity = everything @ everything.T / 0.1
    same = video[:, None] == video
    negatives = similarity.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = torch.logaddexp(similarity, negatives) - similarity
    return losses[same & ~torch.eye(len(video), dtype=torch.bool)].mean()


def test_several_views_on_two_processes():
    run_on_processes(_compare_four_views, 2)


def test_accuracy_entropy_and_the_perfect_case():
    view = torch.eye(8)
    output = info_nce(view, view, temperature=0.05)
    assert output.contrastive_accuracy == 1
    assert output.entropy < 0.01
    assert output.loss < 0.01
    shifted = info_nce(view, view.roll(1, dims=0))
    assert shifted.contrastive_accuracy == 0


def test_alignment_and_uniformity_against_loops():
    view1, view2 = embeddings(5)
    distances = [float(((a - b) ** 2).sum()) for a, b in zip(view1, view2, strict=True)]
    assert alignment(view1, view2).item() == pytest.approx(np.mean(distances), rel=1e-5)
    pairs = [float(((view1[i] - view1[j]) ** 2).sum()) for i in range(5) for j in range(i)]
    assert uniformity(view1).item() == pytest.approx(np.log(np.mean(np.exp(-2 * np.array(pairs)))), rel=1e-5)


def test_loss_stays_float32_under_autocast():
    view1, view2 = embeddings(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(view1, view2).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce(view1, view2).loss.item(), rel=1e-6)


def _compare_with_one_process(rank, world_size):
    num_videos = 6
    view1, view2 = embeddings(num_videos)
    joint1, joint2 = view1.clone().requires_grad_(), view2.clone().requires_grad_()
    share = num_videos // world_size
    mine = slice(rank * share, (rank + 1) * share)
    local1, local2 = view1[mine].clone().requires_grad_(), view2[mine].clone().requires_grad_()

    distributed = info_nce(local1, local2)
    # DDP takes the mean of the processes' gradients, so a row's share of the joint gradient is 1 / world_size
    (distributed.loss / world_size).backward()
    losses = gather_with_gradients(distributed.loss.detach().reshape(1))

    expected = naive_info_nce(view1.double().numpy(), view2.double().numpy(), 0.1)
    torch.testing.assert_close(losses.mean().item(), expected, rtol=1e-5, atol=1e-6)

    torch.distributed.barrier()
    logits_loss = _joint_loss(joint1, joint2)
    logits_loss.backward()
    torch.testing.assert_close(local1.grad, joint1.grad[mine], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(local2.grad, joint2.grad[mine], rtol=1e-5, atol=1e-6)


def _joint_loss(view1, view2):
    """One process's loss on the joint batch, without any gathering."""
    both = torch.cat((view1, view2))
    logits = (both @ both.T / 0.1).masked_fill(torch.eye(len(both), dtype=torch.bool), -torch.inf)
    positive = torch.arange(len(both)).roll(len(view1))
    return 2 * F.cross_entropy(logits, positive)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_together_equal_one_on_the_joint_batch(world_size):
    run_on_processes(_compare_with_one_process, world_size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"reduction": "summ"}, "Did you mean 'sum'"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(VidsslError, match=message):
        info_nce(*embeddings(3), **change)


def test_wrong_shapes_are_named():
    with pytest.raises(VidsslError, match=r"\(3, 16\) and \(4, 16\)"):
        info_nce(embeddings(3)[0], embeddings(4)[0])
    with pytest.raises(VidsslError, match="two views or more"):
        info_nce(embeddings(3)[0])
