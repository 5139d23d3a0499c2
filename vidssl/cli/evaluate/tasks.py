"""Which protocol is measured on which videos, with which clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from vidssl.catalogs.catalog import ALL, Catalog
from vidssl.data.settings import EvaluationClips
from vidssl.errors import VidsslError, nearest
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.contract import Protocol, ProtocolClips, check_videos
from vidssl.evaluation.temporal.changes import FEWEST_FRAMES

USUAL_SPLITS = (("train1", "test1"), ("train", "test"), ("train", "val"), ("train", "validation"))
CLIP_KEYS = frozenset(key.name for key in fields(ProtocolClips))


@dataclass(frozen=True)
class SplitPair:
    """The videos of a measurement.

    Attributes:
        gallery: name of a split.
        query: name of a split.
    """

    gallery: str
    query: str

    def __str__(self) -> str:
        return self.query if self.gallery == self.query else f"{self.gallery} and {self.query}"


@dataclass(frozen=True)
class WantedSplits:
    """What the command line says about splits.

    Attributes:
        gallery: name of a split, or None.
        query: name of a split, or None.
        numbers: of official splits; empty for none.
    """

    gallery: str | None = None
    query: str | None = None
    numbers: Sequence[int] = ()

    def pairs(self, catalog: Catalog, of_run: EvaluationClips | None, leaves_out_groups: bool) -> list[SplitPair]:
        """Return the splits to measure on.

        Args:
            catalog: its splits are there.
            of_run: splits to take where the command line says none and the catalog has them.
            leaves_out_groups: whether gallery and queries must be the same videos.

        Raises:
            VidsslError: the catalog lacks one of them, or has none that could be meant.
        """
        if self.numbers:
            pairs = [SplitPair(f"train{number}", f"test{number}") for number in self.numbers]
        elif leaves_out_groups:
            pairs = [self._one_set(catalog, of_run)]
        else:
            pairs = [self._two_sets(catalog, of_run)]
        for pair in pairs:
            for name in (pair.gallery, pair.query):
                catalog.split(name)
        return pairs

    def _one_set(self, catalog: Catalog, of_run: EvaluationClips | None) -> SplitPair:
        named = [name for name in (self.gallery, self.query) if name]
        if named:
            return SplitPair(named[0], named[-1])
        if of_run is not None and of_run.gallery_split == of_run.query_split and _has(catalog, of_run.query_split):
            return SplitPair(of_run.query_split, of_run.query_split)
        return SplitPair(ALL, ALL)

    def _two_sets(self, catalog: Catalog, of_run: EvaluationClips | None) -> SplitPair:
        candidates = [] if of_run is None else [(of_run.gallery_split, of_run.query_split)]
        for gallery, query in [*candidates, *USUAL_SPLITS]:
            pair = SplitPair(self.gallery or gallery, self.query or query)
            if pair.gallery != pair.query and _has(catalog, pair.gallery) and _has(catalog, pair.query):
                return pair
        if self.gallery and self.query:
            return SplitPair(self.gallery, self.query)
        raise VidsslError(
            f"The catalog {catalog.file} has the splits {', '.join([ALL, *catalog.split_names])}: say which are meant "
            "with --gallery-split and --query-split, or take a protocol whose name ends in leave-one-group-out."
        )


def _has(catalog: Catalog, split: str) -> bool:
    return split == ALL or split in catalog.split_names


def labelled_videos(catalog: Catalog, split: str) -> VideoFeatures:
    """Return the labelled videos of a split without any features, to see what can be measured on them.

    Raises:
        VidsslError: there are none.
    """
    rows = np.sort(catalog.split(split))
    rows = rows[catalog.labels[rows] >= 0]
    if len(rows) == 0:
        raise VidsslError(f"Split {split!r} of {catalog.file} has no labelled video to evaluate on.")
    return VideoFeatures.of(catalog, rows)


def check_splits(protocol: Protocol, catalog: Catalog, pair: SplitPair) -> None:
    """Refuse, before anything is encoded, what `Protocol.run` would refuse afterwards.

    Raises:
        VidsslError: see `check_videos`.
    """
    check_videos(protocol, labelled_videos(catalog, pair.gallery), labelled_videos(catalog, pair.query))


def protocols_that_apply(protocols: Iterable[Protocol], catalog: Catalog, wanted: WantedSplits) -> list[str]:
    """Return the names of all protocols that measure frozen features on these splits.

    Protocols that leave out groups are for videos without splits, such as Weizmann's.

    Args:
        protocols: to choose from.
        catalog: of the videos.
        wanted: see `WantedSplits`; where it is silent, the usual names of splits count.

    Raises:
        VidsslError: none applies.
    """
    try:
        pair = wanted.pairs(catalog, None, leaves_out_groups=False)[0]
        in_groups = pair.gallery == pair.query
    except VidsslError:
        pair, in_groups = wanted.pairs(catalog, None, leaves_out_groups=True)[0], True
    measuring = [protocol for protocol in protocols if protocol.config is None]
    applying = [protocol for protocol in measuring if protocol.leaves_out_groups == in_groups]
    for protocol in applying:
        check_splits(protocol, catalog, pair)
    return [protocol.name for protocol in applying]


def has_frames_enough(protocol: Protocol, settings: Mapping[str, Any], base: EvaluationClips) -> bool:
    """Whether the clips are long enough to be changed in time, where a protocol does that.

    Args:
        protocol: as it is called.
        settings: that the user changed.
        base: clips where the protocol leaves them open.
    """
    used, _ = changed(protocol, settings)
    clips = base if used.clips is None else used.clips.over(base)
    return "changed" not in (used.gallery_views, used.query_views) or clips.num_frames >= FEWEST_FRAMES


@dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
        named: the protocol as it is called.
        protocol: with the settings that the user changed.
        clips: what is cut out of the videos, and of which.
        pair: the splits.
    """

    named: Protocol
    protocol: Protocol
    clips: EvaluationClips
    pair: SplitPair


def changed(protocol: Protocol, settings: Mapping[str, Any]) -> tuple[Protocol, set[str]]:
    """Change the settings of a protocol that it has; clips that it leaves open it has too.

    Returns:
        The protocol, and the keys that it had.

    Raises:
        VidsslError: a value of another type than the setting's.
    """
    known = {key: value for key, value in settings.items() if key in CLIP_KEYS}
    for key, value in known.items():
        if not _is_number(value) or not isinstance(value, int):
            raise VidsslError(f"--set {key}={value}: expected a whole number.")
    clips = replace(protocol.clips or ProtocolClips(), **known) if known else protocol.clips
    training = None if protocol.training_clips is None else replace(protocol.training_clips, **known)
    measure, measure_keys = _changed(protocol.measure, settings)
    views, view_keys = _changed(protocol.training_views, settings)
    used = {*known, *measure_keys, *view_keys}
    changes = {"clips": clips, "measure": measure, "training_views": views, "training_clips": training}
    return replace(protocol, **changes), used


def _changed(value: Any, settings: Mapping[str, Any]) -> tuple[Any, set[str]]:
    """Change the fields of a dataclass, and of dataclasses within it, that the settings name."""
    if not is_dataclass(value) or isinstance(value, type):
        return value, set()
    changes, used = {}, set()
    for key in (field.name for field in fields(value)):
        before = getattr(value, key)
        if is_dataclass(before):
            changes[key], inner = _changed(before, settings)
            used |= inner
        elif key in settings:
            changes[key] = _as(key, settings[key], before)
            used.add(key)
    return (replace(value, **changes) if used else value), used


def _as(key: str, value: Any, before: Any) -> Any:
    """Return a value of the type of the one that it replaces."""
    if isinstance(before, tuple):
        return tuple(value) if isinstance(value, list) else (value,)
    if isinstance(before, float) and _is_number(value):
        return float(value)
    if before is None or type(value) is type(before):
        return value
    raise VidsslError(f"--set {key}={value}: expected a value of the type of the present one, {before!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_settings(settings: Mapping[str, Any], protocols: Sequence[Protocol]) -> None:
    """Refuse a setting that none of the protocols has.

    Raises:
        VidsslError: naming it and the nearest that there is.
    """
    used = set().union(*(changed(protocol, settings)[1] for protocol in protocols))
    known = CLIP_KEYS.union(
        *(_field_names(protocol.measure) | _field_names(protocol.training_views) for protocol in protocols)
    )
    for key in settings:
        if key not in used:
            raise VidsslError(
                f"--set {key}: none of the protocols has it.{nearest(key, known)} Known: {', '.join(sorted(known))}."
            )


def _field_names(value: Any) -> set[str]:
    if not is_dataclass(value):
        return set()
    inner = (_field_names(getattr(value, field.name)) or {field.name} for field in fields(value))
    return set().union(*inner)


def make_task(
    named: Protocol, settings: Mapping[str, Any], base: EvaluationClips, pair: SplitPair, batch_size: int | None
) -> Task:
    """Return everything that is measured.

    Args:
        named: a protocol.
        settings: that the user changed.
        base: clips where the protocol leaves them open.
        pair: the splits.
        batch_size: videos per batch; None takes that of `base`.

    Raises:
        VidsslError: a value that does not fit.
    """
    protocol, _ = changed(named, settings)
    clips = replace(base, gallery_split=pair.gallery, query_split=pair.query, batch_size=batch_size or base.batch_size)
    clips = clips if protocol.clips is None else protocol.clips.over(clips)
    return Task(named, protocol, clips, pair)
