"""Why a file cannot be opened, in the same words for every decoder."""

from __future__ import annotations

import os
from io import BytesIO
from typing import TYPE_CHECKING

from vidssl.errors import VidsslError
from vidssl.video.decoders.reader import DecodingError
from vidssl.video.places import ByteRange, file_of, for_decoder, open_place, size_and_time
from vidssl.video.remote import is_url, remote_file

if TYPE_CHECKING:
    import av


def check_file(path: str) -> None:
    """Raise a DecodingError if the file of the place `path` is missing, a folder, unreadable, empty or cut short."""
    file = file_of(path)
    if is_url(file):
        _check_url(path, file)
        return
    if not os.path.exists(file):
        raise DecodingError(path, "no such file")
    if not os.path.isfile(file):
        raise DecodingError(path, "not a file")
    if not os.access(file, os.R_OK):
        raise DecodingError(path, "cannot be opened: no permission to read it")
    if size_and_time(path)[0] == 0:
        raise DecodingError(path, "empty file (0 bytes); fetch it again")
    part = ByteRange.of(path)
    if part is not None and os.path.getsize(file) < part.start + part.num_bytes:
        raise DecodingError(path, f"the file around it is cut short, at {os.path.getsize(file):,} bytes; copy it again")


def _check_url(path: str, url: str) -> None:
    try:
        num_bytes = remote_file(url).num_bytes
    except FileNotFoundError as error:
        raise DecodingError(path, "no such file") from error
    except PermissionError as error:
        raise DecodingError(path, f"cannot be opened: no permission to read it ({error})") from error
    part = ByteRange.of(path)
    if num_bytes == 0 or (part is not None and part.num_bytes == 0):
        raise DecodingError(path, "empty file (0 bytes); fetch it again")
    if part is not None and num_bytes < part.start + part.num_bytes:
        raise DecodingError(path, f"the file around it is cut short, at {num_bytes:,} bytes; copy it again")


def explain_unopened(path: str, decoder: str, error: object) -> DecodingError:
    """Return the DecodingError that says why `decoder` could not open `path`.

    Args:
        path: an existing file that is not empty.
        decoder: the name of the decoder that failed.
        error: what its library said.
    """
    import av

    try:
        with open_container(path) as container:
            has_video = bool(container.streams.video)
    except av.FFmpegError:
        if _misses_index(path):
            return DecodingError(
                path, "index missing (an MP4 without its 'moov' atom): the file was cut off; fetch it again"
            )
        return DecodingError(path, "not a video: no known container format")
    if not has_video:
        return DecodingError(path, "no video stream")
    said = str(error).strip().split("\n")[0][:200]
    return DecodingError(path, f"cannot be opened with decoder {decoder!r} ({said}); try decoder 'pyav'")


def explain_unloaded(decoder: str, error: object) -> VidsslError:
    """Return the error for a decoder whose package is there but not a system library that it needs.

    Args:
        decoder: its name.
        error: what its package said.
    """
    said = str(error).strip()
    if "ffmpeg" in said.lower():
        reason, remedy = "it finds no FFmpeg that fits it", "install FFmpeg with its shared libraries"
    else:
        reason, remedy = said.split("\n")[0], "install what it asks for"
    return VidsslError(
        f"The decoder {decoder!r} is installed but cannot be loaded ({reason}); use decoder 'auto', or {remedy}."
    )


def open_container(path: str, file: BytesIO | None = None) -> av.container.InputContainer:
    """Open the place `path` with PyAV, or `file` in its stead, whatever bytes its title and comments hold."""
    import av

    if int(av.__version__.split(".")[0]) >= 19:  # reads any bytes, and no longer takes the argument
        return av.open(file or for_decoder(path), "r")
    return av.open(file or for_decoder(path), "r", metadata_errors="ignore")


def hides_frames(path: str) -> bool:
    """Return whether the file, which can be opened, has an edit list that leaves out frames of its video."""
    import av

    with open_container(path) as container:
        stream = container.streams.best("video")
        return isinstance(stream, av.VideoStream) and any(entry.is_discard for entry in stream.index_entries)


def open_video(path: str, file: BytesIO | None = None) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open `path` with PyAV, or `file` in its stead, and return its best video stream too, decoded with one thread.

    Raises:
        DecodingError: the file cannot be opened, or holds no stream that can be decoded.
    """
    import av
    from av.codec.context import ThreadType
    from av.stream import Disposition

    try:
        container = open_container(path, file)
    except av.FFmpegError as error:
        raise explain_unopened(path, "pyav", error) from error
    stream = container.streams.best("video")
    if stream is not None and stream.disposition & Disposition.attached_pic:  # FFmpeg takes it when there is no other
        container.close()
        raise DecodingError(path, "no video stream, only a cover picture")
    if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
        container.close()
        unknown = "cannot be opened: its codec is unknown, or its header is damaged"
        raise DecodingError(path, "no video stream" if stream is None else unknown)
    stream.thread_type = ThreadType.NONE
    stream.codec_context.thread_count = 1
    return container, stream


def _misses_index(path: str) -> bool:
    """Tell whether the file is an MP4 whose top-level boxes include no 'moov'."""
    with open_place(path) as file:
        file_size, position, kinds = size_and_time(path)[0], 0, set()
        while position + 8 <= file_size:
            file.seek(position)
            header = file.read(16)
            box_size, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if box_size == 1:  # 64 bit size follows the kind
                box_size = int.from_bytes(header[8:16], "big")
            kinds.add(kind)
            if box_size < 8:  # 0: up to the end of the file; else not a box
                break
            position += box_size
    return b"ftyp" in kinds and b"moov" not in kinds
