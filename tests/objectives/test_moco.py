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


def moco(num_views=2, queries="first", **contrast):
    torch.manual_seed(0)
    settings = {"embedding_dim": 8, "hidden_dim": 16, "queue_size": 10, **contrast}
    contrast = MomentumContrast(**settings)
    return MoCo(BackboneSpec(name="plain"), contrast=contrast, num_views=num_views, queries=queries)


def batch(num_videos=4, seed=0, num_views=2):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_videos, 3, 4, 16, 16)
    views = [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(num_views)]
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


@pytest.mark.parametrize("queries", ["first", "each"])
@pytest.mark.parametrize("num_views", [2, 3, 4])
def test_several_views_are_positives_one_at_a_time(num_views, queries):
    objective, clips = moco(num_views, queries, queue_size=30), batch(num_views=num_views)
    rows = objective.queue.state_dict()["rows"].clone()
    with torch.no_grad():
        for parameter in objective.momentum_encoder.parameters():
            parameter.mul_(1.1)
        embedded, keys = [], []
        for view in clips.views:
            network_input = objective.network_input([view])
            embedded.append(objective.heads(objective.backbone(network_input))[:, 0])
            keys.append(objective.momentum_encoder(network_input)[:, 0])
        losses = []
        for query in range(num_views if queries == "each" else 1):
            for key in range(num_views):
                if key != query:
                    positive = (embedded[query] * keys[key]).sum(1, keepdim=True)
                    logits = torch.cat((positive, embedded[query] @ rows.T), dim=1) / 0.1
                    losses.append(F.cross_entropy(logits, torch.zeros(4, dtype=torch.long)))
    torch.testing.assert_close(objective.training_step(clips, 0).detach(), torch.stack(losses).mean())
    stored = keys if queries == "each" else keys[1:]
    written = objective.queue.state_dict()
    assert written["num_written"] == 4 * len(stored)
    # all keys of a video, video after video
    torch.testing.assert_close(written["rows"][: 4 * len(stored)], torch.stack(stored, dim=1).flatten(0, 1))


@pytest.mark.parametrize("queries", ["first", "each"])
def test_keys_of_the_querys_own_video_are_left_out(queries):
    num_views = 3
    masked, clips = moco(num_views, queries, mask_own=True, queue_size=30), batch(num_views=num_views)
    clips.index = torch.tensor([5, 6, 5, 7])  # a video may come twice
    plain = copy.deepcopy(masked)
    plain.contrast = MomentumContrast()
    first = masked.training_step(clips, 0), plain.training_step(clips, 0)
    assert torch.equal(*first)  # no key was in the queue yet
    rows, videos = masked.queue.state_dict()["rows"].clone(), masked.queue.state_dict()["videos"].tolist()
    stored = num_views if queries == "each" else num_views - 1
    assert videos[: 4 * stored] == [video for video in (5, 6, 5, 7) for _ in range(stored)]
    assert set(videos[4 * stored :]) == {-1}
    with torch.no_grad():
        losses = []
        for query in range(num_views if queries == "each" else 1):
            embedded = masked.heads(masked.backbone(masked.network_input([clips.views[query]])))[:, 0]
            for key in set(range(num_views)) - {query}:
                keys = masked.momentum_encoder(masked.network_input([clips.views[key]]))[:, 0]
                for number, video in enumerate(clips.index.tolist()):
                    others = rows[[of != video for of in videos]]
                    logits = torch.cat((embedded[number] @ keys[number][:, None], others @ embedded[number])) / 0.1
                    losses.append(F.cross_entropy(logits[None], torch.zeros(1, dtype=torch.long)))
    second = masked.training_step(clips, 0)
    torch.testing.assert_close(second.detach(), torch.stack(losses).mean())
    assert second < plain.training_step(clips, 0)


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
