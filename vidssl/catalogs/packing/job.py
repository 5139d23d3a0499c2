"""A packing job: its videos, its target, and how it is divided into units.

The videos are divided into units by the size of their sources, the same whoever packs them; a unit becomes one shard,
or some files of a folder. While a unit is being packed, its finished videos are kept in a file of records, which
survives the death of its writer. When the unit is complete, its shard is written in one piece, and an index replaces
the records. The catalog is made from the indices of all units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.packing.names import file_paths, sample_keys, suffix_of
from vidssl.errors import VidsslError, nearest
from vidssl.jobs.shards import SUFFIX
from vidssl.jobs.shares import Share
from vidssl.video.encoding import PRESETS, Preset
from vidssl.video.encoding import SUFFIX as ENCODED_SUFFIX

_FOLDER_UNIT_BYTES = 10**9
"""Of the files of a folder; so much is one process's at a time."""


@dataclass(frozen=True)
class PackJob:
    """What is to be packed.

    Attributes:
        catalog: the videos.
        output: the folder to write into.
        preset_name: one of `PRESETS`.
        shard_bytes: size of a tar shard, about; None writes each video into a file of its own.
        beside: says what else is computed of each video and kept until the end, such as its motion; plain values, the
            same whenever the job is continued. None where nothing is.

    Raises:
        UnknownNameError: an unknown preset.
        VidsslError: shards of no size, or a catalog that does not know how large its files are.
    """

    catalog: Catalog
    output: Path
    preset_name: str
    shard_bytes: int | None = None
    beside: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.preset_name not in PRESETS:
            hint = nearest(self.preset_name, PRESETS)
            raise VidsslError(f"There is no preset {self.preset_name!r}.{hint} There are: {', '.join(PRESETS)}.")
        if self.shard_bytes is not None and self.shard_bytes < 1:
            raise VidsslError(f"A shard has a size above 0, not {self.shard_bytes}.")
        if not self.catalog.knows_files:
            raise VidsslError(f"{self.catalog.file} says nothing about its files (version 0.1); prepare it again.")

    @property
    def preset(self) -> Preset:
        """How videos are packed."""
        return PRESETS[self.preset_name]

    @property
    def catalog_file(self) -> Path:
        """The catalog of the packed videos."""
        return self.output / self.catalog.file.name

    @property
    def folder(self) -> Path:
        """Where records and indices are until the catalog is there."""
        return self.output / "packing.partial"

    @property
    def about(self) -> dict[str, Any]:
        """What those must be for, and what the catalog says about where its videos come from."""
        encoding = None if self.preset.encoding is None else asdict(self.preset.encoding)
        named = {"preset": self.preset_name, "encoding": encoding}
        what = {"catalog": self.catalog.digest, **named, "shard_bytes": self.shard_bytes}
        return {**what, "beside": None if self.beside is None else dict(self.beside)}

    # --- units

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of each unit, and the number of rows, int64."""
        limit = (self.shard_bytes or _FOLDER_UNIT_BYTES) / self.preset.bytes_share
        starts, filled = [0], 0
        for row, size in enumerate(self.catalog.num_bytes.tolist()):
            if filled and filled + size > limit:
                starts.append(row)
                filled = 0
            filled += size
        return np.array([*starts, len(self.catalog)], np.int64)

    @property
    def num_units(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    def rows(self, unit: int) -> range:
        """Return the rows of a unit."""
        return range(int(self.starts[unit]), int(self.starts[unit + 1]))

    def unit_of(self, row: int) -> int:
        """Return the unit of a row."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def num_videos(self, share: Share) -> int:
        """Return how many videos the units of a share have."""
        return sum(len(self.rows(unit)) for unit in share.rows(self.num_units))

    def records(self, unit: int) -> Path:
        """Return the file that holds the finished part of a unit."""
        return self.folder / f"unit-{unit:06d}{SUFFIX}"

    def index(self, unit: int) -> Path:
        """Return the index file of a complete unit."""
        return self.folder / f"unit-{unit:06d}.index"

    def shard_name(self, unit: int) -> str:
        """Return the name of a unit's tar shard."""
        return f"shard-{unit:06d}.tar"

    # --- names

    @cached_property
    def paths(self) -> list[str]:
        """What the catalog calls each video; where each has its own file, the path of that file."""
        sources = self.catalog.paths(np.arange(len(self.catalog)))
        return file_paths(sources, None if self.preset.encoding is None else ENCODED_SUFFIX)

    @cached_property
    def keys(self) -> list[str]:
        """What each video is called in a tar shard, without its ending."""
        return sample_keys(self.catalog.paths(np.arange(len(self.catalog))))

    def suffix(self, row: int) -> str:
        """Return the ending of a video in a tar shard."""
        return suffix_of(self.paths[row])

    @cached_property
    def _is_member(self) -> dict[str, np.ndarray]:
        masks = {}
        for name in self.catalog.split_names:
            masks[name] = np.zeros(len(self.catalog), bool)
            masks[name][self.catalog.split(name)] = True
        return masks

    def splits(self, row: int) -> list[str]:
        """Return the splits of a video."""
        return [name for name, is_member in self._is_member.items() if is_member[row]]

    # --- sizes

    @property
    def num_bytes(self) -> int:
        """Bytes that all packed videos have, about."""
        return round(int(self.catalog.num_bytes.sum()) * self.preset.bytes_share)

    @property
    def missing_bytes(self) -> int:
        """Bytes that will still be written, about, with the records of one unit beside its shard."""
        missing = [unit for unit in range(self.num_units) if not self.index(unit).exists()]
        sizes = np.add.reduceat(self.catalog.num_bytes, self.starts[:-1])[missing] * self.preset.bytes_share
        beside = int(sizes.max(initial=0)) if self.shard_bytes else 0
        return round(float(sizes.sum())) + beside

    @property
    def core_seconds(self) -> float:
        """Seconds that one core works on all videos, about."""
        pixels = self.catalog.num_frames.astype(np.float64) * self.catalog.widths * self.catalog.heights
        return float(pixels.sum()) * self.preset.nanoseconds_per_pixel * 1e-9
