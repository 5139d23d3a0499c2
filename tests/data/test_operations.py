"""Augmentation operations: the shipped ones, those of a user's in a recipe, and the checks of both."""

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from vidssl.data.augmentation import CVRL_VIEW_1, AugmentationRecipe, Plan, apply, draw
from vidssl.data.contracts.operation import OperationContract, fault_of
from vidssl.data.operations import OPERATIONS, Operation
from vidssl.data.operations.shipped import Blur, Grey, Jitter, Solarise
from vidssl.errors import VidsslError

SHIPPED = [Jitter(0.5, brightness=0.4, hue=0.1), Grey(), Blur(), Solarise(0.2, 100)]


@dataclass(frozen=True)
class Erase(Operation):
    """Blacken a square, the same in every frame."""

    probability: float = 1.0
    share: float = 0.5

    def draw(self, rng, size):
        side = max(1, int(self.share * size))
        return {"corner": [int(place) for place in rng.integers(size - side + 1, size=2)], "side": side}

    @staticmethod
    def apply(frames, **drawn):
        (top, left), side = drawn["corner"], drawn["side"]
        frames[:, top : top + side, left : left + side] = 0


class Copies(Erase):
    @staticmethod
    def apply(frames, **drawn):
        return frames.copy()


class DrawsLate(Erase):
    @staticmethod
    def apply(frames, **drawn):
        frames += np.random.randint(1, 9, frames.shape).astype(np.uint8)  # noqa: NPY002


class OverTime(Erase):
    @staticmethod
    def apply(frames, **drawn):
        frames[...] = frames.mean(axis=0).astype(np.uint8)


class NotPlain(Erase):
    def draw(self, rng, size):
        return {"place": np.int64(3)}


def erase(frames, corner, side):
    places = torch.arange(frames.shape[-1], device=frames.device)
    is_inside = (places >= corner[..., None]) & (places < (corner + side[:, None])[..., None])  # N x 2 x S
    square = is_inside[:, 0, :, None] & is_inside[:, 1, None, :]
    return frames.masked_fill_(square[:, None, None], 0)


class OnDevice(Erase):
    @staticmethod
    def device_steps(size, **drawn):
        return [(erase, drawn)]


class OtherOnDevice(Erase):
    @staticmethod
    def device_steps(size, **drawn):
        return [(lambda frames, corner, side: erase(frames, corner.flip(1), side), drawn)]


class LooksAtValues(Erase):
    @staticmethod
    def device_steps(size, **drawn):
        return [(lambda frames, corner, side: erase(frames, corner, side) * float(side.max() > 0), drawn)]


class Idle(Erase):
    @staticmethod
    def apply(frames, **drawn):
        """Change nothing."""


def test_every_shipped_operation_is_registered_and_keeps_the_contract():
    assert {type(operation).__name__ for operation in SHIPPED} == set(OPERATIONS.names())
    for operation in [*SHIPPED, OnDevice()]:
        results = OperationContract(operation).results()
        assert [str(result) for result in results if result.outcome != "passed"] == [], operation
    in_loader = [result for result in OperationContract(Erase()).results() if result.outcome != "passed"]
    assert [(result.check, result.outcome) for result in in_loader] == [("device", "not claimed")]


@pytest.mark.parametrize(
    ("operation", "check", "told"),
    [
        (Copies(), "pixels", "must change frames in place and return nothing, got ndarray"),
        (Idle(), "pixels", "apply changed nothing in 15 draws"),
        (DrawsLate(), "draws", "whatever is random belongs to draw"),
        (OverTime(), "frames", "change every frame by itself"),
        (OtherOnDevice(), "device", "levels from the loader's on average.*must do what apply does"),
        (LooksAtValues(), "device", "must not look at values"),
        (NotPlain(), "plan", "draw must return what JSON can hold"),
        (Erase(probability=2), "settings", "probability must be a number from 0 to 1, got 2"),
    ],
)
def test_what_is_wrong_is_named(operation, check, told):
    result = OperationContract(operation).run(check)
    assert result.outcome == "failed"
    assert re.search(told, result.detail), result.detail


def test_what_is_no_operation_is_refused():
    class NoStatic(Erase):
        def apply(self, frames, **drawn):
            pass

    assert "apply must be a @staticmethod" in fault_of(NoStatic)
    assert "is not a class below" in fault_of(AugmentationRecipe)
    with pytest.raises(VidsslError, match=r"Blur\.sigma is two positive numbers"):
        Blur(sigma=(2.0, 1.0))
    with pytest.raises(VidsslError, match=r"Grey\.probability must be from 0 to 1"):
        Grey(1.5)


def test_operations_come_last_and_their_draws_are_in_the_plan():
    rng = np.random.default_rng
    recipe = replace(CVRL_VIEW_1, crop_size=56, operations=[Erase(share=0.5), Grey(0.0)])
    plain = replace(recipe, operations=())
    frames = rng(0).integers(1, 255, (4, 80, 90, 3)).astype(np.uint8)
    plan = draw(recipe, rng(3), num_frames=4, height=80, width=90)
    # the draws before stay what they were: a recipe without operations gives the same views as ever
    before = draw(plain, rng(3), num_frames=4, height=80, width=90)
    assert plan.frames[0].operations[:-1] == before.frames[0].operations
    erased, whole = apply(frames, plan), apply(frames, before)
    (top, left), side = plan.frames[0].drawn()["Erase"]["corner"], 28
    assert not erased[:, top : top + side, left : left + side].any()
    outside = np.ones((56, 56), bool)
    outside[top : top + side, left : left + side] = False
    np.testing.assert_array_equal(erased[:, outside], whole[:, outside])

    read_back = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert read_back == plan
    np.testing.assert_array_equal(apply(frames, read_back), erased)
