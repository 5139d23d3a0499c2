"""Files behind URLs, such as those in object storage, read in parts through fsspec.

What was read stays in memory for a while, up to a limit: a video of a few MB in one piece, others in blocks. A request
that fails is repeated a few times. If it still fails, the video is not at fault: the work ends and can be continued
later.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote

from vidssl.errors import VidsslError

BLOCK_BYTES = 2**20
WHOLE_BYTES = 16 * 2**20
"""A video up to this size comes with one request."""
CACHE_BYTES = 128 * 2**20
"""Of each process."""
ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
"""Before the second attempt; each further one waits twice as long."""
CONNECT_SECONDS, READ_SECONDS = 20.0, 60.0

Answer = TypeVar("Answer")

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_PASSING_STATUS = (408, 429)  # of those that blame who asks: too slow, too often


class FetchError(VidsslError):
    """A file of a URL that could not be fetched, though it may be there."""


def is_url(place: str) -> bool:
    """Return whether a place is a URL."""
    return _URL.match(place) is not None


def join(root: str, path: str) -> str:
    """Return the URL of a file below another."""
    is_web = root.lower().startswith(("http://", "https://"))
    return f"{root.rstrip('/')}/{quote(path, errors='surrogateescape') if is_web else path}"


class UrlFolder(os.PathLike[str]):
    """What stands for a folder of videos where a URL names it.

    Args:
        url: of the folder.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def __fspath__(self) -> str:
        return self._url

    def __str__(self) -> str:
        return self._url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UrlFolder) and other._url == self._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __truediv__(self, path: str) -> str:
        return join(self._url, path)

    def is_dir(self) -> bool:
        """Return True: object storage has no folders to look at."""
        return True

    def is_absolute(self) -> bool:
        """Return True: a URL does not depend on the current folder."""
        return True

    def absolute(self) -> UrlFolder:
        """Return itself."""
        return self


class RemoteFile:
    """A file that a URL names.

    Args:
        url: the file.

    Attributes:
        num_bytes: its size.

    Raises:
        FileNotFoundError: it is not there.
        PermissionError: it may not be read.
        FetchError: it cannot be reached, or does not tell its size.
        VidsslError: its kind of URL needs a package that is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._system = file_system(url)
        size = _persistently(url, lambda: self._system.info(url))["size"]
        if size is None:
            raise FetchError(f"{url}: the server does not tell its size, so parts of it cannot be asked for.")
        self.num_bytes = int(size)

    def read_at(self, start: int, num_bytes: int) -> bytes:
        """See `vidssl.video.places.OpenFile.read_at`."""
        end = min(start + num_bytes, self.num_bytes)
        blocks = range(start // BLOCK_BYTES * BLOCK_BYTES, end, BLOCK_BYTES)
        pieces = [self.span(block, min(block + BLOCK_BYTES, self.num_bytes)) for block in blocks]
        skipped = start - blocks.start
        return b"".join(pieces)[skipped : skipped + end - start] if pieces else b""

    def span(self, start: int, end: int) -> bytes:
        """Return a part that lies in memory, or is fetched in one request.

        Raises:
            FetchError: it cannot be fetched, or the server does not give parts of files.
        """
        return _CACHE.get((self.url, start, end), lambda: _persistently(self.url, lambda: self._fetch(start, end)))

    def _fetch(self, start: int, end: int) -> bytes:
        contents: bytes = self._system.cat_file(self.url, start=start, end=end)
        if len(contents) > end - start:
            raise FetchError(
                f"{self.url}: the server sends whole files only; it must answer requests for ranges, as nginx does and "
                "`python -m http.server` does not."
            )
        if len(contents) < end - start:
            raise ConnectionError(f"{len(contents):,} of {end - start:,} bytes came")
        return contents


class HeldPart:
    """A part of a remote file that comes in one piece, with the first byte that is asked for.

    Args:
        file: the larger file.
        start: of the part.
        num_bytes: of the part.
    """

    def __init__(self, file: RemoteFile, start: int, num_bytes: int) -> None:
        self._file, self._start, self._end = file, start, start + num_bytes

    def read_at(self, start: int, num_bytes: int) -> bytes:
        """See `vidssl.video.places.OpenFile.read_at`."""
        skipped = start - self._start
        return self._file.span(self._start, self._end)[skipped : skipped + num_bytes]


class _Cache:
    """What was read last, up to a number of bytes."""

    def __init__(self) -> None:
        self._spans: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._num_bytes = 0

    def get(self, key: tuple[str, int, int], fetch: Callable[[], bytes]) -> bytes:
        if key in self._spans:
            self._spans.move_to_end(key)
            return self._spans[key]
        contents = self._spans[key] = fetch()
        self._num_bytes += len(contents)
        while self._num_bytes > CACHE_BYTES and len(self._spans) > 1:
            self._num_bytes -= len(self._spans.popitem(last=False)[1])
        return contents

    def clear(self) -> None:
        self._spans.clear()
        self._num_bytes = 0


_CACHE = _Cache()


@lru_cache(maxsize=256)
def remote_file(url: str) -> RemoteFile:
    """Return the file of a URL; its size is asked for once a process."""
    return RemoteFile(url)


def forget_remote_files() -> None:
    """Forget what is known of all files, as where one was replaced."""
    remote_file.cache_clear()
    _CACHE.clear()


def file_system(url: str) -> Any:
    """Return fsspec's file system for a URL.

    Raises:
        VidsslError: the kind of URL is unknown, or needs a package that is not installed.
    """
    import fsspec  # type: ignore[import-untyped]  # it has no types

    kind = url.partition("://")[0].lower()
    options: dict[str, Any] = {}
    if kind in ("http", "https"):
        import aiohttp  # fsspec needs it too

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        options = {"client_kwargs": {"timeout": timeout}}
    try:
        return fsspec.filesystem(kind, **options)
    except ImportError as error:
        package = _PACKAGES.get(kind, "what it asks for")
        raise VidsslError(f"{url}: URLs of this kind need a package: pip install {package} ({error}).") from error
    except ValueError as error:
        raise VidsslError(f"{url}: fsspec knows no URLs that begin with {kind}://.") from error


def _persistently(url: str, ask: Callable[[], Answer]) -> Answer:
    """Ask, and ask again where the answer may be another next time."""
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except (VidsslError, PermissionError):
            raise
        except Exception as raised:  # each file system has its own for a lost connection
            error = _behind(raised)
            if isinstance(error, FileNotFoundError):
                raise
            status = getattr(error, "status", None)
            if isinstance(status, int) and 400 <= status < 500 and status not in _PASSING_STATUS:
                raise _refused(url, status) from error
            if attempt == ATTEMPTS - 1:
                words = f"status {status}" if status else f"{type(error).__name__}: {error}".rstrip(": ")
                raise FetchError(f"{url}: could not be fetched in {ATTEMPTS} attempts, the last: {words}.") from error
            time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
    raise AssertionError("there is a last attempt")


def _behind(error: Exception) -> BaseException:
    """Return what is behind an error: fsspec calls a web server that does not answer a file that is not there."""
    cause = error.__cause__
    is_hidden = isinstance(error, FileNotFoundError) and (isinstance(cause, OSError) or hasattr(cause, "status"))
    return cause if is_hidden and cause is not None else error


def _refused(url: str, status: int) -> Exception:
    if status in (404, 410):
        return FileNotFoundError(url)
    if status in (401, 403):
        return PermissionError(f"{url}: status {status}")
    return FetchError(f"{url}: the server refuses it with status {status}.")
