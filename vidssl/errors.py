"""The errors that are meant for the person who runs the command."""

import difflib
from collections.abc import Iterable


class VidsslError(Exception):
    """A mistake in the input or the environment, worded for the user.

    The command line prints the message alone, without a traceback. The message says what is wrong,
    where (file, key or shape) and what to do about it.
    """


class UnknownNameError(VidsslError):
    """A name that is not registered; the message lists the known names and the nearest one."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
