"""Arrays in one file: a safetensors container that is written in one piece and mapped, not read.

The `safetensors` package writes it; reading is done here, because its numpy reader copies every array into
memory, and a loader worker should share the pages of the file with all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from vidssl.errors import VidsslError
from vidssl.storage.files import replacing

# the types of array that are written here, by their names in a safetensors header
_DTYPES = {
    "U8": np.uint8,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
_LENGTH_BYTES = 8  # the file starts with the length of its header, a 64-bit little-endian integer


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays (uint8, int32, int64 or float64) and a few strings in one piece.

    Raises:
        VidsslError: the folder cannot be made or written, or the disk is full.
    """
    write_atomically(path, save(dict(arrays), dict(metadata)))


@dataclass(frozen=True)
class StreamedArray:
    """An array that is written piece by piece.

    Attributes:
        dtype: of its elements, one that `map_arrays` reads.
        shape: of the whole.
        pieces: arrays of that dtype, which together have its elements in order.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]

    @property
    def num_bytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * self.dtype.itemsize


def stream_arrays(path: Path, arrays: Mapping[str, StreamedArray], metadata: Mapping[str, str]) -> None:
    """Write arrays that together need not fit into memory, in the order given: those of wide elements first.

    Raises:
        VidsslError: the folder cannot be made or written, the disk is full, or the pieces are not as many as the shape
            promised.
    """
    names = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
    table: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.num_bytes
        table[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    header = json.dumps(table).encode("ascii")
    header += b" " * (-len(header) % _LENGTH_BYTES)  # elements start at multiples of their size
    try:
        with replacing(path) as passing, passing.open("wb") as file:
            file.write(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
            for array in arrays.values():
                for piece in array.pieces:
                    file.write(np.ascontiguousarray(piece, array.dtype).data)
            if file.tell() != _LENGTH_BYTES + len(header) + end:
                raise VidsslError(f"{path} was not written: its arrays came out at another size than announced.")
    except OSError as error:
        raise cannot_write(path, error) from error


def map_arrays(file: Path) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
    """Map a container into memory, read only.

    Returns:
        Views of the mapped file by name, and the strings; or None when the file is no such container.

    Raises:
        OSError: the file cannot be opened.
        VidsslError: the file ends before its arrays do.
    """
    if file.stat().st_size < _LENGTH_BYTES:
        return None
    contents = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    start = _LENGTH_BYTES + int.from_bytes(contents[:_LENGTH_BYTES].tobytes(), "little")
    try:
        table = json.loads(contents[_LENGTH_BYTES:start].tobytes())
    except ValueError:
        return None
    if not isinstance(table, dict):
        return None
    metadata = table.pop("__metadata__", {})
    end = start + max((entry["data_offsets"][1] for entry in table.values()), default=0)
    if end > len(contents):
        raise VidsslError(f"{file} is cut short: {len(contents):,} of {end:,} bytes. Copy or make it again.")
    return {name: _view(contents[start:], entry) for name, entry in table.items()}, metadata


def _view(block: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    first, last = entry["data_offsets"]
    # a type that is not written here stays bytes; whoever knows the format will not ask for it
    return block[first:last].view(_DTYPES.get(entry["dtype"], np.uint8))


def write_atomically(path: Path, contents: bytes) -> None:
    """Write a file under a passing name and rename it when it is complete.

    Raises:
        VidsslError: the folder cannot be made or written, or the disk is full.
    """
    try:
        with replacing(path) as passing:
            passing.write_bytes(contents)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> VidsslError:
    """Word the failure to write `path` for the user."""
    return VidsslError(
        f"Cannot write {path}: {error.strerror or error}. Free space there, or choose another output folder."
    )


def pack_strings(name: str, strings: Sequence[str]) -> dict[str, np.ndarray]:
    """Pack strings into two arrays, ``<name>/bytes`` (uint8) and ``<name>/offsets`` (int64, one more than strings)."""
    # file names need not be UTF-8: what is not survives as it is
    blocks = [string.encode("utf-8", "surrogateescape") for string in strings]
    offsets = np.zeros(len(blocks) + 1, dtype=np.int64)
    np.cumsum([len(block) for block in blocks], out=offsets[1:])
    return {f"{name}/bytes": np.frombuffer(b"".join(blocks), dtype=np.uint8), f"{name}/offsets": offsets}


def unpack_string(arrays: Mapping[str, np.ndarray], name: str, index: int) -> str:
    """Return string number `index`, 0 or more, of those packed under `name`."""
    start, end = arrays[f"{name}/offsets"][index : index + 2]
    return arrays[f"{name}/bytes"][start:end].tobytes().decode("utf-8", "surrogateescape")


def unpack_strings(arrays: Mapping[str, np.ndarray], name: str) -> list[str]:
    """Return all strings packed under `name`."""
    return [unpack_string(arrays, name, index) for index in range(len(arrays[f"{name}/offsets"]) - 1)]
