"""The contract of an objective, as checks: those behind ``vidssl check objective``, which your own tests can use, too.

    contract = Contract(MyMethod, {"embedding_dim": 16})

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        result = contract.run(check)
        assert result.outcome != "failed", result

Nothing here needs pytest. The checks train on random clips, on the CPU, and leave torch's generator as it was.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vidssl.contract_checks import CheckResult, ContractError, NotClaimed, run_check
from vidssl.objectives.base import Objective
from vidssl.objectives.contract import fault_of, is_count
from vidssl.objectives.contract_case import Case, ClipShape
from vidssl.objectives.contract_runs import (
    TrainedRun,
    gradients_of_a_step,
    gradients_on_two_processes,
    step,
    train,
    train_killed_and_continued,
)

# A layer whose output is multiplied by a weight that begins with 0 learns from the second step on.
STEPS_UNTIL_ALL_LEARN = 3
LEARNING_RATE = 0.01
# Sums in another order differ in float32: share of a gradient's norm, or of the largest's where it is next to nothing.
RELATIVE_TOLERANCE = 1e-3
WORKERS = (0, 2)


class Contract:
    """The checks of one objective with one choice of settings.

    Args:
        objective: the class, or a registered name.
        settings: what is below ``init_args`` in a configuration, as plain values; without ``backbone``, it is
            the small one.
        clips: what it is checked with.
        synchronised: see `Case`.

    Raises:
        VidsslError: nothing that can be used has this name.
    """

    def __init__(
        self,
        objective: str | type[Objective],
        settings: Mapping[str, Any] | None = None,
        clips: ClipShape | None = None,
        *,
        synchronised: bool = False,
    ) -> None:
        self.case = Case.of(objective, settings, clips=clips or ClipShape(), synchronised=synchronised)

    def run(self, check: str) -> CheckResult:
        """Run one of `CHECKS`; whatever an objective raises is a failed check.

        Raises:
            KeyError: no check has this name.
        """
        function = CHECKS[check]
        with torch.random.fork_rng(devices=[]):
            return run_check(check, lambda: function(self))

    def results(self, checks: Iterable[str] | None = None) -> list[CheckResult]:
        """Run several checks, all without a choice."""
        return [self.run(check) for check in (CHECKS if checks is None else checks)]

    @cached_property
    def trained(self) -> TrainedRun:
        """An uninterrupted training."""
        return train(self.case)

    @cached_property
    def on_two_processes(self) -> dict[str, Tensor]:
        """Loss and gradients of a step on two processes."""
        return gradients_on_two_processes([self.case])[0]


def check_class(contract: Contract) -> str:
    """The class can be built from a configuration, and asks for what a data module can deliver."""
    objective = contract.case.build()
    kind = type(objective)
    fault = fault_of(kind)
    if fault is not None:
        raise ContractError(fault)
    parameters = list(inspect.signature(kind).parameters.values())
    if [parameter.name for parameter in parameters[:2]] != ["backbone", "optimizer"]:
        raise ContractError("the first arguments of __init__ must be backbone and optimizer, as those of the base are")
    bare = [parameter.name for parameter in parameters if parameter.annotation is parameter.empty]
    if bare:
        raise ContractError(f"arguments without a type cannot be set in a configuration: {', '.join(bare)}")
    if not is_count(objective.num_views):
        raise ContractError(f"num_views must be the number of clips of each video, got {objective.num_views!r}")
    needs = [*(["motion"] if objective.needs_motion else []), *(["labels"] if objective.needs_labels else [])]
    needs += [f"strides {', '.join(map(str, objective.needs_strides))}"] if objective.needs_strides else []
    needs += [*objective.needs_extras, *objective.needs_sampler]
    words = f", with {', '.join(needs)}" if needs else ""
    return f"{objective.num_views} views per video{words}; settings: {', '.join(p.name for p in parameters)}"


def check_loss(contract: Contract) -> str:
    """The loss is a finite scalar with a gradient."""
    objective = contract.case.build()
    if not objective.automatic_optimization:
        losses = contract.trained.losses
        words = f"{losses[0]:.4f} in a first step; " if losses else ""
        return f"{words}the method steps its optimisers itself (automatic_optimization is False)"
    loss = step(objective, contract.case.batch(objective))
    if not isinstance(loss, Tensor) or loss.shape != () or not loss.requires_grad:
        shape = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        flag = "" if getattr(loss, "requires_grad", True) else " without gradient"
        raise ContractError(f"training_step must return a scalar tensor with a gradient; it returns {shape}{flag}")
    if not loss.isfinite():
        raise ContractError(f"the loss of a first step is {loss.item()}")
    return f"{loss.item():.4f} in a first step"


def check_gradients(contract: Contract) -> str:
    """A gradient reaches every trainable parameter; DDP would wait for a parameter without one."""
    objective = contract.case.build()
    parameters = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    if not objective.automatic_optimization:
        return _check_all_learn(contract, parameters)
    optimizer = torch.optim.SGD(parameters.values(), lr=LEARNING_RATE)
    waiting = set(parameters)
    for number in range(STEPS_UNTIL_ALL_LEARN):
        optimizer.zero_grad()
        step(objective, contract.case.batch(objective, number)).backward()
        gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        unused = [name for name in parameters if name not in gradients]
        if unused:
            raise ContractError(
                f"the loss does not depend on {_listed(unused, parameters)}: use them, or set requires_grad to False"
            )
        wrong = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        if wrong:
            raise ContractError(f"gradients are not finite: {_listed(wrong, parameters)}")
        waiting -= {name for name in waiting if gradients[name].any()}
        optimizer.step()
    if waiting:
        still = [name for name in parameters if name in waiting]
        raise ContractError(f"the gradient is 0 in {STEPS_UNTIL_ALL_LEARN} steps: {_listed(still, parameters)}")
    count = sum(p.numel() for p in parameters.values())
    return f"reach all {len(parameters)} trainable parameters ({count:,} numbers)"


def _check_all_learn(contract: Contract, parameters: Mapping[str, Tensor]) -> str:
    """Every parameter of a method that steps its optimisers itself has changed after a short training."""
    still = [name for name, before in parameters.items() if torch.equal(before, contract.trained.state[name])]
    if still:
        raise ContractError(
            f"no optimiser changes {_listed(still, parameters)}: give them to one, step it, or set requires_grad to "
            "False"
        )
    count = sum(p.numel() for p in parameters.values())
    return f"{len(contract.trained.optimizers)} optimisers change all {len(parameters)} parameters ({count:,} numbers)"


def check_processes(contract: Contract) -> str:
    """Two processes with half of the videos each have the loss and the gradients of one, where that is claimed."""
    objective = contract.case.build()
    if not objective.exact_across_processes:
        raise NotClaimed("exact_across_processes is False: two processes may learn otherwise than one")
    if not objective.automatic_optimization:
        raise ContractError(
            "exact_across_processes cannot be verified where a method steps its optimisers itself: leave it False"
        )
    expected, found = gradients_of_a_step(contract.case), contract.on_two_processes
    largest = max(value.norm() for name, value in expected.items() if name != "loss")
    wrong = {}
    for name, value in expected.items():
        difference = (found[name] - value).norm() if name in found else value.norm()
        scale = value.abs() if name == "loss" else torch.maximum(value.norm(), RELATIVE_TOLERANCE * largest)
        if difference > RELATIVE_TOLERANCE * scale:
            wrong[name] = f"{name} ({float(difference / scale):.1e} of it)"
    if wrong:
        words = _listed(list(wrong.values()), expected)
        raise ContractError(
            f"two processes with half of the videos each differ from one: {words}. What is taken over the batch goes "
            "through vidssl.nn.gather; or exact_across_processes is False"
        )
    return f"loss {found['loss'].item():.4f} and all gradients are those of one process"


def check_state(contract: Contract) -> str:
    """The state dict holds what a step depends on, in plain tensors."""
    if not contract.case.build().automatic_optimization:
        raise NotClaimed("the method steps its optimisers itself: the check `resuming` shows what the state lacks")
    first, second = contract.case.build(), contract.case.build(seed=1)
    step(first, contract.case.batch(first, 0))  # moves queues, counters, running statistics
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    losses = []
    for objective in (first, second):
        torch.manual_seed(0)
        losses.append(step(objective, contract.case.batch(objective, 1)))
    if not torch.equal(*losses):
        raise ContractError(
            f"an instance with the state of another has the loss {losses[1].item():.6f}, not {losses[0].item():.6f}: "
            "something is neither a parameter nor a buffer"
        )
    return f"{len(first.state_dict())} entries; a restored instance has the same loss"


def check_training(contract: Contract) -> str:
    """Two short epochs on the CPU, with evaluation: the losses are finite and the backbone learns."""
    run = contract.trained
    wrong = [number for number, loss in enumerate(run.losses) if loss != loss or abs(loss) == float("inf")]
    if wrong:
        raise ContractError(f"the loss is {run.losses[wrong[0]]} in step {wrong[0]}")
    before = contract.case.build().state_dict()
    if all(torch.equal(before[name], value) for name, value in run.state.items() if name.startswith("backbone.")):
        raise ContractError("the backbone is as it was before training")
    words = (
        f"{len(run.losses)} steps, loss {run.losses[0]:.4f} to {run.losses[-1]:.4f}" if run.losses else "no loss logged"
    )
    return f"{words}, on the CPU"


def check_resuming(contract: Contract) -> str:
    """A run that is killed within an epoch and continued ends with the same state, with loader workers too."""
    whole = contract.trained
    for num_workers in WORKERS:
        continued = train_killed_and_continued(contract.case, num_workers)
        run = f"a run with {num_workers} loader workers that was killed and continued ends with another"
        different = _differences(whole.state, continued.state)
        if different:
            raise ContractError(
                f"{run} {_listed(different, whole.state)}: what a step depends on must be in the state dict, draws "
                "must come from torch's global generator"
            )
        if not _equal(whole.optimizers, continued.optimizers):
            raise ContractError(f"{run} state of the optimiser")
    return "a run that was killed and continued ends with the same weights, bit by bit, with 0 and 2 loader workers"


CHECKS: dict[str, Callable[[Contract], str]] = {
    "class": check_class,
    "loss": check_loss,
    "gradients": check_gradients,
    "state": check_state,
    "training": check_training,
    "resuming": check_resuming,
    "processes": check_processes,
}
"""Name -> check, in the order in which they are run; each returns what it found or raises."""


def _differences(first: Any, second: Any) -> list[str]:
    """Names of the entries of two mappings that are not equal to the last bit, what they hold included."""
    return [name for name in first if name not in second or not _equal(first[name], second[name])]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(_equal, first, second))
    return first == second


def _listed(names: list[str], of: Mapping[str, Any], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more} ({len(names)} of {len(of)})"
