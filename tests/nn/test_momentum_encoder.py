import torch
from torch import nn

from vidssl.nn.momentum_encoder import MomentumEncoder


def parts():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU()), nn.Linear(6, 3)


def test_it_starts_as_a_copy_and_shares_nothing():
    backbone, head = parts()
    follower = MomentumEncoder(backbone, head, momentum=0.9)
    inputs = torch.randn(8, 4)
    torch.testing.assert_close(follower(inputs), head(backbone(inputs)))
    with torch.no_grad():
        head.weight.add_(1)
    assert not torch.equal(follower.encoder[1].weight, head.weight)


def test_update_is_the_moving_average_of_every_parameter():
    backbone, head = parts()
    follower = MomentumEncoder(backbone, head, momentum=0.75)
    started = [parameter.clone() for parameter in follower.parameters()]
    online = [*backbone.parameters(), *head.parameters()]
    with torch.no_grad():
        for parameter in online:
            parameter.add_(torch.randn_like(parameter))
    follower.update(backbone, head)
    assert len(started) == len(online)
    for own, before, parameter in zip(follower.parameters(), started, online, strict=True):
        torch.testing.assert_close(own, 0.75 * before + 0.25 * parameter, rtol=1e-6, atol=1e-7)


def test_a_schedule_may_say_the_momentum_of_an_update():
    backbone, head = parts()
    follower = MomentumEncoder(backbone, head, momentum=0.9)
    with torch.no_grad():
        head.weight.add_(1)
    before = follower.encoder[1].weight.clone()
    follower.update(backbone, head, momentum=1.0)
    assert torch.equal(follower.encoder[1].weight, before)
    follower.update(backbone, head, momentum=0.0)
    torch.testing.assert_close(follower.encoder[1].weight, head.weight)
    assert follower.momentum == 0.9


def test_it_has_no_gradients_and_statistics_of_its_own():
    backbone, head = parts()
    follower = MomentumEncoder(backbone, head, momentum=0.9)
    assert not any(parameter.requires_grad for parameter in follower.parameters())
    keys = 5 + torch.randn(64, 4)
    assert not follower(keys.requires_grad_()).requires_grad
    norm = follower.encoder[0][1]
    # keys moved its running statistics, and nothing else did: not the query encoder, not the update
    torch.testing.assert_close(norm.running_mean, 0.1 * follower.encoder[0][0](keys).mean(dim=0).detach())
    after_keys = norm.running_mean.clone()
    backbone(torch.randn(8, 4))
    follower.update(backbone, head)
    assert torch.equal(norm.running_mean, after_keys)
    # in training mode a batch is normalised by itself
    normalised = norm(follower.encoder[0][0](keys))
    torch.testing.assert_close(normalised.mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
