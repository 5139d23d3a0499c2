import copy

import pytest
import torch
import torch.nn.functional as F
from vidssl_with_extras import PlainBackbone  # noqa: F401  (registers the backbone "plain")

from vidssl.errors import VidsslError
from vidssl.objectives.base import BackboneSpec
from vidssl.objectives.moco import MoCo, MomentumContrast
from vidssl.types import ClipBatch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")


def moco(**contrast):
    torch.manual_seed(0)
    settings = {"embedding_dim": 8, "hidden_dim": 16, "queue_size": 10, **contrast}
    return MoCo(BackboneSpec(name="plain"), contrast=MomentumContrast(**settings))


def batch(num_videos=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randint(0, 256, (num_videos, 3, 4, 16, 16), generator=generator).to(torch.uint8) for _ in range(2)]
    return ClipBatch(views, label=torch.arange(num_videos), index=torch.arange(num_videos))


def test_loss_is_infonce_against_the_queue_as_it_was():
    objective = moco()
    follower = copy.deepcopy(objective.momentum_encoder)
    rows = objective.queue.state_dict()["rows"].clone()
    clips = batch()
    with torch.no_grad():
        queries = F.normalize(
            objective.heads.heads["inter"](objective.backbone(objective.network_input(clips.views[:1])))
        )
        keys = follower(objective.network_input(clips.views[1:]))[:, 0]
        logits = torch.cat(((queries * keys).sum(1, keepdim=True), queries @ rows.T), dim=1) / 0.1
        expected = F.cross_entropy(logits, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(objective.training_step(clips, 0).detach(), expected)
    written = objective.queue.state_dict()
    torch.testing.assert_close(written["rows"][:4], keys)
    assert torch.equal(written["rows"][4:], rows[4:])
    assert written["num_written"] == 4


def test_keys_are_encoded_by_the_follower_alone():
    objective = moco()
    clips = batch()
    with torch.no_grad():
        for parameter in objective.momentum_encoder.parameters():
            parameter.zero_()
    objective.training_step(clips, 0).backward()
    assert not objective.queue.state_dict()["rows"][:4].any()
    assert all(parameter.grad is None for parameter in objective.momentum_encoder.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queue_size": 0}, "model.contrast.queue_size must be at least 1"),
        ({"hidden_dim": 0}, "model.contrast.hidden_dim"),
        ({"temperature": 0.0}, "model.contrast.temperature must be above 0"),
        ({"momentum": 1.0}, "model.contrast.momentum"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(VidsslError, match=message):
        MomentumContrast(**settings)


def test_papers_defaults():
    contrast = MomentumContrast()
    assert (contrast.embedding_dim, contrast.temperature, contrast.queue_size, contrast.momentum) == (
        128,
        0.1,
        131072,
        0.999,
    )
