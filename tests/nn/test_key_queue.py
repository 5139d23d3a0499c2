import copy
import io
import pickle

import pytest
import torch
from processes import run_on_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vidssl.nn.key_queue import KeyQueue

CPU = torch.device("cpu")


def numbered(first, count, dim=2):
    return torch.arange(first, first + count).float()[:, None].expand(count, dim)


def test_rows_are_written_in_turn_and_wrap():
    queue = KeyQueue(5, 2)
    written = []
    for first in range(0, 21, 3):  # batches of 3 into 5 rows: no multiple
        queue.append(numbered(first, 3))
        written += range(first, first + 3)
        for number in written[-5:]:
            assert (queue.keys(CPU)[number % 5] == number).all()
        assert queue.pointer == len(written) % 5
        assert queue.fill == min(1.0, len(written) / 5)


def test_more_keys_than_rows_keep_the_last():
    queue = KeyQueue(4, 2)
    queue.append(numbered(0, 11))
    assert sorted(queue.keys(CPU)[:, 0].tolist()) == [7, 8, 9, 10]
    queue.append(numbered(11, 1))
    assert sorted(queue.keys(CPU)[:, 0].tolist()) == [8, 9, 10, 11]


def test_rows_are_found_by_their_video():
    queue = KeyQueue(4, 2)
    assert not queue.rows_of(torch.tensor([0, 1])).any()
    queue.append(numbered(0, 2), torch.tensor([7, 8]))
    queue.append(numbered(2, 1))  # of a video that is not known
    assert queue.rows_of(torch.tensor([8, 7, 9])).int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    queue.append(numbered(3, 2), torch.tensor([8, 9]))  # the last overwrites the first
    assert queue.rows_of(torch.tensor([8, 7, 9])).int().tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_first_rows_are_unit_vectors_whatever_was_drawn_before():
    first = KeyQueue(64, 16).keys(CPU)
    torch.manual_seed(123)
    assert torch.equal(first, KeyQueue(64, 16).keys(CPU))
    torch.testing.assert_close(first.norm(dim=1), torch.ones(64))


def test_keys_in_use_may_be_overwritten():
    queue = KeyQueue(4, 2)
    query = torch.randn(3, 2, requires_grad=True)
    keys = queue.keys(CPU)
    loss = (query @ keys.T).exp().sum()
    queue.append(numbered(0, 3))
    loss.backward()
    torch.testing.assert_close(query.grad, (query @ keys.T).exp().detach() @ keys)


class Holder(nn.Module):
    def __init__(self, size=5):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.queue = KeyQueue(size, 2)

    def forward(self, inputs):
        return self.linear(inputs)


def test_state_dict_restores_rows_and_pointer():
    holder = Holder()
    holder.queue.append(numbered(0, 7), torch.arange(7))
    file = io.BytesIO()
    torch.save(holder.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert {"queue.rows", "queue.videos", "queue.num_written"} < state.keys()
    other = Holder()
    other.load_state_dict(state)
    for queue in (holder.queue, other.queue):
        queue.append(numbered(7, 2), torch.arange(7, 9))
    assert torch.equal(holder.queue.rows_of(torch.arange(9)), other.queue.rows_of(torch.arange(9)))
    assert torch.equal(holder.queue.keys(CPU), other.queue.keys(CPU))
    assert other.queue.pointer == holder.queue.pointer == 4
    # and the file's tensors are its own
    assert (state["queue.rows"] < 7).all()
    assert (state["queue.videos"] < 7).all()


def test_a_state_dict_without_videos_is_read_as_of_unknown_ones():
    state = Holder().state_dict()
    del state["queue.videos"]
    holder = Holder()
    holder.queue.append(numbered(0, 3), torch.arange(3))
    holder.load_state_dict(state)
    assert not holder.queue.rows_of(torch.arange(5)).any()
    assert holder.queue.num_written == 0


def test_state_dict_of_another_size_and_without_a_queue_are_refused():
    with pytest.raises(RuntimeError, match=r"queue.rows is \(5, 2\) in the file, not \(6, 2\)"):
        Holder(6).load_state_dict(Holder(5).state_dict())
    state = {name: value for name, value in Holder().state_dict().items() if not name.startswith("queue")}
    with pytest.raises(RuntimeError, match=r'Missing key.*"queue.rows", "queue.num_written"'):
        Holder().load_state_dict(state)


def test_it_can_be_copied_and_pickled():
    holder = Holder()
    holder.queue.append(numbered(0, 3))
    for other in (copy.deepcopy(holder), pickle.loads(pickle.dumps(holder))):
        assert torch.equal(other.state_dict()["queue.rows"], holder.queue.keys(CPU))
        other.queue.append(numbered(3, 1))
        assert other.queue.pointer == 4
        assert holder.queue.pointer == 3


def _same_on_all_and_never_sent(rank, world_size):
    holder = Holder()
    wrapped = DistributedDataParallel(holder)
    holder.queue.append(numbered(10 * rank, 2), torch.arange(10 * rank, 10 * rank + 2))
    assert holder.queue.keys(CPU)[:4, 0].tolist() == [0, 1, 10, 11]
    assert holder.queue.rows_of(torch.tensor([0, 1, 10, 11]))[:, :4].equal(torch.eye(4, dtype=torch.bool))
    if rank > 0:  # a mark that the first process's rows would wipe out
        holder.queue._rows[4] = 99
    wrapped(torch.randn(3, 2)).sum().backward()
    assert (holder.queue.keys(CPU)[4] == 99).all() == (rank > 0)


def test_processes_hold_the_same_rows_and_do_not_send_them_every_step():
    run_on_processes(_same_on_all_and_never_sent, 2)
