import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from processes import run_on_processes

from vidssl.errors import VidsslError
from vidssl.evaluation.callbacks import FrozenFeatureEvaluation, gather_videos

GROUPS = np.array([-1, 5, 6, 7, 8, 9], np.int32)


def batch(*rows):
    index = torch.tensor(rows)
    return {"features": index[:, None].float() * torch.ones(1, 3), "label": index % 2, "index": index}


def test_videos_are_sorted_by_row_with_label_and_group():
    videos = gather_videos([batch(4, 1), batch(3)], GROUPS, np.array([1, 3, 4]))
    assert videos.features[:, 0].tolist() == [1, 3, 4]
    assert videos.labels.tolist() == [1, 1, 0]
    assert videos.groups.tolist() == [5, 7, 8]


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([batch(1, 3)], r"saw 2 videos \(2 different ones\) instead of 3"),
        ([batch(1, 3, 4), batch(4)], r"saw 4 videos \(3 different ones\) instead of 3"),
        ([batch(1, 3, 5)], "instead of 3"),
    ],
)
def test_a_video_that_is_missing_or_came_twice_is_an_error(batches, words):
    with pytest.raises(VidsslError, match=words):
        gather_videos(batches, GROUPS, np.array([1, 3, 4]))


def test_every_process_gets_the_videos_of_all():
    run_on_processes(_gather, 2)


def _gather(rank, world_size):
    mine = [batch(1, 5)] if rank == 0 else [batch(2)]
    videos = gather_videos(mine, GROUPS, np.array([1, 2, 5]))
    assert videos.features[:, 0].tolist() == [1, 2, 5]
    assert videos.groups.tolist() == [5, 6, 9]


@pytest.mark.parametrize(("num_steps", "measured"), [(2, False), (math.inf, True)])
def test_a_sanity_check_measures_only_when_it_sees_everything(monkeypatch, num_steps, measured):
    logged = []
    callback = FrozenFeatureEvaluation(["knn"])
    monkeypatch.setattr(callback, "_measure", lambda trainer: {"eval/x/knn/top1": 0.5})
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append(metrics))
    trainer = SimpleNamespace(sanity_checking=True, num_sanity_val_steps=num_steps, loggers=[logger], global_step=0)
    callback.on_validation_epoch_end(trainer, None)
    assert bool(logged) == measured
