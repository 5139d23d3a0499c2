"""Which code and which videos a number comes from."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import vidssl

GIT_SECONDS = 10.0
PACKAGE_FOLDER = Path(vidssl.__file__).resolve().parent


@cache
def code_version() -> dict[str, Any]:
    """Return `version` and, where the package lies in a git checkout of its own, `commit` and `modified`.

    A package that is installed has no commit, even where its virtual environment is inside a repository.
    """
    facts: dict[str, Any] = {"version": vidssl.__version__, "commit": None, "modified": None}
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return facts
    facts["commit"] = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".")
    facts["modified"] = None if changed is None else bool(changed)
    return facts


def _git(*args: str) -> str | None:
    """What git answers in the package's folder; None where there is no git, no repository, or no answer."""
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE_FOLDER), *args], capture_output=True, text=True, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def catalog_facts(data: Any) -> dict[str, Any]:
    """Return `name`, `digest`, `videos`, `train_split` and `train_videos` of a data module's catalog.

    Nobody has quite the same videos (Kinetics), so that digest and counts belong to every number.
    """
    return {
        "name": data.name,
        "digest": data.catalog.digest,
        "videos": len(data.catalog),
        "train_split": data.train_split,
        "train_videos": len(data.train_rows),
    }
