"""Motion alignment as a part of any method: the network should look at what moves.

Source: Li et al., "Motion-Focused Contrastive Learning of Video Representations", ICCV 2021, section 3.3, where it is a
part of MCL. The loss itself is in ``vidssl/losses/motion_alignment.py``; here are its settings, the layer and the views
that it is taken of, and what is logged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import reduce
from operator import add

from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from vidssl.backbones.contract import Backbone
from vidssl.errors import VidsslError, nearest
from vidssl.losses.motion_alignment import (
    FORMS,
    GRADIENT_FORMS,
    RELEASED_ATTENTION_SCALE,
    TERMS,
    alignment_terms,
    map_contrast,
    motion_target,
    prediction_map,
    similarity_gradient,
    target_distance,
)
from vidssl.nn.gather import gather, rank
from vidssl.objectives.checks import check_names

logger = logging.getLogger(__name__)

TARGETS = ("own", "other")
UNIFORM_BELOW = 0.2
"""Standard deviation over mean of a prediction map: its cosine with the constant map is then above 0.98.

Untrained networks on real videos have 0.06 to 0.11 with ``weighted-gradient`` at the last layer, and 0.8 or more with
the other forms and at earlier layers (docs/measurements.md).
"""


@dataclass(frozen=True)
class MotionAlignment:
    """The motion alignment loss (section 3.3); the defaults are those of the paper's best row and the released code.

    Attributes:
        form: what is aligned: ``feature`` (eq. 3), ``weighted-feature`` (eq. 4 and 5) or ``weighted-gradient`` (eq. 6).
        terms: any of ``st`` (over time and space), ``s`` (space), ``t`` (time); none switches the loss off.
        weight: factor of the loss.
        warmup_factor: further factor during the first epochs.
        warmup_epochs: how many those are.
        attention_scale: sharpness of the attention over time in ``st``; 0 switches the attention off. The default
            gives that of the released code.
        layer: whose output is aligned, ``last`` or a name that ``vidssl list layers --backbone NAME`` shows.
        target: whose motion it is aligned with: that of the clip's ``own`` video, or, as a control, that of an
            ``other`` video, the one before it in the batch of all processes.

    Raises:
        VidsslError: an unknown form, term or target, a number out of its range; the message names the key.
    """

    form: str = "weighted-gradient"
    terms: tuple[str, ...] = ("st", "s", "t")
    weight: float = 1.0
    warmup_factor: float = 2.0
    warmup_epochs: int = 5
    attention_scale: float = RELEASED_ATTENTION_SCALE
    layer: str = "last"
    target: str = "own"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            hint = f"{nearest(self.form, FORMS)} Known: {', '.join(FORMS)}."
            raise VidsslError(f"model.alignment.form: unknown form {self.form!r}.{hint}")
        check_names("model.alignment.terms", self.terms, TERMS)
        check_names("model.alignment.target", (self.target,), TARGETS)
        for name in ("weight", "warmup_factor", "warmup_epochs", "attention_scale"):
            if not getattr(self, name) >= 0:
                raise VidsslError(f"model.alignment.{name} must be 0 or more, got {getattr(self, name)}.")

    @property
    def needs_gradient(self) -> bool:
        """Whether the loss trains through second derivatives."""
        return bool(self.terms) and self.form in GRADIENT_FORMS


@dataclass
class AlignmentOutput:
    """The loss and what is worth logging.

    Attributes:
        loss: scalar with gradient, the sum of the terms.
        metrics: of this step, without gradient: each term (``alignment_st``), the same prediction with another video's
            motion (``alignment_st_other``), and ``alignment_target_distance``; the latter two from two videos on, where
            they are asked for.
        prediction: P, V B x T' x H' x W', the aligned views one after the other.
    """

    loss: Tensor
    metrics: dict[str, Tensor]
    prediction: Tensor


class MotionAligner:
    """Aligns the maps of a backbone with the motion of the clips, as `settings` say.

    Args:
        settings: with at least one term.
        backbone: has the layer.

    Raises:
        VidsslError: the backbone does not list the layer.
    """

    def __init__(self, settings: MotionAlignment, backbone: Backbone) -> None:
        self.settings = settings
        self.layer = backbone.layer_named(settings.layer)
        self.min_videos = 2 if settings.target == "other" else 1
        self._is_first = True

    def encode(self, backbone: Backbone, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of normalised clips, and the maps of the layer, see `Backbone.forward_aligned`."""
        return backbone.forward_aligned(clips, self.layer)

    def weight(self, epoch: int) -> float:
        """Return the factor of the loss in an epoch, counted from 0."""
        early = epoch < self.settings.warmup_epochs
        return self.settings.weight * (self.settings.warmup_factor if early else 1.0)

    def __call__(
        self, maps: Tensor, motion: Tensor | None, similarity: Tensor | None, *, compares_others: bool = True
    ) -> AlignmentOutput:
        """Compare what maps say with what moves.

        Args:
            maps: A, V B x C x T' x H' x W', the first V views of B videos, one view after the other.
            motion: float B x T x h x w, of the first view, the only one that is then aligned; or B x U x T x h x w.
            similarity: see `Objective.alignment_loss`.
            compares_others: whether the metrics that take other videos' motion are wanted; it comes from all processes.

        Raises:
            VidsslError: a weighted form without similarity, no motion, shapes that do not fit, or another video's
                motion where there is one video.
        """
        targets = view_targets(maps, motion)
        prediction = self._prediction(maps, similarity, targets.shape[0] * targets.shape[1])
        trains_others = self.settings.target == "other"
        others, everybodys = None, targets.transpose(0, 1)  # videos come first
        if trains_others or compares_others:
            everybodys = gather(everybodys)
            if len(everybodys) > 1:
                first = rank() * targets.shape[1]
                others = everybodys.roll(1, dims=0)[first : first + targets.shape[1]].transpose(0, 1)
            elif trains_others:
                raise VidsslError(
                    "model.alignment.target 'other' aligns a video with the motion of another one, and the batch has "
                    "one video: set data.batch_size to 2 or more."
                )
        compared = {"own": self._terms(prediction, targets, is_trained=not trains_others)}
        metrics = {f"alignment_{term}": value.detach() for term, value in compared["own"].items()}
        if others is not None:
            compared["other"] = self._terms(prediction, others, is_trained=trains_others)
            metrics |= {f"alignment_{term}_other": value.detach() for term, value in compared["other"].items()}
            metrics["alignment_target_distance"] = target_distance(everybodys.transpose(0, 1))
        return AlignmentOutput(reduce(add, compared[self.settings.target].values()), metrics, prediction)

    def _prediction(self, maps: Tensor, similarity: Tensor | None, num_rows: int) -> Tensor:
        if not self.settings.needs_gradient:
            return prediction_map(self.settings.form, maps[:num_rows])
        if similarity is None:
            raise VidsslError(
                f"model.alignment.form {self.settings.form!r} differentiates the similarity of positives: give it to "
                "alignment_loss, or set the form to 'feature'."
            )
        gradients = similarity_gradient(similarity, maps)
        return prediction_map(self.settings.form, maps[:num_rows], gradients[:num_rows])

    def _terms(self, prediction: Tensor, targets: Tensor, *, is_trained: bool) -> dict[str, Tensor]:
        return alignment_terms(
            prediction if is_trained else prediction.detach(),
            targets.flatten(0, 1),
            self.settings.terms,
            attention_scale=self.settings.attention_scale,
        )

    def begin(self, objective: nn.Module) -> None:
        """Begin a run: refuse torch's SyncBatchNorm, without a second derivative, where the loss needs one.

        Raises:
            VidsslError: such layers with a weighted form of alignment.
        """
        self._is_first = True
        synchronised = [name for name, module in objective.named_modules() if isinstance(module, nn.SyncBatchNorm)]
        if synchronised and self.settings.needs_gradient:
            raise VidsslError(
                f"model.alignment.form {self.settings.form!r} trains through second derivatives, which "
                f"torch.nn.SyncBatchNorm ({synchronised[0]}, ...) does not have: take vidssl.nn.SyncBatchNorm, as "
                "trainer.sync_batchnorm of vidssl fit does (in Python: Trainer(plugins=[vidssl.nn.LayerSync()]))."
            )

    def report_first(self, prediction: Tensor) -> None:
        """Warn, once in a run, where the first prediction maps say next to nothing about where and when."""
        if not self._is_first:
            return
        self._is_first = False
        contrast = float(map_contrast(prediction))
        if contrast < UNIFORM_BELOW:
            rank_zero_only(logger.warning)(
                "model.alignment: the maps of form %r at the layer %s are nearly the same in every cell (standard "
                "deviation / mean %.3f, below %s): aligning them will hardly train the network. Set "
                "model.alignment.form to 'feature', or model.alignment.layer to an earlier one (vidssl list layers).",
                self.settings.form,
                self.layer,
                contrast,
                UNIFORM_BELOW,
            )


def view_targets(maps: Tensor, motion: Tensor | None) -> Tensor:
    """Return the motion of each view that can be aligned, on the grid of the maps.

    Args:
        maps: V B x C x T' x H' x W', one view after the other.
        motion: float B x T x h x w, of the first view, or B x U x T x h x w.

    Returns:
        M, float32 (float64 if `motion` is) W x B x T' x H' x W', where W is the smaller of V and U.

    Raises:
        VidsslError: no motion, or shapes that do not fit.
    """
    if motion is None or motion.ndim not in (4, 5) or len(motion) == 0 or len(maps) % len(motion):
        found = "None" if motion is None else f"of shape {tuple(motion.shape)}"
        raise VidsslError(
            "Motion alignment needs the motion of each video, B x T x h x w or B x views x T x h x w, for maps of "
            f"whole views, one after the other; got motion {found} and {len(maps)} maps."
        )
    views = motion[None] if motion.ndim == 4 else motion.transpose(0, 1)[: len(maps) // len(motion)]
    frames, rows, columns = maps.shape[2:]
    return motion_target(views.flatten(0, 1), (frames, rows, columns)).unflatten(0, (len(views), -1))
