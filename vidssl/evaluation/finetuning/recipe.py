"""What a fine-tuning protocol says about training, and what a run really did, in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidssl.errors import VidsslError

if TYPE_CHECKING:
    from vidssl.data.plan import AugmentationRecipe
    from vidssl.evaluation.features.video_features import VideoFeatures
    from vidssl.evaluation.protocols.outcome import Outcome

# Switched on by a probability above 0; flipping has a field of its own.
_FURTHER = ("jitter", "grey", "blur", "solarise")


@dataclass(frozen=True)
class FineTuningRecipe:
    """The settings of a fine-tuning run that its number depends on, beside network, weights and test clips.

    A configuration carries them out; the record of a run tells where it differs from the protocol's.

    Attributes:
        labelled_fraction: share of the training videos of every class, in (0, 1].
        epochs: passes over them; None where the run is given in steps.
        batch_size: videos an optimiser step, over all processes and accumulated batches.
        optimizer: name, see `OptimizerSpec`.
        learning_rate: the peak, for that batch size.
        momentum: of SGD.
        weight_decay: on kernels only.
        warmup_epochs: length of the linear warm-up.
        gradient_clip: norm to which gradients are cut; None for no limit.
        dropout: share of the features, before the classifier.
        label_smoothing: share of the target that is spread over all classes.
        training_num_frames: frames per clip; one clip per video and epoch, at a random time.
        training_stride: distance in frames between two frames of a clip.
        training_crop_size: side of the crop, pixels.
        crop_area: smallest and greatest area of the crop, as a share of the frame's.
        crop_aspect: smallest and greatest width / height of the crop.
        flip_probability: of mirroring left and right.
        further_augmentation: what else is drawn, with its probability ("jitter 0.8").
    """

    labelled_fraction: float = 1.0
    epochs: int | None = 200
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.005
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_epochs: float = 0.0
    gradient_clip: float | None = None
    dropout: float = 0.5
    label_smoothing: float = 0.0
    training_num_frames: int = 32
    training_stride: int = 2
    training_crop_size: int = 224
    crop_area: tuple[float, float] = (0.3, 1.0)
    crop_aspect: tuple[float, float] = (0.5, 2.0)
    flip_probability: float = 0.5
    further_augmentation: tuple[str, ...] = ()

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Refuse: frozen features cannot be fine-tuned.

        Raises:
            VidsslError: always.
        """
        raise VidsslError("Fine-tuning trains the network itself; it does not measure frozen features.")


def described_augmentation(recipe: AugmentationRecipe) -> dict[str, Any]:
    """Return what a `FineTuningRecipe` says about the augmentation of a view."""
    further = [
        f"{name} {probability:g}" for name in _FURTHER if (probability := getattr(recipe, f"{name}_probability")) > 0
    ]
    return {
        "training_crop_size": recipe.crop_size,
        "crop_area": tuple(recipe.crop_area),
        "crop_aspect": tuple(recipe.crop_aspect),
        "flip_probability": recipe.flip_probability,
        "further_augmentation": (*further, *(["motion crop"] if recipe.motion_crop is not None else [])),
    }
