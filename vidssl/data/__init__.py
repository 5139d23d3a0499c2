"""From a file on disk to a batch: catalog, sampling, decoding, augmentation, data set, data module."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.data.datamodule import VideoDataModule as VideoDataModule
    from vidssl.data.extras import ArrayFiles as ArrayFiles
    from vidssl.data.extras import ExtraTensors as ExtraTensors
    from vidssl.data.labelled import LabelledSubset as LabelledSubset
    from vidssl.data.motion_sampling import MotionSampler as MotionSampler
    from vidssl.data.motion_source import MotionData as MotionData
    from vidssl.data.operations import OPERATIONS as OPERATIONS
    from vidssl.data.operations import Operation as Operation
    from vidssl.data.plan import AugmentationRecipe as AugmentationRecipe
    from vidssl.data.plan import MotionCrop as MotionCrop
    from vidssl.data.plan import Plan as Plan
    from vidssl.data.sampling import SAMPLERS as SAMPLERS
    from vidssl.data.sampling import ClipSampler as ClipSampler
    from vidssl.data.sampling import EvenlySpacedSampler as EvenlySpacedSampler
    from vidssl.data.sampling import IntervalSampler as IntervalSampler
    from vidssl.data.sampling import UniformSampler as UniformSampler
    from vidssl.data.sampling import clip_indices as clip_indices
    from vidssl.data.settings import AugmentedViews as AugmentedViews
    from vidssl.data.settings import EvaluationClips as EvaluationClips
    from vidssl.data.settings import Loading as Loading

offer(
    __name__,
    datamodule=["VideoDataModule"],
    extras=["ArrayFiles", "ExtraTensors"],
    labelled=["LabelledSubset"],
    motion_sampling=["MotionSampler"],
    motion_source=["MotionData"],
    operations=["OPERATIONS", "Operation"],
    plan=["AugmentationRecipe", "MotionCrop", "Plan"],
    sampling=["SAMPLERS", "ClipSampler", "EvenlySpacedSampler", "IntervalSampler", "UniformSampler", "clip_indices"],
    settings=["AugmentedViews", "EvaluationClips", "Loading"],
)
