"""One bit that flips in a file is found, wherever it is, and ends in a message."""

import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from vidssl.errors import VidsslError
from vidssl.storage.container import StreamedArray, map_arrays, stream_arrays, write_arrays
from vidssl.storage.file_kind import FileKind

KIND = FileKind("test", 1, "test file", "a test file", "make one", "make", arrays=("wide", "bytes"), fields=("made",))
ARRAYS = {
    "wide": np.arange(20, dtype=np.int64),
    "empty": np.zeros((0, 3), np.int32),
    "grid": np.ones((4, 3), np.float32),
    "bytes": np.frombuffer(b"and some text", np.uint8),
}


@pytest.fixture
def file(tmp_path):
    write_arrays(tmp_path / "x", ARRAYS, KIND.metadata({"made": ["here"]}))
    return tmp_path / "x"


def sample(num_bits):
    return np.random.default_rng(0).permutation(num_bits)[:300].tolist()


def with_flipped_bit(file, contents, bit):
    flipped = bytearray(contents)
    flipped[bit // 8] ^= 1 << bit % 8
    file.write_bytes(flipped)


def test_what_is_written_is_read_by_us_and_by_safetensors(file):
    arrays, header = KIND.read(file, "whole")
    assert header == {"made": ["here"]}
    assert arrays.keys() == ARRAYS.keys()
    others = load_file(file)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array.ravel())
        np.testing.assert_array_equal(others[name], array)


def test_any_single_bit_is_found(file):
    contents = file.read_bytes()
    for bit in sample(8 * len(contents)):
        with_flipped_bit(file, contents, bit)
        with pytest.raises(VidsslError, match=r"damaged|cut short"):
            KIND.read(file)


def test_the_damaged_column_is_named(file):
    contents = file.read_bytes()
    with_flipped_bit(file, contents, 8 * contents.index(b"and some text") + 3)
    with pytest.raises(VidsslError, match=r"x is damaged: the column 'bytes' has changed since it was written. Copy"):
        KIND.read(file)
    assert "bytes" in KIND.read(file, "header")[0]


def test_large_arrays_are_compared_on_demand(file, monkeypatch):
    monkeypatch.setattr("vidssl.storage.container.CHEAP_BYTES", 16)
    contents = file.read_bytes()
    with_flipped_bit(file, contents, 8 * contents.index(np.arange(20).tobytes()))
    assert KIND.read(file)[0]["wide"][0] == 1
    with pytest.raises(VidsslError, match="the column 'wide'"):
        KIND.read(file, "whole")


def test_files_without_checksums_are_read_and_bits_of_their_headers_end_in_no_traceback(tmp_path):
    file = tmp_path / "x"
    save_file(ARRAYS, file, KIND.metadata({"made": ["here"]}))  # as version 0.1 wrote them
    contents = file.read_bytes()
    arrays, header = KIND.read(file, "whole")
    assert (header, arrays.keys()) == ({"made": ["here"]}, ARRAYS.keys())
    bits = 8 * (8 + int.from_bytes(contents[:8], "little"))
    told = []
    for bit in sample(bits):
        with_flipped_bit(file, contents, bit)
        try:
            KIND.read(file)
        except VidsslError as error:
            told.append(str(error))
    assert len(told) > 240
    assert all(re.search(r"damaged|cut short|of version", message) for message in told)


def test_pieces_are_summed_like_the_whole(tmp_path):
    pieces = [np.full(1000, number, np.float32) for number in range(5)]
    stream_arrays(tmp_path / "x", {"a": StreamedArray(np.dtype(np.float32), (5000,), iter(pieces))}, {})
    arrays, strings = map_arrays(tmp_path / "x", "whole")
    np.testing.assert_array_equal(arrays["a"], np.concatenate(pieces))
    assert strings == {}
