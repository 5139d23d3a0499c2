"""Frames of a video by their numbers, with any decoding library.

Frame number i is the i-th frame the decoder presents, from 0. Every decoder returns frames as a player would show
them: rotation metadata is applied. Differences that remain between decoders are in docs/decoding.md.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from vidssl.errors import VidsslError
from vidssl.registry import Registry
from vidssl.video.decoders.diagnosis import check_file, explain_unloaded
from vidssl.video.decoders.reader import DecodingError as DecodingError
from vidssl.video.decoders.reader import Reader
from vidssl.video.decoders.reader import VideoInfo as VideoInfo

if TYPE_CHECKING:
    from vidssl.video.decoders.kept_frames import KeptFrames

# The fastest measured, reads every codec of the test videos, and has wheels for every platform (docs/decoding.md).
AUTO = "pyav"

DECODERS = Registry("decoder", "vidssl.decoders")
DECODERS.register(
    "pyav", "vidssl.video.decoders.pyav_reader:PyAVReader", summary="PyAV with its own FFmpeg; what 'auto' takes"
)
DECODERS.register("decord", "vidssl.video.decoders.decord_reader:DecordReader", summary="decord, no longer maintained")
DECODERS.register(
    "opencv", "vidssl.video.decoders.opencv_reader:OpenCVReader", summary="OpenCV, reads from the first frame on"
)
DECODERS.register(
    "torchcodec",
    "vidssl.video.decoders.torchcodec_reader:TorchCodecReader",
    summary="TorchCodec with the system's FFmpeg (optional extra)",
)
_PACKAGES = {"pyav": "av", "decord": "decord", "opencv": "cv2", "torchcodec": "torchcodec"}


def available_decoders() -> list[str]:
    """Return the decoders whose library is installed, without importing any."""
    return [name for name in DECODERS.names() if _is_installed(name)]


def frames_to_keep(decoder: str) -> KeptFrames:
    """Return a place for the frames of a video that PyAV decodes for another purpose before `read_frames`.

    None are kept if `decoder` is another: its frames could differ.
    """
    from vidssl.video.decoders.kept_frames import MAX_KEPT_BYTES, KeptFrames

    return KeptFrames(MAX_KEPT_BYTES if (AUTO if decoder == "auto" else decoder) == "pyav" else 0)


def read_frames(
    path: str | os.PathLike[str], indices: Iterable[int], *, decoder: str = "auto", kept: KeptFrames | None = None
) -> np.ndarray:
    """Read the frames of a video at given numbers, with one decoding thread.

    Every frame is decoded and converted once, even if its number is repeated.

    Args:
        path: the video.
        indices: frame numbers in any order, repeats allowed, each from 0 to the number of frames less one.
        decoder: a name of `DECODERS`, or ``"auto"``.
        kept: frames of this video from `frames_to_keep`; where they are complete, nothing is read or decoded.

    Returns:
        uint8, len(indices) x H x W x 3, RGB, as displayed; in the order of `indices`.

    Raises:
        DecodingError: the file cannot be read or has fewer frames; the result never has fewer frames than requested.
        UnknownNameError: no such decoder.
    """
    output: np.ndarray | None = None
    numbers = indices if isinstance(indices, np.ndarray) else list(indices)
    for places, frame in each_frame(path, numbers, decoder=decoder, kept=kept):
        if output is None:
            output = np.empty((len(numbers), *frame.shape), np.uint8)
        output[places] = frame
    assert output is not None  # there is at least one number
    return output


def each_frame(
    path: str | os.PathLike[str],
    indices: np.ndarray | list[int],
    *,
    decoder: str = "auto",
    kept: KeptFrames | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the frames that `read_frames` returns, each once, as they are decoded.

    Args:
        path: as for `read_frames`, like all of these.
        indices: frame numbers.
        decoder: name of the decoder.
        kept: frames of this video.

    Yields:
        At which places of `indices` the frame belongs, int64; the frame, uint8 H x W x 3, which may be a view that the
        next one overwrites.

    Raises:
        DecodingError: as `read_frames` does.
        UnknownNameError: no such decoder.
    """
    path = os.fspath(path)
    numbers = np.asarray(indices)
    if numbers.ndim != 1 or len(numbers) == 0 or numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise VidsslError(f"{path}: frame numbers must be whole numbers from 0, at least one; got {indices!r}.")
    distinct, positions = np.unique(numbers, return_inverse=True)
    order = np.argsort(positions, kind="stable")
    slots = np.split(order, np.cumsum(np.bincount(positions))[:-1])  # where each distinct frame goes
    shape: tuple[int, ...] | None = None
    with closing(_frames(path, distinct.tolist(), decoder, kept)) as frames:
        for places, frame in zip(slots, frames, strict=True):
            shape = shape or frame.shape
            if frame.shape != shape:
                raise DecodingError(path, f"its frames change size: {shape[:2]} to {frame.shape[:2]}")
            yield places, frame


def _frames(path: str, indices: list[int], decoder: str, kept: KeptFrames | None) -> Generator[np.ndarray, None, None]:
    if kept is not None and kept.are_complete:
        yield from kept.frames(path, indices)
    else:
        with closing(_open(path, decoder)) as reader:
            yield from reader.frames(indices)


def probe(path: str | os.PathLike[str], *, decoder: str = "auto") -> VideoInfo:
    """Decode a whole video and report what it holds.

    Args:
        path: the video.
        decoder: a name of `DECODERS`, or ``"auto"``.

    Returns:
        The frames that decode, frames per second, size in pixels and duration in seconds.

    Raises:
        DecodingError: with the reason: no such file, empty file, not a video, index missing, no video stream,
            cannot be opened, or no frame decodes.
    """
    with closing(_open(os.fspath(path), decoder)) as reader:
        return reader.info()


def _open(path: str, decoder: str) -> Reader:
    reader = _reader_called(AUTO if decoder == "auto" else decoder)
    check_file(path)
    return reader(path)


@cache  # looking for plug-ins takes milliseconds, as long as decoding a clip
def _reader_called(name: str) -> Callable[[str], Reader]:
    if name in _PACKAGES and not _is_installed(name):
        raise VidsslError(
            f"The decoder {name!r} needs the package {_PACKAGES[name]!r}, which is not installed; install it or use "
            f"decoder 'auto'. Installed: {', '.join(available_decoders())}."
        )
    try:
        return DECODERS.get(name)
    except (ImportError, OSError, RuntimeError) as error:  # a system library that the package needs is missing
        raise explain_unloaded(name, error) from error


def _is_installed(name: str) -> bool:
    return name not in _PACKAGES or importlib.util.find_spec(_PACKAGES[name]) is not None
