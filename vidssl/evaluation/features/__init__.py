"""Frozen features of videos: extracted over all processes, gathered, normalised, kept in files."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.features.encoder import FrozenEncoder as FrozenEncoder
    from vidssl.evaluation.features.encoder import LoadedEncoder as LoadedEncoder
    from vidssl.evaluation.features.encoder import OutsideWeights as OutsideWeights
    from vidssl.evaluation.features.encoder import load_encoder as load_encoder
    from vidssl.evaluation.features.extraction import FeatureWriter as FeatureWriter
    from vidssl.evaluation.features.extraction import extract_all as extract_all
    from vidssl.evaluation.features.extraction import extract_features as extract_features
    from vidssl.evaluation.features.files import FeatureRequest as FeatureRequest
    from vidssl.evaluation.features.video_features import VideoFeatures as VideoFeatures

offer(
    __name__,
    encoder=["FrozenEncoder", "LoadedEncoder", "OutsideWeights", "load_encoder"],
    extraction=["FeatureWriter", "extract_all", "extract_features"],
    files=["FeatureRequest"],
    video_features=["VideoFeatures"],
)
