"""Which features of which videos the protocols of a run need, of those that one pass over the loaders can give."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.contract import Protocol
from vidssl.evaluation.temporal.changes import TimeChanges

GALLERY, QUERY = "gallery", "query"


@dataclass(frozen=True)
class Needed:
    """Features of the videos of a loader.

    Attributes:
        loader: its name, "gallery" or "query".
        keep: "mean" over the views, "each", or "changed": the mean under each change in time.
        changes: with "changed".
    """

    loader: str
    keep: str
    changes: TimeChanges | None = None


def needed_features(protocols: Sequence[Protocol], loaders: Collection[str]) -> list[Needed]:
    """Return the features to keep, each once. If a protocol needs every view, the mean is not kept as well.

    Args:
        protocols: to be measured.
        loaders: names; without a gallery, the queries are both.
    """
    wanted = [of for protocol in protocols for of in (_of(protocol, GALLERY, loaders), _of(protocol, QUERY, loaders))]
    each = {of.loader for of in wanted if of.keep == "each"}
    return [of for of in dict.fromkeys(wanted) if not (of.keep == "mean" and of.loader in each)]


def features_for(protocol: Protocol, found: Mapping[Needed, VideoFeatures]) -> tuple[VideoFeatures, VideoFeatures]:
    """Return gallery and queries for a protocol.

    Args:
        protocol: one of those that `needed_features` was asked about.
        found: all that was kept.
    """
    loaders = {of.loader for of in found}
    gallery, query = (_of(protocol, name, loaders) for name in (GALLERY, QUERY))
    if protocol.leaves_out_groups:
        gallery = query
    return _one_of(found, gallery), _one_of(found, query)


def _of(protocol: Protocol, loader: str, loaders: Collection[str]) -> Needed:
    keep = protocol.gallery_views if loader == GALLERY else protocol.query_views
    return Needed(loader if loader in loaders else QUERY, keep, protocol.changes_of(keep))


def _one_of(found: Mapping[Needed, VideoFeatures], wanted: Needed) -> VideoFeatures:
    return found[wanted] if wanted in found else found[Needed(wanted.loader, "each")]
