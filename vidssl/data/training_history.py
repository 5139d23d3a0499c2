"""Which videos a network was trained on: a list of sixteen bytes per video, beside its checkpoints, which name it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.file_state import UNKNOWN
from vidssl.errors import VidsslError
from vidssl.storage.container import write_arrays
from vidssl.storage.file_kind import FileKind

KEY = "trained_on"
"""Key of the history in the data module's part of a checkpoint."""
_LIST = FileKind(
    format="vidssl-trained-videos",
    version=1,
    noun="list of trained videos",
    description="a list of trained videos",
    remedy="copy it from the folder of the checkpoint",
    command="vidssl fit",
    arrays=("keys", "contents"),
    fields=("digest",),
)


def video_keys(catalog: Catalog, rows: np.ndarray) -> np.ndarray:
    """Return a key for each video that stays the same in another catalog, folder or container, uint64 (n,).

    It is a hash of the file's name without folders, ending and case, and of the number of frames that decode. Two
    videos of the same name and length have the same key, so that it errs on the side of "trained on".

    Args:
        catalog: the videos.
        rows: row numbers, int64 (n,).
    """
    names = zip(map(_stem, catalog.paths(rows)), catalog.num_frames[rows].tolist(), strict=True)
    # file names need not be UTF-8
    blocks = (f"{stem.lower()}\n{num_frames}".encode("utf-8", "surrogateescape") for stem, num_frames in names)
    hashes = (hashlib.blake2b(block, digest_size=8).digest() for block in blocks)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def known_contents(catalog: Catalog, rows: np.ndarray) -> np.ndarray:
    """Return what the videos and their files are, as far as the catalog knows, int64 (m,), ascending, each once."""
    contents = _each_once(np.concatenate([catalog.contents[rows], catalog.file_contents[rows]]))
    return contents[contents != UNKNOWN]


def _each_once(values: np.ndarray) -> np.ndarray:
    """Return the values in ascending order; of a million numbers `numpy.unique` takes a second (NumPy 2.4)."""
    ascending = np.sort(values)
    return ascending[np.diff(ascending, prepend=~ascending[:1]) != 0]


@dataclass(frozen=True)
class VideoList:
    """What tells videos apart, in ascending order.

    Attributes:
        keys: of the videos, see `video_keys`, uint64 (n,).
        contents: of the videos, see `known_contents`; none in checkpoints of version 0.1.
        digest: 16 hexadecimal digits that change with both.
    """

    keys: np.ndarray
    contents: np.ndarray
    digest: str

    @classmethod
    def of(cls, keys: np.ndarray, contents: np.ndarray) -> VideoList:
        """Return a list with its digest."""
        hashed = hashlib.blake2b(keys.tobytes(), digest_size=8)
        hashed.update(contents.tobytes())
        return cls(keys, contents, hashed.hexdigest())

    def write(self, folder: Path) -> None:
        """Write the list into a folder, unless it is there.

        Raises:
            VidsslError: it cannot be written.
        """
        file = folder / list_name(self.digest)
        if not file.exists():
            arrays = {"keys": self.keys.view(np.int64), "contents": self.contents}
            write_arrays(file, arrays, _LIST.metadata({"digest": self.digest}))


def list_name(digest: str) -> str:
    """Return the name of the file that holds a list."""
    return f"trained_on-{digest}.list"


def _find_list(digest: str, checkpoint: Path | None) -> VideoList | None:
    """Read the list in the folder of a checkpoint, or of the file that it links to; None if there is no list."""
    if checkpoint is None:
        return None
    folders = dict.fromkeys((checkpoint.absolute().parent, checkpoint.resolve().parent))
    file = next((folder / list_name(digest) for folder in folders if (folder / list_name(digest)).is_file()), None)
    if file is None:
        return None
    arrays, header = _LIST.read(file)
    return VideoList(arrays["keys"].view(np.uint64), arrays["contents"], header["digest"])


@dataclass(frozen=True)
class TrainedSplit:
    """The videos of one split of one catalog.

    Attributes:
        catalog_digest: of the catalog.
        split: its name.
        digest: of the list of its videos.
        num_videos: how many names are on the list.
        videos: the list; None where it is not beside the checkpoint.
    """

    catalog_digest: str
    split: str
    digest: str
    num_videos: int
    videos: VideoList | None

    @classmethod
    def listed(cls, catalog_digest: str, split: str, videos: VideoList) -> TrainedSplit:
        """Return a split whose videos are known."""
        return cls(catalog_digest, split, videos.digest, len(videos.keys), videos)

    @classmethod
    def of(cls, catalog: Catalog, split: str) -> TrainedSplit:
        """Return what a run that trains on this split trains on."""
        rows = catalog.split(split)
        keys = _each_once(video_keys(catalog, rows))
        return cls.listed(catalog.digest, split, VideoList.of(keys, known_contents(catalog, rows)))

    def can_tell(self, catalog: Catalog) -> bool:
        """Whether it is known which videos of a catalog are among these: without the list, of the very same alone."""
        return self.videos is not None or catalog.digest == self.catalog_digest or self._was_packed_into(catalog)

    def seen(self, catalog: Catalog, rows: np.ndarray) -> np.ndarray:
        """Say of each video whether it was trained on, bool (n,), where that `can_tell`.

        By row where the catalog is the very same, by key otherwise; and copies in either case. Of the same catalog's
        videos, packed, the contents of the sources are known: they alone decide.
        """
        if catalog.digest == self.catalog_digest:
            return np.isin(rows, catalog.split(self.split)) | self.holds_copies(catalog, rows)
        if self._was_packed_into(catalog):
            return self.holds_copies(catalog, rows)
        assert self.videos is not None  # it can tell
        return np.isin(video_keys(catalog, rows), self.videos.keys) | self.holds_copies(catalog, rows)

    def _was_packed_into(self, catalog: Catalog) -> bool:
        return bool(catalog.source.get("packed", {}).get("source_digest") == self.catalog_digest)

    def holds_copies(self, catalog: Catalog, rows: np.ndarray) -> np.ndarray:
        """Say of each video whether a file with the same contents was trained on, under any name, bool (n,)."""
        contents = known_contents(catalog, catalog.split(self.split)) if self.videos is None else self.videos.contents
        return np.isin(catalog.contents[rows], contents) | np.isin(catalog.file_contents[rows], contents)

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values, which a checkpoint may hold."""
        named: dict[str, Any] = {"catalog_digest": self.catalog_digest, "split": self.split}
        state = {**named, "list": self.digest, "videos": self.num_videos}
        if self.videos is None:
            return state
        keys = torch.from_numpy(self.videos.keys.view(np.int64).copy())
        return {**state, "keys": keys, "contents": torch.from_numpy(self.videos.contents.copy())}


def history_of(state: Iterable[Mapping[str, Any]], checkpoint: str | Path | None) -> tuple[TrainedSplit, ...]:
    """Return the splits behind their states.

    Args:
        state: of each split.
        checkpoint: the file that holds the states; their lists may be in its folder.
    """
    file = None if checkpoint is None else Path(checkpoint)
    return tuple(_split_of(entry, file) for entry in state)


def _split_of(entry: Mapping[str, Any], checkpoint: Path | None) -> TrainedSplit:
    named = entry["catalog_digest"], entry["split"]
    if "keys" not in entry:
        return TrainedSplit(*named, entry["list"], entry["videos"], _find_list(entry["list"], checkpoint))
    keys = entry["keys"].numpy().view(np.uint64)
    contents = entry["contents"].numpy() if "contents" in entry else np.empty(0, np.int64)
    known = "list" in entry  # not in checkpoints of version 0.1
    return TrainedSplit.listed(
        *named, VideoList(keys, contents, entry["list"]) if known else VideoList.of(keys, contents)
    )


def with_lists_beside(checkpoint: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write the lists in a checkpoint into its folder, once, and return the checkpoint with their digests alone.

    Raises:
        VidsslError: a list cannot be written.
    """
    return {
        name: {**part, KEY: [_with_list_beside(entry, folder) for entry in part[KEY]]} if _has_history(part) else part
        for name, part in checkpoint.items()
    }


def _with_list_beside(entry: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    split = _split_of(entry, None)
    if split.videos is not None:
        split.videos.write(folder)
    return replace(split, videos=None).state()


def _has_history(part: Any) -> bool:
    return isinstance(part, Mapping) and KEY in part


def merged(history: Iterable[TrainedSplit]) -> tuple[TrainedSplit, ...]:
    """Return each split of each catalog once, in the order of its first appearance."""
    return tuple({(part.catalog_digest, part.split): part for part in history}.values())


def training_history(values: Mapping[str, Any], file: str | Path) -> tuple[TrainedSplit, ...] | None:
    """Return what the network in a checkpoint was trained on; None where the checkpoint does not say.

    Args:
        values: the entries of a checkpoint beside its weights, or the text beside those of an exported file.
        file: which it is; lists of videos may be in its folder.

    Raises:
        VidsslError: what is there is not a history, or a list is damaged.
    """
    states = [part[KEY] for part in values.values() if _has_history(part)]
    try:
        if states:
            return merged(history_of(states[0], file))
        return history_from_text(values[KEY], file) if KEY in values else None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise VidsslError("The checkpoint's record of its training videos (trained_on) is damaged.") from error


def history_as_text(history: Iterable[TrainedSplit]) -> str:
    """Return a history as JSON, lists and all, for files that hold text beside their tensors."""
    return json.dumps([{key: _as_text(value) for key, value in part.state().items()} for part in history])


def _as_text(value: Any) -> Any:
    return base64.b64encode(value.numpy().tobytes()).decode() if isinstance(value, torch.Tensor) else value


def history_from_text(text: str, file: str | Path) -> tuple[TrainedSplit, ...]:
    """Return the history that `history_as_text` wrote.

    Args:
        text: what it wrote.
        file: that holds the text.
    """
    entries = [
        {key: _from_text(value) if key in ("keys", "contents") else value for key, value in entry.items()}
        for entry in json.loads(text)
    ]
    return history_of(entries, file)


def _from_text(value: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(value), "<i8").astype(np.int64))
