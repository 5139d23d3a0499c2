"""SimCLR, BYOL, SimSiam, VICReg and SwAV: their steps, several clips per video, and 2 processes against 1."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from processes import run_on_processes
from pytorch_lightning import Trainer
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from vidssl_with_extras import PlainBackbone  # noqa: F401  (registers the backbone "plain")

from vidssl.errors import VidsslError
from vidssl.losses.info_nce import info_nce
from vidssl.losses.prediction import negative_cosine, normalised_regression
from vidssl.losses.vicreg import vicreg_terms
from vidssl.nn.schedules import rising_momentum
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import BackboneSpec, OptimizerSpec
from vidssl.objectives.moco import MomentumContrast
from vidssl.objectives.swav import Clustering
from vidssl.objectives.vicreg import VICRegWeights
from vidssl.types import ClipBatch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")

SMALL = {
    "SimCLR": {"hidden_dims": (12,), "embedding_dim": 8},
    "BYOL": {"hidden_dim": 12, "embedding_dim": 8, "momentum": 0.9},
    "SimSiam": {"embedding_dim": 8, "bottleneck_dim": 4},
    "VICReg": {"hidden_dims": (12,), "embedding_dim": 8},
    "SwAV": {"hidden_dim": 12, "embedding_dim": 8, "clustering": Clustering(num_prototypes=5)},
    "MoCo": {"contrast": MomentumContrast(embedding_dim=8, hidden_dim=12, queue_size=20)},
}
ANY_NUMBER_OF_VIEWS = ("SimCLR", "BYOL", "SwAV", "MoCo")


def without_batch_statistics(module):
    """Put what computes the same for a clip whatever the batch in the place of every BatchNorm."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm3d)):
            setattr(module, name, nn.Identity())
        without_batch_statistics(child)
    return module


def build(name, backbone="plain", **settings):
    torch.manual_seed(0)
    return OBJECTIVES.get(name)(
        BackboneSpec(name=backbone), OptimizerSpec(learning_rate=0.1, warmup_epochs=0), **{**SMALL[name], **settings}
    )


def batch(num_videos=4, num_views=2, seed=0, size=16):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_videos, 3, 4, size, size)
    views = [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(num_views)]
    return ClipBatch(views, label=torch.arange(num_videos), index=torch.arange(num_videos))


def step(objective, clips, monkeypatch):
    """Return the loss and what was logged."""
    logged = {}
    monkeypatch.setattr(objective, "log_training", lambda **metrics: logged.update(metrics))
    return objective.training_step(clips, 0), logged


def embedded(objective, clips):
    """Embeddings of each view, computed together as the step does."""
    embeddings = objective.projection(objective.backbone(objective.network_input(clips.views)))
    return embeddings.chunk(len(clips.views))


# --- the steps ---


@pytest.mark.parametrize("num_views", [2, 4])
def test_simclr_contrasts_unit_embeddings(num_views, monkeypatch):
    objective, clips = build("SimCLR", num_views=num_views), batch(num_views=num_views)
    views = [F.normalize(view, dim=1) for view in embedded(objective, clips)]
    loss, logged = step(objective, clips, monkeypatch)
    torch.testing.assert_close(loss, info_nce(*views, temperature=0.1, reduction="mean").loss)
    assert {"loss", "contrastive_accuracy", "entropy", "embeddings"} == logged.keys()


@pytest.mark.parametrize("num_views", [2, 4])
def test_byol_predicts_what_the_target_network_says(num_views, monkeypatch):
    objective, clips = build("BYOL", num_views=num_views), batch(num_views=num_views)
    with torch.no_grad():
        for parameter in objective.target.parameters():
            parameter.add_(0.1)
    predictions = objective.prediction(torch.cat(embedded(objective, clips))).chunk(num_views)
    targets = objective.target(objective.network_input(clips.views)).chunk(num_views)
    loss, logged = step(objective, clips, monkeypatch)
    torch.testing.assert_close(loss, normalised_regression(predictions, targets))
    assert {"loss", "momentum", "embeddings"} == logged.keys()
    loss.backward()
    assert all(parameter.grad is None for parameter in objective.target.parameters())


def test_simsiam_predicts_what_it_embedded(monkeypatch):
    objective, clips = build("SimSiam"), batch()
    embeddings = embedded(objective, clips)
    predictions = objective.prediction(torch.cat(embeddings)).chunk(2)
    expected = negative_cosine(predictions, [view.detach() for view in embeddings])
    loss, logged = step(objective, clips, monkeypatch)
    torch.testing.assert_close(loss, expected)
    assert {"loss", "embeddings"} == logged.keys()
    # the embedding is normalised without scale: mean 0 and deviation 1 over the batch in each dimension
    both = torch.cat(embeddings)
    torch.testing.assert_close(both.mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(both.std(dim=0, correction=0), torch.ones(8), atol=1e-2, rtol=0)


def test_vicreg_weighs_its_terms(monkeypatch):
    weights = VICRegWeights(invariance=2.0, variance=3.0, covariance=5.0)
    objective, clips = build("VICReg", weights=weights), batch()
    terms = vicreg_terms(*embedded(objective, clips))
    loss, logged = step(objective, clips, monkeypatch)
    torch.testing.assert_close(loss, 2 * terms.invariance + 3 * terms.variance + 5 * terms.covariance)
    for name, value in vars(terms).items():
        torch.testing.assert_close(logged[f"{name}_loss"], value.detach())


def test_swav_keeps_prototypes_of_length_one_and_frozen_at_first():
    objective = build("SwAV")
    started = objective.prototypes.detach().clone()
    torch.testing.assert_close(started.norm(dim=1), torch.ones(5))
    after_epoch = []
    objective.on_train_epoch_end = lambda: after_epoch.append(objective.prototypes.detach().clone())
    trainer(max_epochs=2).fit(objective, DataLoader([batch(seed=seed) for seed in range(2)], batch_size=None))
    torch.testing.assert_close(after_epoch[0], started)
    assert not torch.allclose(after_epoch[1], started, atol=1e-4)
    torch.testing.assert_close(after_epoch[1].norm(dim=1), torch.ones(5))


def trainer(**settings):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def test_byols_target_follows_once_a_step_with_rising_momentum():
    objective = build("BYOL")
    followed = []
    follow = objective.target.update

    def update(*parts, momentum):
        followed.append(momentum)
        follow(*parts, momentum=momentum)

    objective.target.update = update
    loader = DataLoader([batch(seed=seed) for seed in range(4)], batch_size=None)
    trainer(max_epochs=2, accumulate_grad_batches=2).fit(objective, loader)
    # 4 steps of the optimiser; the formula of section 3.3
    assert followed == pytest.approx([1 - 0.1 * (math.cos(math.pi * k / 4) + 1) / 2 for k in range(4)])


def test_the_momentum_schedule():
    assert rising_momentum(0.996, 0.0) == pytest.approx(0.996)
    assert rising_momentum(0.996, 0.5) == pytest.approx(0.998)
    assert rising_momentum(0.996, 1.0) == 1.0


# --- what holds for all ---


@pytest.mark.parametrize("name", SMALL)
def test_the_loss_is_float32_under_autocast_and_gradients_are_finite(name):
    objective = build(name, "small")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective.training_step(batch(size=32), 0)
    assert loss.dtype == torch.float32
    loss.backward()
    gradients = [parameter.grad for parameter in objective.parameters() if parameter.requires_grad]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", SMALL)
def test_all_views_go_through_the_network_together(name):
    objective, calls = build(name), []
    objective.backbone.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    objective.training_step(batch(), 0)
    assert calls == ([4] if name == "MoCo" else [8])  # MoCo's key goes through the momentum encoder


@pytest.mark.parametrize("num_views", [2, 3, 4])
@pytest.mark.parametrize("name", ANY_NUMBER_OF_VIEWS)
def test_any_number_of_views(name, num_views):
    objective = build(name, num_views=num_views)
    assert objective.num_views == num_views
    loss = objective.training_step(batch(num_views=num_views), 0)
    loss.backward()
    without = [
        key for key, p in objective.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []


class Step(nn.Module):
    """What DistributedDataParallel sees of an objective in training."""

    def __init__(self, objective):
        super().__init__()
        self.objective = objective

    def forward(self, clips):
        return self.objective.training_step(clips, 0)


def share_of(clips, rank, world_size):
    mine = slice(rank * len(clips) // world_size, (rank + 1) * len(clips) // world_size)
    return ClipBatch([view[mine] for view in clips.views], clips.label[mine], clips.index[mine])


def cases():
    found = [(name, {"num_views": 3}) for name in ANY_NUMBER_OF_VIEWS] + [("SimSiam", {}), ("VICReg", {})]
    masked = replace(SMALL["MoCo"]["contrast"], mask_own=True)
    return [*found, ("MoCo", {"num_views": 3, "queries": "each"}), ("MoCo", {"contrast": masked})]


def exact(name, settings):
    objective = without_batch_statistics(build(name, **settings))
    assert objective.exact_across_processes
    return (
        objective.double()
    )  # float32 rounds otherwise for other numbers of rows, by how much depends on the processor


def losses_and_gradients(objective, wrapped, rank=0, world_size=1):
    """Two batches whose gradients accumulate; MoCo contrasts the second with the first one's keys."""
    losses = []
    for seed in range(2):
        clips = share_of(batch(6, objective.num_views, seed), rank, world_size)
        loss = wrapped(clips)
        loss.backward()
        losses.append(loss.detach())
    gradients = {name: p.grad for name, p in objective.named_parameters() if p.requires_grad}
    return {"losses": torch.stack(losses), "gradients": gradients}


def _compare_with_one_process(rank, world_size):
    expected = torch.load("expected.pt", weights_only=True)
    for number, (name, settings) in enumerate(cases()):
        objective = exact(name, settings)
        found = losses_and_gradients(objective, DistributedDataParallel(Step(objective)), rank, world_size)
        dist.all_reduce(found["losses"])
        torch.testing.assert_close(found["losses"] / world_size, expected[number]["losses"], rtol=1e-4, atol=1e-5)
        for key, gradient in found["gradients"].items():
            message = f"{name} {settings}: {key}"
            torch.testing.assert_close(
                gradient, expected[number]["gradients"][key], rtol=1e-3, atol=1e-5, msg=lambda t, m=message: f"{m}: {t}"
            )


def test_two_processes_equal_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = []
    for name, settings in cases():
        objective = exact(name, settings)
        expected.append(losses_and_gradients(objective, Step(objective)))
        assert all(gradient.any() for gradient in expected[-1]["gradients"].values()), name
    torch.save(expected, "expected.pt")
    run_on_processes(_compare_with_one_process, 2)


# --- defaults and mistakes ---


def test_papers_defaults():
    widths = {}
    for name in ("SimCLR", "BYOL", "SimSiam", "SwAV"):
        objective = OBJECTIVES.get(name)(BackboneSpec(name="small"))
        widths[name] = [m.out_features for m in objective.projection.modules() if isinstance(m, nn.Linear)]
        if name in ("BYOL", "SimSiam"):
            widths[name] += [m.out_features for m in objective.prediction if isinstance(m, nn.Linear)]
    assert widths == {
        "SimCLR": [2048, 128],
        "BYOL": [4096, 256, 4096, 256],
        "SimSiam": [2048, 2048, 2048, 512, 2048],
        "SwAV": [2048, 128],
    }
    assert Clustering() == Clustering(3000, temperature=0.1, epsilon=0.05, num_iterations=3, frozen_epochs=1)
    assert VICRegWeights() == VICRegWeights(25.0, 25.0, 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build("SimCLR", num_views=1), r"model\.num_views must be at least 2, got 1"),
        (lambda: build("SimCLR", temperature=0.0), r"model\.temperature must be above 0"),
        (lambda: OBJECTIVES.get("SimCLR")(hidden_dims=(16, 0)), r"model\.hidden_dims: a layer must be at least 1 wide"),
        (lambda: OBJECTIVES.get("BYOL")(momentum=1.5), r"model\.momentum must be from 0 to 1, got 1\.5"),
        (lambda: OBJECTIVES.get("SimSiam")(bottleneck_dim=0), r"model\.bottleneck_dim"),
        (lambda: VICRegWeights(covariance=-1.0), r"model\.weights\.covariance must be at least 0"),
        (lambda: Clustering(num_prototypes=0), r"model\.clustering\.num_prototypes must be at least 1"),
        (lambda: Clustering(epsilon=0.0), r"model\.clustering\.epsilon must be above 0"),
        (lambda: build("MoCo", queries="eech"), r"model\.queries: unknown choice 'eech'.*Did you mean 'each'"),
        (lambda: build("MoCo", num_views=1), r"model\.num_views must be at least 2"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(VidsslError, match=message):
        make()
