"""Claims: one process at a time does a piece of work, on any disk that several machines share.

Who works makes a file of an agreed name, which fails where it exists: every file system does that in one step, also
those of clusters that know no file locks (flock, fcntl). In the file is who made it. A process that ended without
removing its file is known by its number on its own machine, at once. On another machine, it is known by silence: a
process that works changes the time of its file every few seconds. Whoever finds the file of an ended process sets it
aside, and makes one of its own.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4
from zlib import crc32

from vidssl.errors import VidsslError

BEAT_SECONDS = 15.0
SILENT_SECONDS = 180.0
"""A process of another machine that has been silent for so long is taken for ended; disks show times late."""
_SECONDS_UNTIL_WRITTEN, _SECONDS_UNTIL_SETTLED = 1.0, 0.2
_ENDED = ("Z", "X")  # states of a process that has ended and of which the system still has a record


@dataclass(frozen=True)
class Holder:
    """Who holds a file.

    Attributes:
        machine: name of the machine, since when it runs, and which of its containers.
        process: its number there.
        began: when the process began, by the machine's own count; a number may be given again.
        token: of this one holding.
        about: what the holder wanted to say.
        file: the file that was made, without links; it may have been copied with its folder since.
    """

    machine: str = ""
    process: int = 0
    began: str = ""
    token: str = ""
    about: str = ""
    file: str = ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is a process of another machine, which is known by its silence alone."""
        return self.token != "" and self.machine != _machine()

    def __str__(self) -> str:
        return f"process {self.process} on {self.machine.partition(' ')[0]}" if self.token else "another process"


class Held:
    """A file that this process holds; see `hold`."""

    def __init__(self, file: Path, token: str) -> None:
        self.file = file
        self._token = token
        self._beaten = time.time()
        _HEART.add(self)

    def is_ours(self) -> bool:
        """Return whether no other process has taken it, having found this one silent: on a suspended machine."""
        if time.time() - self._beaten > 2 * BEAT_SECONDS:
            self.beat()
        return self._token != ""

    def beat(self) -> None:
        """Show that this process works, or note that the file is another's."""
        try:
            if _holder(self.file).token == self._token:
                os.utime(self.file)
                self._beaten = time.time()
            else:
                self._token = ""
        except FileNotFoundError:
            self._token = ""
        except OSError:
            return  # a disk that does not answer now: at the next beat

    def release(self) -> None:
        """Let others have it."""
        _HEART.remove(self)
        with suppress(OSError):
            if _holder(self.file).token == self._token:
                self.file.unlink()
        self._token = ""


def hold(file: Path, about: str = "") -> Held | Holder:
    """Make a file that stands for a piece of work, unless a process that works has made it.

    Args:
        file: in a folder that exists.
        about: what to say to others who want it.

    Returns:
        what is to be released at the end, or who holds it.

    Raises:
        OSError: the file cannot be made.
    """
    mine = Holder(_machine(), os.getpid(), _began(os.getpid()), uuid4().hex, about, os.path.realpath(file))
    took_over = False
    while True:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            with suppress(FileNotFoundError):
                found = _written(file)
                if _works(file, found):
                    return found
                _set_aside(file, found)
                took_over = True
            continue
        try:
            os.write(descriptor, json.dumps(asdict(mine)).encode())
            os.fsync(descriptor)
        except OSError:  # a full disk
            file.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        if took_over:  # others that found the ended one take ours for it, until they look
            time.sleep(_SECONDS_UNTIL_SETTLED)
            if not file.exists() or _holder(file).token != mine.token:
                continue
        return Held(file, mine.token)


def hold_or_fail(file: Path) -> Held:
    """Hold a file that will be appended to, by a claim beside it.

    Raises:
        OSError: the claim cannot be made.
        VidsslError: another process holds it.
    """
    found = hold(file.with_name(f"{file.name}.claim"))
    if isinstance(found, Held):
        return found
    raise VidsslError(f"{file} is being written by {found}; wait for it, or end it.")


def works_here(process: int) -> bool | None:
    """Return whether a process of this machine works; None where the system does not say."""
    if sys.platform == "win32":
        return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _state(process).startswith(_ENDED)


def machine_tag() -> str:
    """Return a short name of this machine for names of files."""
    return f"{crc32(_machine().encode()):08x}"


def _works(file: Path, holder: Holder) -> bool:
    if _is_copy(file, holder):
        return False
    if holder.token and holder.machine == _machine():
        works = works_here(holder.process)
        if works is not None:
            return works and _began(holder.process) == holder.began
    return _silence(file) < (SILENT_SECONDS if holder.token else 2 * BEAT_SECONDS)


def _is_copy(file: Path, holder: Holder) -> bool:
    """Return whether a holder works elsewhere, and its file came here with a copy of the folder."""
    made = Path(holder.file)
    try:  # under another name it may be the same file: of a folder that is mounted twice
        return bool(holder.file) and not made.samefile(file) and _holder(made).token == holder.token
    except OSError:  # the folder was moved, or is of another machine
        return False


def _silence(file: Path) -> float:
    """Return for how many seconds a file has not changed, by the clock of its disk."""
    now = file.with_name(f"{file.name}.{uuid4().hex}")
    try:
        now.touch()
        return now.stat().st_mtime - file.stat().st_mtime
    finally:
        now.unlink(missing_ok=True)


def _set_aside(file: Path, ended: Holder) -> None:
    """Take away the file of a process that has ended; of several that do so at once, none takes a new one away."""
    aside = file.with_name(f"{file.name}.{uuid4().hex}")
    file.rename(aside)
    if _holder(aside).token != ended.token:  # somebody was faster, and this is the new one
        with suppress(OSError):  # where another has made one meanwhile, its holder notices
            os.link(aside, file)
    aside.unlink()


def _holder(file: Path) -> Holder:
    try:
        return Holder(**json.loads(file.read_bytes()))
    except (ValueError, TypeError):  # it is being written, or is of an earlier version
        return Holder()


def _written(file: Path) -> Holder:
    """Return who holds a file; its holder may just be writing that."""
    deadline = time.monotonic() + _SECONDS_UNTIL_WRITTEN
    while not (found := _holder(file)).token and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@cache
def _machine() -> str:
    names = [socket.gethostname()]
    with suppress(OSError):  # machines that were installed from one image may have the same name
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):  # in two containers of one machine, the same number is that of two processes
        names.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(names)


def _state(process: int) -> str:
    """Return what the system says of a process from its state on; nothing where it does not say."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2]
    except OSError:
        return ""


def _began(process: int) -> str:
    fields = _state(process).split()
    return fields[19] if len(fields) > 19 else ""


class _Heart:
    """Beats for every file that this process holds, in one thread."""

    def __init__(self) -> None:
        self._held: set[Held] = set()
        self._process = 0

    def add(self, held: Held) -> None:
        if self._process != os.getpid():  # the first one, or the first after a fork: threads stay behind
            self._held, self._process = set(), os.getpid()
            threading.Thread(target=self._beat, name="vidssl holds files", daemon=True).start()
        self._held.add(held)

    def remove(self, held: Held) -> None:
        self._held.discard(held)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            for held in list(self._held):
                held.beat()


_HEART = _Heart()
