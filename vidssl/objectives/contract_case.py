"""What an objective is checked with: its settings, and small batches of random clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser  # builds an objective from settings, as vidssl fit does
from torch import Tensor

from vidssl.errors import VidsslError
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import Objective
from vidssl.types import ClipBatch

SMALL_BACKBONE = {"name": "small"}


@dataclass(frozen=True)
class ClipShape:
    """The batches that an objective is checked with.

    Attributes:
        num_videos: videos per step, an even number: two processes share them.
        num_frames: of a clip.
        size: height and width of a clip, in pixels.
        motion_size: height and width of a map of motion, in cells.
        motion_views: whose motion a batch has, that of the ``first`` view or of ``all`` (`ClipBatch.motion`).
    """

    num_videos: int = 4
    num_frames: int = 4
    size: int = 32
    motion_size: int = 8
    motion_views: str = "first"

    def __post_init__(self) -> None:
        if min(self.num_videos, self.num_frames, self.size, self.motion_size) < 1 or self.num_videos % 2:
            raise VidsslError(
                f"Checks need an even number of videos, and frames, pixels and cells of at least 1, got {self}."
            )


@dataclass(frozen=True)
class Case:
    """An objective with its settings; plain values, so that another process can build the same.

    Attributes:
        class_path: ``package.module.Class``.
        settings: what is below ``init_args`` in a configuration; without ``backbone``, it is the small one.
        clips: what it is checked with.
        synchronised: whether BatchNorm takes the statistics of the batch of all processes where it is compared with one
            process; without, it takes its running statistics there.
    """

    class_path: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    clips: ClipShape = ClipShape()
    synchronised: bool = False

    @classmethod
    def of(cls, objective: str | type[Objective], settings: Mapping[str, Any] | None = None, **kwargs: Any) -> Case:
        """Return the case of a registered name or a class.

        Raises:
            VidsslError: nothing, or nothing that can be used, has this name.
        """
        kind = OBJECTIVES.get(objective) if isinstance(objective, str) else objective
        return cls(f"{kind.__module__}.{kind.__qualname__}", dict(settings or {}), **kwargs)

    def build(self, seed: int = 0) -> Objective:
        """Build the objective as a configuration would, its weights drawn from `seed`.

        Raises:
            VidsslError: settings that the objective does not take.
        """
        settings = {"backbone": dict(SMALL_BACKBONE), **self.settings}
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Objective, "objective")
        torch.manual_seed(seed)
        try:
            config = parser.parse_object({"objective": {"class_path": self.class_path, "init_args": settings}})
        except ArgumentError as error:
            raise VidsslError(f"{self.class_path} does not take the settings {settings}: {error}") from error
        return parser.instantiate_classes(config).objective

    def batch(self, objective: Objective, number: int = 0) -> ClipBatch:
        """Return the batch with this number: what `objective` asks for, random; labels are 0, 1, 2, ..."""
        clips, generator = self.clips, torch.Generator().manual_seed(number)
        shape = (clips.num_videos, 3, clips.num_frames, clips.size, clips.size)
        views = [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(objective.num_views)]
        rows = torch.arange(clips.num_videos)
        views_with_motion = (len(views),) if clips.motion_views == "all" else ()
        motion_shape = (clips.num_videos, *views_with_motion, clips.num_frames, clips.motion_size, clips.motion_size)
        motion = torch.rand(motion_shape, generator=generator) if objective.needs_motion else None
        starts = torch.arange(clips.num_videos * len(views)).view(clips.num_videos, -1)
        choices = torch.tensor(list(objective.needs_strides) or [1])
        strides = choices[torch.randint(len(choices), starts.shape, generator=generator)]
        extras = {name: self._extra(example, generator) for name, example in objective.needs_extras.items()}
        return ClipBatch(views, rows, rows, motion=motion, starts=starts, strides=strides, extras=extras)

    def _extra(self, example: Tensor, generator: torch.Generator) -> Tensor:
        """Return random numbers where the example has such, else the example, for every video."""
        shape = (self.clips.num_videos, *example.shape)
        if not example.is_floating_point():
            return example.expand(shape).clone()
        return torch.rand(shape, generator=generator, dtype=example.dtype)
