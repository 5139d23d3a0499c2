"""Motion alignment as a part of any objective: its layer, its views, the control, its derivatives, and what is told."""

import copy
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from processes import run_on_processes
from vidssl_with_extras import PlainBackbone  # noqa: F401  (registers the backbone "plain")

from vidssl.backbones import build_backbone
from vidssl.errors import VidsslError
from vidssl.losses.motion_alignment import FORMS, TERMS, alignment_terms, motion_target, positive_similarity
from vidssl.objectives.alignment import MotionAligner, MotionAlignment
from vidssl.objectives.base import BackboneSpec
from vidssl.objectives.cvrl import CVRL, CVRLHead
from vidssl.types import ClipBatch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")
B, V = 3, 2


def aligner(**settings):
    return MotionAligner(MotionAlignment(**settings), build_backbone("plain"))


def draw(seed=0, grid=(2, 3, 3)):
    """Maps of V views of B videos, a similarity in their graph, and the motion of both views; float64."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(V * B, 4, *grid, generator=generator, dtype=torch.float64, requires_grad=True)
    head = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    views = (maps.relu().square().mean(dim=(2, 3, 4)) @ head).chunk(V)
    motion = torch.rand(B, V, *grid, generator=generator, dtype=torch.float64)
    return maps, positive_similarity(views, views), motion


def cvrl(backbone="plain", **alignment):
    torch.manual_seed(0)
    head = CVRLHead(hidden_dims=(16,), embedding_dim=8, batch_norm=False)
    return CVRL(BackboneSpec(name=backbone), head=head, alignment=MotionAlignment(**alignment) if alignment else None)


def batch(num_videos=4, size=16, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    views = [
        torch.randint(0, 256, (num_videos, 3, 4, size, size), generator=generator).to(torch.uint8) for _ in range(V)
    ]
    motion = torch.rand(num_videos, 4, 8, 8, generator=generator).to(dtype)
    return ClipBatch(views, label=torch.arange(num_videos), index=torch.arange(num_videos), motion=motion)


# --- the part ---


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("term", TERMS)
def test_second_derivatives_are_those_that_small_steps_measure(form, term):
    part = aligner(form=form, terms=(term,), attention_scale=0.5)
    maps, _, motion = draw()
    head = torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(weights):
        seen = (maps.detach() * weights.view(1, 4, 1, 1, 1)).tanh()  # the layer; P depends on it in all forms
        views = (seen.square().mean(dim=(2, 3, 4)) @ head).chunk(V)
        return part(seen, motion, positive_similarity(views, views)).loss

    weights = torch.rand(4, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, weights)


def test_similarity_of_positives_is_the_sum_over_pairs_of_views():
    views = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    expected = [
        sum(F.cosine_similarity(views[i, b], views[j, b], dim=0) for i in range(3) for j in range(3) if i != j)
        for b in range(2)
    ]
    torch.testing.assert_close(positive_similarity(views, views), torch.stack(expected))


@pytest.mark.parametrize("form", FORMS)
def test_every_view_is_aligned_with_its_own_motion(form):
    maps, similarity, motion = draw()
    together = aligner(form=form)(maps, motion, similarity).loss
    part = aligner(form=form)
    rows = part(maps, motion, similarity).prediction
    assert len(rows) == V * B
    alone = [
        sum(alignment_terms(rows[v * B : (v + 1) * B], motion_target(motion[:, v], (2, 3, 3)), TERMS).values())
        for v in range(V)
    ]
    torch.testing.assert_close(together, sum(alone) / V)
    first = part(maps, motion[:, 0], similarity)
    torch.testing.assert_close(first.loss, alone[0])
    assert len(first.prediction) == B
    if form == "feature":  # of the views with motion those are taken that went through the network
        torch.testing.assert_close(part(maps[:B], motion, None).loss, alone[0])


def test_the_control_takes_the_motion_of_the_video_before():
    maps, similarity, motion = draw()
    own, other = aligner()(maps, motion, similarity), aligner(target="other")(maps, motion, similarity)
    rolled = aligner()(maps, motion[[2, 0, 1]], similarity)
    torch.testing.assert_close(other.loss, rolled.loss)
    for name, value in own.metrics.items():  # what is logged means the same in both
        torch.testing.assert_close(other.metrics[name], value)
    assert set(own.metrics) == {f"alignment_{t}{o}" for t in TERMS for o in ("", "_other")} | {
        "alignment_target_distance"
    }
    torch.testing.assert_close(
        other.loss, sum(own.metrics[f"alignment_{term}_other"] for term in TERMS), check_dtype=False
    )
    assert not any(value.requires_grad for value in own.metrics.values())


def test_the_distance_of_targets_is_the_mean_over_pairs_that_move():
    maps, similarity, motion = draw()
    pairs = [
        1 - F.cosine_similarity(motion[i, v].flatten(), motion[j, v].flatten(), dim=0)
        for v in range(V)
        for i in range(B)
        for j in range(B)
        if i != j
    ]
    found = aligner()(maps, motion, similarity).metrics["alignment_target_distance"]
    torch.testing.assert_close(found, torch.stack(pairs).mean())
    still = motion.clone()
    still[1] = 0
    of_two = torch.stack([pairs[v * 6 + 1] for v in range(V)]).mean()  # the first and the third video are left
    torch.testing.assert_close(aligner()(maps, still, similarity).metrics["alignment_target_distance"], of_two)
    assert aligner()(maps, 0 * motion, similarity).metrics["alignment_target_distance"] == 0


@pytest.mark.parametrize(
    ("settings", "motion", "similarity", "told"),
    [
        ({}, None, 1.0, "got motion None and 6 maps"),
        ({}, torch.rand(4, 2, 3, 3), 1.0, r"of shape \(4, 2, 3, 3\) and 6 maps"),
        ({}, torch.rand(3, 3, 3), 1.0, r"of shape \(3, 3, 3\)"),
        ({}, torch.rand(3, 2, 3, 3), None, "differentiates the similarity of positives"),
        ({"target": "other"}, torch.rand(1, 2, 3, 3), 1.0, "the batch has one video"),
    ],
)
def test_what_cannot_be_aligned_is_told(settings, motion, similarity, told):
    maps, similar, _ = draw()
    with pytest.raises(VidsslError, match=told):
        aligner(**settings)(maps, motion, None if similarity is None else similar)


# --- in an objective ---


@pytest.mark.parametrize("form", FORMS)
def test_an_objective_adds_the_aligned_loss_to_its_own(form):
    clips = batch()
    plain, aligned = cvrl(), cvrl(form=form, weight=0.5, warmup_epochs=1)
    own, loss = plain.training_step(clips, 0), aligned.training_step(clips, 0)
    logged = aligned.logged_terms
    assert logged["train/alignment_weight"] == 1.0  # doubled in the first epochs
    expected = own + sum(logged[f"train/alignment_{term}"] for term in TERMS)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logged["train/loss"], expected.detach())
    assert not any("alignment_" in name for name in plain.logged_terms)
    assert aligned.needs_motion
    assert not plain.needs_motion


def test_without_terms_it_is_as_without_alignment():
    clips = replace(batch(), motion=None)
    objective = cvrl(terms=())
    assert not objective.needs_motion
    assert torch.equal(objective.training_step(clips, 0), cvrl().training_step(clips, 0))


def test_the_layer_is_a_setting():
    losses = {}
    for layer in ("last", "stages.2.conv", "stages.0.conv"):
        objective = cvrl("small", layer=layer)
        losses[layer] = objective.training_step(batch(size=32), 0)
        losses[layer].backward()
        assert objective.backbone.stem[0].weight.grad.isfinite().all()
    assert torch.equal(losses["last"], losses["stages.2.conv"])
    assert losses["last"] != losses["stages.0.conv"]
    with pytest.raises(VidsslError, match=r"no layer 'stage\.1' .* Known: last, stages\.0\.conv, stages\.1\.conv"):
        cvrl("small", layer="stage.1")


def test_the_control_needs_a_second_video():
    with pytest.raises(VidsslError, match=r"set data\.batch_size to 2 or more, not 1"):
        cvrl(target="other").check_batch(1, 1)
    cvrl(target="other").check_batch(2, 2)
    with pytest.raises(VidsslError, match=r"model\.alignment\.target: unknown name 'others'\. Did you mean 'other'"):
        MotionAlignment(target="others")


def _compare_with_one_process(rank, world_size, settings):
    objective = cvrl(**settings).double()
    clips = batch(dtype=torch.float64)
    mine = slice(rank * 2, rank * 2 + 2)
    share = ClipBatch([view[mine] for view in clips.views], clips.label[mine], clips.index[mine], clips.motion[mine])
    alone = copy.deepcopy(objective)
    loss = objective.training_step(share, 0)
    loss.backward()
    expected = torch.load("expected.pt", weights_only=True)
    for name, parameter in alone.named_parameters():
        parameter.grad = dict(objective.named_parameters())[name].grad
        torch.distributed.all_reduce(parameter.grad)
        torch.testing.assert_close(parameter.grad / world_size, expected[name], rtol=1e-3, atol=1e-5, msg=name)
    for name, value in objective.logged_terms.items():
        if "alignment_" in name and "weight" not in name:
            torch.distributed.all_reduce(value)
            torch.testing.assert_close(value / world_size, expected[name], msg=name)


@pytest.mark.parametrize("target", ["own", "other"])
def test_two_processes_equal_one(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"target": target}
    objective = cvrl(**settings).double()
    objective.training_step(batch(dtype=torch.float64), 0).backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters()}
    torch.save({**gradients, **{k: v for k, v in objective.logged_terms.items() if v is not None}}, "expected.pt")
    run_on_processes(_compare_with_one_process, 2, settings)


# --- what is reported at the start ---


def test_nearly_uniform_maps_are_reported_once(caplog):
    part = aligner()
    flat, uneven = torch.ones(2, 2, 3, 3), torch.rand(2, 2, 3, 3)
    aligner().report_first(uneven)
    assert not caplog.messages
    part.report_first(flat)
    part.report_first(flat)
    (message,) = caplog.messages
    assert re.search(r"nearly the same in every cell .*0\.000, below 0\.2.* to 'feature'", message)
