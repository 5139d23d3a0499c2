import numpy as np
import pytest
import torch

from vidssl.nn.lars import LARS


def naive_steps(weight, gradients, *, lr, momentum, weight_decay, trust):
    """Algorithm 1: local rate = trust |w| / |g + decay w|; velocity = momentum velocity + rate (g + decay w)."""
    weight, velocity = weight.copy(), np.zeros_like(weight)
    for gradient in gradients:
        gradient = gradient + weight_decay * weight
        rate = trust * np.sqrt((weight**2).sum()) / np.sqrt((gradient**2).sum()) if weight.ndim > 1 else 1.0
        velocity = momentum * velocity + rate * gradient
        weight = weight - lr * velocity
    return weight


@pytest.mark.parametrize("shape", [(4, 3), (5,), (2, 3, 1, 2, 2)])
def test_steps_are_the_papers(shape):
    rng = np.random.default_rng(0)
    weight, gradients = rng.normal(size=shape), rng.normal(size=(3, *shape))
    parameter = torch.nn.Parameter(torch.from_numpy(weight.copy()))
    settings = {"lr": 2.0, "momentum": 0.9, "weight_decay": 0.1}
    optimizer = LARS([parameter], **settings)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    np.testing.assert_allclose(parameter.detach().numpy(), naive_steps(weight, gradients, trust=0.001, **settings))


def test_the_size_of_a_gradient_does_not_matter_to_a_kernel():
    moved = []
    for factor in (1e-6, 1e6):
        kernel = torch.nn.Parameter(torch.ones(3, 3))
        kernel.grad = factor * torch.eye(3)
        LARS([kernel], lr=1.0).step()
        moved.append(kernel.detach())
    torch.testing.assert_close(*moved)
    assert (moved[0] - 1).norm().item() == pytest.approx(0.001 * 3, rel=1e-3)


def test_zero_kernels_and_zero_gradients():
    still, new = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.zeros(2, 2))
    still.grad, new.grad = torch.zeros(2, 2), torch.ones(2, 2)
    unused = torch.nn.Parameter(torch.ones(2, 2))
    LARS([still, new, unused], lr=0.5).step()
    assert torch.equal(still, torch.ones(2, 2))
    assert torch.equal(new, torch.full((2, 2), -0.5))
    assert torch.equal(unused, torch.ones(2, 2))


def test_state_continues():
    def steps(optimizer, parameter, number):
        for step in range(number):
            parameter.grad = torch.full((2, 2), float(step + 1)) + torch.eye(2)
            optimizer.step()

    whole, first = (torch.nn.Parameter(torch.eye(2) + 1) for _ in range(2))
    steps(LARS([whole], lr=1.0), whole, 2)
    before = LARS([first], lr=1.0)
    steps(before, first, 1)
    after = LARS([first], lr=1.0)
    after.load_state_dict(before.state_dict())
    first.grad = torch.full((2, 2), 2.0) + torch.eye(2)
    after.step()
    assert torch.equal(whole, first)


def test_a_closure_is_evaluated_with_gradients():
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = LARS([parameter], lr=1.0)

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4
    assert (parameter < 1).all()
