"""Arrays in one file: a safetensors container that is written in one piece and mapped into memory.

The format is that of the `safetensors` package. Reading is done here, because its numpy reader copies every array into
memory, and a loader worker should share the pages of the file with all others; writing too, because arrays need not fit
into memory and are written with checksums.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

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
CHECKSUMS = "checksums"
"""The last array of every file, and a word in its header that says so."""
CHEAP_BYTES = 2**26
"""An array of this many bytes is compared with its checksum in 20 to 60 ms when its file is opened."""
Verify = Literal["header", "cheap", "whole"]

_METADATA = "__metadata__"
_METHOD = "crc32"
_CHECKSUM = np.dtype("<u4")
_LENGTH_BYTES = 8  # the file starts with the length of its header, a 64-bit little-endian integer


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


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays (uint8, int32, int64 or float64) and a few strings in one piece.

    Raises:
        VidsslError: the folder cannot be made or written, or the disk is full.
    """
    by_width = sorted(arrays.items(), key=lambda named: -named[1].dtype.itemsize)
    stream_arrays(path, {name: StreamedArray(array.dtype, array.shape, [array]) for name, array in by_width}, metadata)


def stream_arrays(path: Path, arrays: Mapping[str, StreamedArray], metadata: Mapping[str, str]) -> None:
    """Write arrays that together need not fit into memory, in the order given: those of wide elements first.

    One more array follows, with the CRC-32 of the header and of each array.

    Raises:
        VidsslError: the folder cannot be made or written, the disk is full, or the pieces are not as many as the shape
            promised.
    """
    header, end = _header(arrays, metadata)
    checksums = [crc32(header)]
    try:
        with replacing(path) as passing, passing.open("wb") as file:
            file.write(header)
            for array in arrays.values():
                checksum = 0
                for piece in array.pieces:
                    block = np.ascontiguousarray(piece, array.dtype).data
                    checksum = crc32(block, checksum)
                    file.write(block)
                checksums.append(checksum)
            file.write(np.array(checksums, _CHECKSUM).tobytes())
            if file.tell() != len(header) + end:
                raise VidsslError(f"{path} was not written: its arrays came out at another size than announced.")
    except OSError as error:
        raise cannot_write(path, error) from error


def _header(arrays: Mapping[str, StreamedArray], metadata: Mapping[str, str]) -> tuple[bytes, int]:
    """Return the first bytes of a file, and how many follow."""
    names = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
    table: dict[str, object] = {_METADATA: {**metadata, CHECKSUMS: _METHOD}}
    end = 0
    num_checksums = (len(arrays) + 1) * _CHECKSUM.itemsize
    for name, array in {**arrays, CHECKSUMS: StreamedArray(np.dtype(np.uint8), (num_checksums,), [])}.items():
        start, end = end, end + array.num_bytes
        table[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    header = json.dumps(table, separators=(",", ":")).encode("ascii")
    header += b" " * (-len(header) % _LENGTH_BYTES)  # elements start at multiples of their size
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header, end


def map_arrays(file: Path, verify: Verify = "cheap") -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
    """Map a container into memory, read only.

    Args:
        file: the container.
        verify: which checksums are compared: that of the "header", those too that are "cheap" (of arrays up to 64 MiB),
            or those of the "whole" file. A file of version 0.1 has none.

    Returns:
        Views of the mapped file by name, and the strings; or None when the file is not such a container.

    Raises:
        OSError: the file cannot be opened.
        VidsslError: the file ends before its arrays do, or is damaged.
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
    metadata = table.pop(_METADATA, {})
    try:
        strings = {name: value for name, value in metadata.items() if name != CHECKSUMS}
        _check_layout(file, table, len(contents) - start)
        arrays = {name: _view(contents[start:], entry) for name, entry in table.items()}
        has_checksums = CHECKSUMS in arrays or CHECKSUMS in metadata
        checksums = arrays.pop(CHECKSUMS).view(_CHECKSUM).tolist() if has_checksums else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(file, "its header") from error
    if has_checksums:
        _compare(file, checksums, {"its header": contents[:start], **arrays}, verify)
    return arrays, strings


def _check_layout(file: Path, table: Mapping[str, Any], num_bytes: int) -> None:
    """Check that the arrays fill the file one after another.

    Raises:
        VidsslError: the file is cut short.
        ValueError, KeyError, TypeError: the header makes no sense.
    """
    end = 0
    for entry in sorted(table.values(), key=lambda entry: entry["data_offsets"]):
        first, last = entry["data_offsets"]
        width = np.dtype(_DTYPES[entry["dtype"]]).itemsize if entry["dtype"] in _DTYPES else None
        if first != end or last < first or (width is not None and last - first != prod(entry["shape"]) * width):
            raise ValueError(entry)
        end = last
    if end > num_bytes:
        raise VidsslError(f"{file} is cut short: {num_bytes:,} of {end:,} bytes. Copy or make it again.")
    if end < num_bytes:
        raise ValueError(end)


def _compare(file: Path, checksums: list[int], blocks: Mapping[str, np.ndarray], verify: Verify) -> None:
    if len(checksums) != len(blocks):
        raise _damaged(file, "its header")
    largest = {"header": 0, "cheap": CHEAP_BYTES, "whole": sys.maxsize}[verify]
    for place, (name, block) in enumerate(blocks.items()):
        if (place == 0 or block.nbytes <= largest) and crc32(block.data) != checksums[place]:
            raise _damaged(file, name if place == 0 else f"the column {name!r}")


def _damaged(file: Path, what: str) -> VidsslError:
    return VidsslError(f"{file} is damaged: {what} has changed since it was written. Copy or make it again.")


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


def unpack_strings(arrays: Mapping[str, np.ndarray], name: str, indices: np.ndarray | None = None) -> list[str]:
    """Return the strings packed under `name`, those of the given numbers or all."""
    offsets = arrays[f"{name}/offsets"]
    numbers = np.arange(len(offsets) - 1) if indices is None else indices
    block = arrays[f"{name}/bytes"].tobytes()
    places = zip(offsets[numbers].tolist(), offsets[numbers + 1].tolist(), strict=True)
    return [block[start:end].decode("utf-8", "surrogateescape") for start, end in places]
