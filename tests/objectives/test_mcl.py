"""MCL's step against an oracle, its second derivatives, and 2 processes against 1."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from processes import run_on_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from vidssl_with_extras import PlainBackbone  # noqa: F401  (registers the backbone "plain")

from vidssl.errors import VidsslError
from vidssl.losses.motion_alignment import FORMS
from vidssl.objectives.base import BackboneSpec
from vidssl.objectives.mcl import MCL, MotionAlignment
from vidssl.objectives.moco import MomentumContrast
from vidssl.types import ClipBatch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")
ALL_TASKS = ("inter", "intra", "order")


def mcl(backbone="plain", tasks=ALL_TASKS, queue_size=50, mask_own=False, **alignment):
    torch.manual_seed(0)
    contrast = MomentumContrast(embedding_dim=8, hidden_dim=16, queue_size=queue_size, mask_own=mask_own)
    return MCL(BackboneSpec(name=backbone), contrast=contrast, tasks=tasks, alignment=MotionAlignment(**alignment))


def batch(num_videos=4, seed=0, size=16, num_frames=4):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_videos, 3, num_frames, size, size)
    rows = torch.arange(num_videos)
    return ClipBatch(
        [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(4)],
        label=rows,
        index=rows,
        motion=torch.rand(num_videos, 4, 8, 8, generator=generator) / 100,
        starts=torch.tensor([[0, 0, 5, 9], [9, 9, 2, 4], [3, 3, 1, 8], [1, 1, 4, 2]])[:num_videos],
    )


def logged_by(objective):
    return {name.removeprefix("train/"): value for name, value in objective.logged_terms.items()}


def in_mid_run(objective, progress=0.25):
    """The order task has weight 0 at the start of a run."""
    objective.training_progress = lambda: progress
    return objective


# --- the step ---


def naive_contrast(queries, keys, rows):
    """Inter and intra loss in loops; queries (2, B, D), keys (2, B, 3, D): task first."""
    inter, intra = [], []
    for b in range(queries.shape[1]):
        negatives = sum(np.exp(queries[0, b] @ row / 0.1) for row in rows)
        for positive in keys[0, b]:
            similar = np.exp(queries[0, b] @ positive / 0.1)
            inter.append(-np.log(similar / (similar + negatives)))
        same, *others = (np.exp(queries[1, b] @ key / 0.1) for key in keys[1, b])
        intra += [-np.log(same / (same + other)) for other in others]
    return np.mean(inter), np.mean(intra)


def naive_order(objective, queries, keys, starts):
    losses = []
    for query, key, (start, _, second, third) in zip(queries, keys, starts.tolist(), strict=True):
        if min(second, third) <= start <= max(second, third):
            continue
        together = np.concatenate((query, key[1], key[2]))
        weight, bias = (parameter.detach().double().numpy() for parameter in objective.order_classifier.parameters())
        logits = np.exp(weight @ (together / np.sqrt(together @ together)) + bias)
        losses.append(-np.log(logits[int(start < second)] / logits.sum()))
    assert len(losses) == 3
    return np.mean(losses)


def naive_alignment(similarity, maps, motion):
    """Eq. 6 with all three terms; the gradient by autograd, everything after it in loops."""
    gradients = torch.autograd.grad(similarity.sum(), maps)[0].double().numpy()
    num_videos, _, steps, height, width = gradients.shape
    bins = motion.double().numpy().reshape(num_videos, steps, -1, height, 8 // height, width, 8 // width)
    target = bins.mean(axis=(2, 4, 6))
    total = {"st": 0.0, "s": 0.0, "t": 0.0}
    for gradient, moved in zip(gradients, target, strict=True):
        weight = gradient.mean(axis=(2, 3), keepdims=True)
        predicted = np.maximum((weight * gradient).sum(axis=0), 0)
        attention = np.exp(51 * moved.sum(axis=(1, 2)))
        attention /= attention.sum()
        total["st"] += 1 - sum(attention[t] * _cosine(predicted[t], moved[t]) for t in range(steps))
        total["s"] += 1 - _cosine(predicted.mean(axis=0), moved.mean(axis=0))
        total["t"] += 1 - _cosine(predicted.sum(axis=(1, 2)), moved.sum(axis=(1, 2)))
    return {term: value / num_videos for term, value in total.items()}


def _cosine(left, right):
    return np.sum(left * right) / np.sqrt(np.sum(left**2) * np.sum(right**2))


def test_the_step_is_the_papers():
    objective, clips = in_mid_run(mcl()), batch()
    rows = objective.queue.state_dict()["rows"].double().numpy().copy()
    features, maps = objective.backbone.forward_aligned(objective.network_input(clips.views[:1]))
    embedded = objective.heads(features)
    keys = torch.stack([objective.momentum_encoder(objective.network_input([view])) for view in clips.views[1:]], dim=1)
    similarity = (embedded[:, 0] * keys[:, 0, 0]).sum(dim=1)
    queries, all_keys = embedded.detach().double().numpy(), keys.double().numpy()
    expected = naive_alignment(similarity, maps, clips.motion)
    inter, intra = naive_contrast(queries.transpose(1, 0, 2)[:2], all_keys.transpose(2, 0, 1, 3)[:2], rows)
    order = naive_order(objective, queries[:, 2], all_keys[:, :, 2], clips.starts)

    loss = objective.training_step(clips, 0)
    logged = logged_by(objective)
    for name, value in {"inter": inter, "intra": intra, "order": order}.items():
        assert logged[f"{name}_loss"].item() == pytest.approx(value, rel=1e-4), name
    for term, value in expected.items():
        assert logged[f"alignment_{term}"].item() == pytest.approx(value, rel=1e-3), term
    # doubled in the first epochs
    assert loss.item() == pytest.approx(inter + intra + 0.25 * order + 2 * sum(expected.values()), rel=1e-4)
    assert logged["queue_fill"] == 12 / 50
    assert {"loss", "contrastive_accuracy", "intra_accuracy", "order_accuracy", "order_weight"} <= logged.keys()
    # all three keys of a video, video after video
    written = objective.queue.state_dict()["rows"][:12]
    torch.testing.assert_close(written, keys[:, :, 0].flatten(0, 1))


def test_keys_of_the_querys_own_video_are_left_out(monkeypatch):
    objective, clips = mcl(tasks=("inter",), mask_own=True, terms=()), batch()
    objective.training_step(clips, 0)
    stored = objective.queue.state_dict()
    rows, videos = stored["rows"].double().numpy().copy(), stored["videos"].tolist()
    assert videos[:12] == [video for video in range(4) for _ in range(3)]
    with torch.no_grad():
        queries = objective.heads(objective.backbone(objective.network_input(clips.views[:1])))[:, 0].double().numpy()
        keys = [objective.momentum_encoder(objective.network_input([view]))[:, 0] for view in clips.views[1:]]
    losses = []
    for b, query in enumerate(queries):
        negatives = sum(np.exp(query @ row / 0.1) for row, video in zip(rows, videos, strict=True) if video != b)
        similar = [np.exp(query @ key[b].double().numpy() / 0.1) for key in keys]
        losses += [-np.log(positive / (positive + negatives)) for positive in similar]
    assert objective.training_step(clips, 0).item() == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("terms", [(), ("t",), ("s", "st")])
def test_terms_that_are_off_do_not_count(terms):
    objective = mcl(tasks=("inter",), terms=terms)
    loss = objective.training_step(batch(), 0)
    logged = logged_by(objective)
    shared = {"alignment_weight", "alignment_target_distance"} if terms else set()
    assert {name for name in logged if name.startswith("alignment_")} == shared | {
        f"alignment_{term}{of}" for term in terms for of in ("", "_other")
    }
    expected = logged["inter_loss"] + 2 * sum(logged[f"alignment_{term}"] for term in terms)
    torch.testing.assert_close(loss.detach(), expected)
    assert objective.needs_motion == bool(terms)


def test_without_terms_it_needs_no_motion():
    objective, clips = mcl(terms=()), batch()
    clips.motion = None
    assert objective.training_step(clips, 0).isfinite()


# --- derivatives ---


def gradients_of_a_step(backbone, form, precision):
    objective, clips = in_mid_run(mcl(backbone, form=form)), batch(num_videos=2, size=32)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        loss = objective.training_step(clips, 0)
    assert loss.dtype == torch.float32
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters() if parameter.requires_grad}
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.any(), name
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backbone", ["small", "r3d_18"])
def test_gradients_are_finite_and_reach_everything(form, backbone):
    gradients_of_a_step(backbone, form, "float32")


# Not r3d_18: it halves 4 frames to 2, where torch's own bfloat16 gradients are wrong on some CPUs (docs/backbones.md).
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backbone", ["small", "slow_r18"])
def test_bfloat16_gives_nearly_the_gradient_of_float32(form, backbone):
    exact, rounded = (gradients_of_a_step(backbone, form, precision) for precision in ("float32", "bfloat16"))
    assert torch.cosine_similarity(exact, rounded, dim=0) > 0.8


def test_bfloat16_gives_nearly_the_loss_of_float32():
    losses = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            losses.append(mcl("small").training_step(batch(size=32), 0).item())
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize("form", FORMS)
def test_the_whole_loss_has_the_slope_that_small_steps_measure(form):
    objective = in_mid_run(mcl(form=form)).double()
    clips = batch(num_videos=3)
    clips.motion = clips.motion.double()
    queue = objective.queue.state_dict()["rows"].clone()
    weight = objective.backbone.conv1.weight
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def loss(step):
        objective.queue.load_state_dict({"rows": queue, "num_written": torch.tensor(0)})
        with torch.no_grad():
            weight.add_(direction, alpha=step)
        return objective.training_step(clips, 0)

    (slope,) = torch.autograd.grad(loss(0.0), weight)
    step = 1e-4  # larger steps cross the kinks of the rectifiers, smaller ones drown in the float32 of the contrast
    difference = (loss(step) - loss(-2 * step)) / (2 * step)
    assert difference.item() == pytest.approx((slope * direction).sum().item(), rel=5e-2)


@pytest.mark.parametrize("form", FORMS)
def test_a_still_clip_is_finite(form):
    objective, clips = mcl("small", form=form), batch(size=32)
    clips.motion = torch.zeros_like(clips.motion)
    loss = objective.training_step(clips, 0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)


# --- processes ---


class Step(nn.Module):
    """What DistributedDataParallel sees of an objective in training."""

    def __init__(self, objective):
        super().__init__()
        self.objective = objective

    def forward(self, clips):
        return self.objective.training_step(clips, 0)


def share_of(clips, rank, world_size):
    mine = slice(rank * len(clips) // world_size, (rank + 1) * len(clips) // world_size)
    return ClipBatch(
        [view[mine] for view in clips.views],
        clips.label[mine],
        clips.index[mine],
        clips.motion[mine],
        clips.starts[mine],
    )


def exact(form, mask_own):
    """In float64: in float32 the rounding depends on the number of rows, and on the processor."""
    return in_mid_run(mcl(queue_size=20, mask_own=mask_own, form=form)).double()


def two_batches(objective, wrapped, rank=0, world_size=1):
    """Losses and gradients of two steps that accumulate: the second is contrasted with the first one's keys."""
    losses = []
    for seed in range(2):
        clips = share_of(batch(seed=seed), rank, world_size)
        loss = wrapped(replace(clips, motion=clips.motion.double()))
        loss.backward()
        losses.append(loss.detach())
    gradients = {name: p.grad for name, p in objective.named_parameters() if p.requires_grad}
    return {"losses": torch.stack(losses), "gradients": gradients, "queue": objective.queue.state_dict()}


def _compare_with_one_process(rank, world_size, form, mask_own):
    objective = exact(form, mask_own)
    found = two_batches(objective, DistributedDataParallel(Step(objective)), rank, world_size)
    expected = torch.load("expected.pt", weights_only=True)
    torch.distributed.all_reduce(found["losses"])
    torch.testing.assert_close(found["losses"] / world_size, expected["losses"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["queue"], expected["queue"], rtol=1e-4, atol=1e-5)
    for name, gradient in found["gradients"].items():
        torch.testing.assert_close(gradient, expected["gradients"][name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(("form", "mask_own"), [("feature", True), ("weighted-gradient", False)])
def test_two_processes_equal_one(form, mask_own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objective = exact(form, mask_own)
    torch.save(two_batches(objective, Step(objective)), "expected.pt")
    run_on_processes(_compare_with_one_process, 2, form, mask_own)


def _with_batch_norm(rank, world_size):
    objective = in_mid_run(mcl("small"))
    wrapped = DistributedDataParallel(Step(objective))
    for seed in range(2):
        wrapped(share_of(batch(seed=seed, size=32), rank, world_size)).backward()
    gradients = [p.grad for p in objective.parameters() if p.requires_grad]
    assert all(gradient.isfinite().all() for gradient in gradients)
    for gradient in gradients:
        summed = gradient.clone()
        torch.distributed.all_reduce(summed)
        torch.testing.assert_close(summed / world_size, gradient)


def test_second_derivatives_through_batch_norm_on_two_processes():
    run_on_processes(_with_batch_norm, 2)


# --- mistakes ---


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MotionAlignment(form="gradient"), "model.alignment.form: unknown form 'gradient'"),
        (lambda: MotionAlignment(terms=("st", "ts")), "model.alignment.terms: unknown name 'ts'"),
        (lambda: MotionAlignment(weight=-1.0), "model.alignment.weight must be 0 or more"),
        (lambda: mcl(tasks=("inter", "inter")), "model.tasks: every name once"),
        (lambda: mcl(tasks=("intre",)), "Did you mean 'intra'|Did you mean 'inter'"),
        (lambda: mcl(tasks=(), terms=()), "at least one task"),
        (lambda: mcl(tasks=("intra",)), "'inter' where model.alignment.form is a weighted one"),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises(VidsslError, match=message):
        build()


def test_a_copy_goes_its_own_way():
    objective = mcl()
    other = copy.deepcopy(objective)
    objective.training_step(batch(), 0)
    assert other.queue.num_written == 0
