from dataclasses import replace

import numpy as np
import pytest
import torch

from vidssl.errors import VidsslError
from vidssl.evaluation.temporal.changes import CHANGES, TimeChanges
from vidssl.evaluation.temporal.encoding import changed_batch, features_under_changes
from vidssl.types import ClipBatch

CHANGED = TimeChanges()


def numbered_batch(rows=(7, 3, 12), num_views=2, num_frames=8):
    """Every pixel of frame t of view v of the video in row r is 10 v + t."""
    frames = torch.arange(num_frames, dtype=torch.uint8).view(1, 1, num_frames, 1, 1)
    views = [(10 * view + frames).expand(len(rows), 3, num_frames, 2, 2).clone() for view in range(num_views)]
    return ClipBatch(views, label=torch.zeros(len(rows), dtype=torch.int64), index=torch.tensor(rows))


def shown(batch, view, video):
    """The frame numbers of a clip; all its pixels agree."""
    clip = batch.views[view][video] - 10 * view
    assert bool((clip == clip[:1, :, :1, :1]).all())
    return clip[0, :, 0, 0].tolist()


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("unchanged", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("reversed", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("repeated", [4] * 8),
        ("double_speed", [0, 2, 4, 6, 0, 2, 4, 6]),
        ("half_speed", [2, 2, 3, 3, 4, 4, 5, 5]),
    ],
)
def test_what_each_change_shows_of_every_clip(name, frames):
    batch = changed_batch(numbered_batch(), CHANGED, name)
    assert [shown(batch, view, video) for view in range(2) for video in range(3)] == [frames] * 6


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("num_frames", [4, 5, 7, 16, 33])
def test_every_change_keeps_the_length_and_stays_within_the_clip(name, num_frames):
    order = CHANGED.order(name, num_frames, row=3, view=1)
    assert order.shape == (num_frames,)
    assert order.min() >= 0
    assert order.max() < num_frames


def test_a_shuffled_clip_has_all_its_frames_and_no_two_views_the_same_order_by_design():
    batch = changed_batch(numbered_batch(), CHANGED, "shuffled")
    orders = [shown(batch, view, video) for view in range(2) for video in range(3)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len(set(map(tuple, orders))) == 6


def test_a_permutation_depends_on_seed_row_and_view_and_on_nothing_else():
    whole = changed_batch(numbered_batch(rows=(7, 3, 12)), CHANGED, "shuffled")
    alone = changed_batch(numbered_batch(rows=(12,), num_views=1), CHANGED, "shuffled")
    assert shown(whole, 0, 2) == shown(alone, 0, 0)
    other = changed_batch(numbered_batch(rows=(12,), num_views=1), replace(CHANGED, seed=1), "shuffled")
    assert shown(other, 0, 0) != shown(alone, 0, 0)


def test_permutations_are_uniform_among_all_but_the_identity():
    counts = {}
    for row in range(4600):
        order = tuple(CHANGED.order("shuffled", 4, row, view=0).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert (0, 1, 2, 3) not in counts
    assert len(counts) == 23
    expected = 4600 / 23
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 48.3  # 22 degrees of freedom: 0.1 %


def test_the_batch_itself_is_left_as_it_is():
    batch = numbered_batch()
    before = [view.clone() for view in batch.views]
    for name in CHANGES:
        changed_batch(batch, CHANGED, name)
    assert all(torch.equal(view, old) for view, old in zip(batch.views, before, strict=True))


def test_the_network_sees_each_changed_clip_once_and_the_unchanged_one_not_again():
    batch, seen = numbered_batch(), []

    def encode(clips):
        seen.append([shown(clips, view, 0) for view in range(2)])
        first = torch.stack([view[:, 0, 0, 0, 0].float() for view in clips.views], dim=1)
        return {"features": first[..., None], "index": clips.index}

    outputs = encode(batch)
    found = features_under_changes(encode, batch, outputs, TimeChanges(("unchanged", "reversed", "half_speed")))
    assert found["features"].shape == (3, 3, 2, 1)
    assert found["features"][0, :, :, 0].tolist() == [[0, 10], [7, 17], [2, 12]]
    assert torch.equal(found["index"], batch.index)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("unchanged", "revresed"), "Unknown change in time 'revresed'. Did you mean 'reversed'?"),
        (("reversed",), "'unchanged' first"),
        ((), "'unchanged' first"),
        (("unchanged", "reversed", "reversed"), "each once"),
    ],
)
def test_changes_that_are_none(names, message):
    with pytest.raises(VidsslError, match=message.replace("?", r"\?")):
        TimeChanges(names)


def test_clips_that_are_too_short_are_refused():
    CHANGED.check(4)
    with pytest.raises(VidsslError, match=r"Clips of 3 frames.*at least 4"):
        CHANGED.check(3)
    assert np.array_equal(CHANGED.order("half_speed", 4, 0, 0), [1, 1, 2, 2])
