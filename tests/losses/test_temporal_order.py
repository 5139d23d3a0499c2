import pytest
import torch
import torch.nn.functional as F
from processes import run_on_processes

from vidssl.losses.temporal_order import order_label, order_loss


def test_label_says_before_after_or_neither():
    query = torch.tensor([0, 9, 5, 3, 7])
    others = torch.tensor([[4, 2], [3, 8], [4, 6], [3, 8], [7, 7]])
    assert order_label(query, others).tolist() == [1, 0, -1, -1, -1]


def rows():
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    return logits, torch.tensor([1, -1, 0, 1, -1, -1])


def test_rows_without_an_order_are_left_out():
    logits, label = rows()
    output = order_loss(logits, label)
    kept = [0, 2, 3]
    torch.testing.assert_close(output.loss, F.cross_entropy(logits[kept], label[kept]))
    assert output.accuracy.item() == pytest.approx((logits[kept].argmax(1) == label[kept]).float().mean().item())


def test_no_order_at_all_is_zero_with_zero_gradients():
    logits = torch.randn(3, 2, requires_grad=True)
    loss = order_loss(logits, torch.full((3,), -1)).loss
    loss.backward()
    assert loss == 0
    assert logits.grad.isfinite().all()
    assert not logits.grad.any()


def _compare_with_one_process(rank, world_size):
    logits, label = rows()
    mine = slice(rank * 3, rank * 3 + 3)  # two defined rows here, one there
    loss = order_loss(logits[mine], label[mine]).loss
    torch.distributed.all_reduce(loss)
    defined = label >= 0
    torch.testing.assert_close(loss / world_size, F.cross_entropy(logits[defined], label[defined]))


def test_processes_together_equal_one():
    run_on_processes(_compare_with_one_process, 2)
