"""The motion of every video of a catalog in one file, mapped into memory and shared by all workers.

The file is a safetensors container of flat arrays (`vidssl.storage.container`): the maps of all videos one after
another, the scale of each map, where each video's maps begin, how many frames it has, which estimator they come from,
what videos failed, each with its reason, and a checksum of each video's maps and scales, compared when they are read.
A little JSON in its header says from what catalog and by what settings it was made; for another catalog or other
settings it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

import vidssl
from vidssl.catalogs.catalog import Catalog
from vidssl.errors import VidsslError
from vidssl.motion.maps import VideoMotion
from vidssl.motion.quantisation import quantisation, restore
from vidssl.motion.settings import MotionSettings
from vidssl.storage.container import StreamedArray, Verify, pack_strings, stream_arrays, unpack_string
from vidssl.storage.file_kind import FileKind
from vidssl.video.decoders.reader import DecodingError

_CHECKSUM = np.dtype("<u4")
_KIND = FileKind(
    format="vidssl-motion",
    version=1,
    noun="stored motion",
    description="a file of stored motion",
    remedy="make it with `vidssl motion`, or set data.motion.store to null: then motion is computed while training",
    command="vidssl motion",
    arrays=(
        "first_map",
        "bad_row",
        "bad_reason/bytes",
        "bad_reason/offsets",
        "num_frames",
        "estimator",
        "scale",
        "maps",
    ),
    fields=("catalog_digest", "num_videos", "settings", "settings_digest", "dtype", "estimators", "vidssl_version"),
)


def bytes_per_map(settings: MotionSettings, dtype: str) -> int:
    """Return the bytes a map takes in a stored file, its scale included."""
    rows, columns = settings.grid
    return rows * columns * quantisation(dtype).dtype.itemsize + np.dtype(np.float32).itemsize


def num_maps(num_frames: np.ndarray | int, stride: int) -> np.ndarray | int:
    """Return the number of maps of videos of this many frames."""
    return -(-num_frames // stride)


def settings_as_json(settings: MotionSettings) -> dict[str, Any]:
    """Return the settings as JSON gives them back: lists for tuples."""
    return json.loads(json.dumps(asdict(settings), default=str))


class MotionStore:
    """A stored file of motion, opened for reading; make one with `MotionStore.open`.

    ``store[row]`` is the motion of a video of the catalog. Pickling it pickles the file's name; the other side maps the
    file again.

    Attributes:
        file: the stored file, absolute.
        header: what its JSON holds: settings, digests, type of the maps, how the videos were packed, version of vidssl.
    """

    def __init__(self, file: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
        self.file = file
        self.header = header
        self._arrays = arrays
        self._shape = tuple(header["settings"]["grid"])

    @classmethod
    def open(
        cls,
        path: str | Path,
        catalog: Catalog | None = None,
        settings: MotionSettings | None = None,
        *,
        verify: Verify = "cheap",
    ) -> MotionStore:
        """Open a stored file.

        Args:
            path: the file that ``vidssl motion`` wrote.
            catalog: the videos that are trained on; None does not compare.
            settings: how motion is wanted; None does not compare.
            verify: which checksums are compared, see `vidssl.storage.container.map_arrays`.

        Raises:
            VidsslError: the file is missing, no stored motion, cut short, damaged or of a newer version; or it was made
                from another catalog or by other settings, and the message says which.
        """
        file = Path(path).absolute()
        arrays, header = _KIND.read(file, verify)
        if catalog is not None and catalog.digest != header["catalog_digest"]:
            raise VidsslError(
                f"{file} holds the motion of another catalog ({header['num_videos']:,} videos, digest "
                f"{header['catalog_digest']}) than {catalog.file} ({len(catalog):,} videos, digest {catalog.digest}). "
                "Name the file made for this catalog as data.motion.store, or make one with `vidssl motion`."
            )
        if settings is not None and settings.digest != header["settings_digest"]:
            raise VidsslError(
                f"{file} holds motion of other settings than data.motion.settings: "
                f"{settings_difference(header['settings'], settings)}. Set data.motion.settings as the file has it, or "
                "make another file with `vidssl motion`."
            )
        return cls(file, arrays, header)

    def __len__(self) -> int:
        return len(self._arrays["num_frames"])

    def __repr__(self) -> str:
        return f"MotionStore({str(self.file)!r}, {len(self):,} videos, {self.header['dtype']})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.file), self.header["catalog_digest"], self.header["settings_digest"])

    def has(self, row: int) -> bool:
        """Return whether there is motion of a video of the catalog."""
        first, end = self._arrays["first_map"][row : row + 2]
        return bool(end > first)

    def __getitem__(self, row: int) -> VideoMotion:
        """Return the motion of a video.

        Args:
            row: its row number in the catalog.

        Raises:
            DecodingError: there is none, and why, or it is damaged.
        """
        row = range(len(self))[row]  # negative numbers, and IndexError, as for a list
        name = f"row {row} of the catalog"
        if not self.has(row):
            reason = self._reasons.get(row, "it was not computed")
            raise DecodingError(name, f"no motion of it in {self.file}: {reason}")
        first, end = (int(number) for number in self._arrays["first_map"][row : row + 2])
        cells = self._shape[0] * self._shape[1]
        shares = self._arrays["maps"][first * cells : end * cells].reshape(end - first, *self._shape)
        scales = self._arrays["scale"][first:end]
        if self._checksums is not None and _checksum(shares, scales) != self._checksums[row]:
            raise DecodingError(name, f"its motion in {self.file} is damaged; make the file again")
        maps = restore(shares, scales, self.header["dtype"])
        return VideoMotion(maps, self.header["settings"]["stride"], int(self._arrays["num_frames"][row]))

    def estimator(self, row: int) -> str | None:
        """Return the estimator that the motion of a video comes from, which may be the fallback; None without any."""
        return self.header["estimators"][self._arrays["estimator"][row]] if self.has(row) else None

    def estimator_counts(self) -> dict[str, int]:
        """Return from how many videos each estimator computed the motion."""
        has_motion = np.diff(self._arrays["first_map"]) > 0
        counts = np.bincount(self._arrays["estimator"][has_motion], minlength=len(self.header["estimators"]))
        return dict(zip(self.header["estimators"], counts.tolist(), strict=True))

    def num_still(self) -> int:
        """Return the number of videos with motion maps in which nothing moves."""
        moving = np.append(0, np.cumsum(self._arrays["scale"] > 0))[self._arrays["first_map"]]
        return int(np.sum((np.diff(self._arrays["first_map"]) > 0) & (np.diff(moving) == 0)))

    @cached_property
    def _checksums(self) -> np.ndarray | None:
        stored = self._arrays.get("video_checksum")  # files of version 0.1 have none
        return None if stored is None else stored.view(_CHECKSUM)

    @property
    def bad(self) -> list[tuple[int, str]]:
        """Videos without motion: (row number, reason)."""
        return list(self._reasons.items())

    @cached_property
    def _reasons(self) -> dict[int, str]:
        rows = self._arrays["bad_row"].tolist()
        return {row: unpack_string(self._arrays, "bad_reason", place) for place, row in enumerate(rows)}


def settings_difference(stored: Mapping[str, Any], wanted: MotionSettings) -> str:
    """Return in which settings a file differs from those wanted, both values named."""
    asked, stored = settings_as_json(wanted), {**settings_as_json(MotionSettings()), **stored}
    differing = [
        f"{key} is {stored.get(key)!r} there, {asked.get(key)!r} here"
        for key in dict.fromkeys([*stored, *asked])
        if stored.get(key) != asked.get(key)
    ]
    return "; ".join(differing) or "it was made by a version of vidssl that computes motion differently"


@dataclass(frozen=True)
class StoredVideo:
    """What the file keeps of one video beside its maps.

    Attributes:
        num_frames: frames of the video, 0 when it failed.
        estimator: what its motion comes from.
        scales: float32 (S,), the greatest value of each map; none when it failed.
        reason: why it failed, or None.
    """

    num_frames: int
    estimator: str
    scales: np.ndarray
    reason: str | None = None


def write_store(
    path: str | Path,
    videos: Sequence[StoredVideo],
    shares: Iterable[np.ndarray],
    *,
    catalog: Catalog,
    settings: MotionSettings,
    dtype: str,
) -> None:
    """Write the motion of a catalog in one piece: whoever looks sees no file, the old one or the complete new one.

    Args:
        path: the file to write.
        videos: one for each row of the catalog.
        shares: the quantised maps of the videos that have any, in the same order, each S x rows x columns.
        catalog: the videos.
        settings: how their motion was computed.
        dtype: how it is kept, ``uint8`` or ``float16``.

    Raises:
        VidsslError: the file cannot be written.
    """
    first_map = np.zeros(len(videos) + 1, np.int64)
    np.cumsum([len(video.scales) for video in videos], out=first_map[1:])
    total = int(first_map[-1])
    estimators = sorted({video.estimator for video in videos if len(video.scales)})
    places = [estimators.index(video.estimator) if len(video.scales) else 0 for video in videos]
    bad = [(row, video.reason) for row, video in enumerate(videos) if video.reason is not None]
    small = {
        "first_map": first_map,
        "bad_row": np.array([row for row, _ in bad], np.int64),
        **pack_strings("bad_reason", [reason for _, reason in bad]),
        "num_frames": np.array([video.num_frames for video in videos], np.int32),
        "estimator": np.array(places, np.uint8),
    }
    arrays = {name: StreamedArray(array.dtype, array.shape, [array]) for name, array in small.items()}
    arrays["scale"] = StreamedArray(np.dtype(np.float32), (total,), (video.scales for video in videos))
    checksums = np.zeros(len(videos), _CHECKSUM)
    passing = _with_checksums(shares, videos, checksums)
    arrays["maps"] = StreamedArray(quantisation(dtype).dtype, (total, *settings.grid), passing)
    # last, since it is known last
    arrays["video_checksum"] = StreamedArray(np.dtype(np.uint8), (checksums.nbytes,), _later(checksums))
    header = {
        "catalog_digest": catalog.digest,
        "num_videos": len(catalog),
        "settings": settings_as_json(settings),
        "settings_digest": settings.digest,
        "dtype": dtype,
        "packed": catalog.source.get("packed"),
        "estimators": estimators,
        "vidssl_version": vidssl.__version__,
    }
    by_width = sorted(arrays.items(), key=lambda named: -named[1].dtype.itemsize)
    stream_arrays(Path(path), dict(by_width), _KIND.metadata(header))


def _with_checksums(
    shares: Iterable[np.ndarray], videos: Sequence[StoredVideo], checksums: np.ndarray
) -> Iterator[np.ndarray]:
    """Pass the maps of the videos on, and note the checksum of each video by its row."""
    rows = [row for row, video in enumerate(videos) if len(video.scales)]
    for row, share in zip(rows, shares, strict=True):
        checksums[row] = _checksum(share, videos[row].scales)
        yield share


def _later(checksums: np.ndarray) -> Iterator[np.ndarray]:
    yield checksums.view(np.uint8)


def _checksum(shares: np.ndarray, scales: np.ndarray) -> int:
    return crc32(np.ascontiguousarray(scales).data, crc32(np.ascontiguousarray(shares).data))


def _reopen(file: str, catalog_digest: str, settings_digest: str) -> MotionStore:
    store = MotionStore.open(file, verify="header")
    if (store.header["catalog_digest"], store.header["settings_digest"]) != (catalog_digest, settings_digest):
        raise VidsslError(f"The stored motion {file} was replaced while it was in use; start the run again.")
    return store
