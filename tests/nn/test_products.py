"""Products that stay float32 where those of the network may be less, in derivatives too."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vidssl.losses import info_nce, queue_info_nce, swapped_assignment, vicreg_terms
from vidssl.nn.products import product

PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")


class Precisions(TorchDispatchMode):
    """Notes what is allowed whenever matrices are multiplied."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name in PRODUCTS:
            self.seen.append(torch.get_float32_matmul_precision())
        return func(*args, **(kwargs or {}))


def test_derivatives_are_those_of_a_product():
    generator = torch.Generator().manual_seed(0)
    for shapes in (((3, 4), (4, 2)), ((5, 3, 4), (5, 4, 2))):
        left, right = (
            torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes
        )
        torch.testing.assert_close(product(left, right), left @ right)
        assert torch.autograd.gradcheck(product, (left, right))
        assert torch.autograd.gradgradcheck(product, (left, right))


def test_losses_compare_in_full_float32_forward_and_backward():
    torch.manual_seed(0)
    rows, queue, prototypes = (torch.randn(shape, requires_grad=True) for shape in ((8, 6), (5, 6), (7, 6)))
    losses = {
        "info_nce": lambda: info_nce(*rows.chunk(2), temperature=0.1, reduction="mean").loss,
        "queue_info_nce": lambda: queue_info_nce(rows, rows[:, None].flip(0), queue, temperature=0.1).loss,
        "swapped_assignment": lambda: (
            swapped_assignment(rows.chunk(2), prototypes, temperature=0.1, epsilon=0.05, num_iterations=3).loss
        ),
        "vicreg": lambda: vicreg_terms(*rows.chunk(2)).covariance,
    }
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        for name, loss in losses.items():
            with Precisions() as precisions:
                (first,) = torch.autograd.grad(loss(), rows, create_graph=True)
                forward = len(precisions.seen)
                first.square().sum().backward()
            assert 0 < forward < len(precisions.seen), name
            assert set(precisions.seen) == {"highest"}, name
            assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
