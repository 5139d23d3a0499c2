"""From a file on disk to a batch: catalog, sampling, decoding, augmentation, data set, data module."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.data.datamodule import VideoDataModule as VideoDataModule
    from vidssl.data.labelled import LabelledSubset as LabelledSubset
    from vidssl.data.motion_sampling import MotionSampler as MotionSampler
    from vidssl.data.motion_source import MotionData as MotionData
    from vidssl.data.plan import AugmentationRecipe as AugmentationRecipe
    from vidssl.data.plan import MotionCrop as MotionCrop
    from vidssl.data.plan import Plan as Plan
    from vidssl.data.sampling import ClipSampler as ClipSampler
    from vidssl.data.sampling import EvenlySpacedSampler as EvenlySpacedSampler
    from vidssl.data.sampling import IntervalSampler as IntervalSampler
    from vidssl.data.sampling import UniformSampler as UniformSampler
    from vidssl.data.settings import AugmentedViews as AugmentedViews
    from vidssl.data.settings import EvaluationClips as EvaluationClips
    from vidssl.data.settings import Loading as Loading

offer(
    __name__,
    datamodule=["VideoDataModule"],
    labelled=["LabelledSubset"],
    motion_sampling=["MotionSampler"],
    motion_source=["MotionData"],
    plan=["AugmentationRecipe", "MotionCrop", "Plan"],
    sampling=["ClipSampler", "EvenlySpacedSampler", "IntervalSampler", "UniformSampler"],
    settings=["AugmentedViews", "EvaluationClips", "Loading"],
)
