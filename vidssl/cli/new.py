"""The verb ``vidssl new``: a plug-in package that works, to begin a method of one's own with."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

import vidssl
from vidssl.cli import VerbParser
from vidssl.errors import VidsslError
from vidssl.objectives import OBJECTIVES
from vidssl.storage.files import replacing

_USAGE = """vidssl new objective NAME [--output FOLDER]

Write a package with a small working method: the class and its entry point, a configuration that trains it on the
embedded videos, tests, and a README with the commands to type. NAME is the name of the class:

  vidssl new objective MyMethod                     in the folder my_method
  vidssl new objective MyMethod --output ideas/first"""

TEMPLATE_ENDING = ".template"
# What stands in the templates, which are the package of this name, for what is written instead.
TEMPLATE_CLASS, TEMPLATE_PACKAGE, TEMPLATE_PROJECT = "MyMethod", "my_method", "my-method"
MOST_LETTERS = 32  # longer names would break the lines of the templates


@dataclass(frozen=True)
class Names:
    """What the new package is called.

    Attributes:
        objective: the class, and the name in configurations (``MyMethod``).
        package: the module and its folder (``my_method``).
    """

    objective: str
    package: str

    @property
    def project(self) -> str:
        """The name for pip."""
        return self.package.replace("_", "-")

    def written_into(self, text: str) -> str:
        """Return a template's text, or path, with these names in it."""
        parts = {
            TEMPLATE_CLASS: self.objective,
            TEMPLATE_PACKAGE: self.package,
            TEMPLATE_PROJECT: self.project,
            "VIDSSL_VERSION": vidssl.__version__,
        }
        return re.sub("|".join(parts), lambda found: parts[found[0]], text)


def run_new(args: Sequence[str]) -> int:
    """Run ``vidssl new``; return the exit code.

    Raises:
        VidsslError: a name that cannot be used, or a folder that is in use.
    """
    parser = VerbParser(prog="vidssl new", usage=_USAGE, allow_abbrev=False)
    parser.add_argument("kind", choices=["objective"], help="what to write")
    parser.add_argument("name", metavar="NAME", help="name of the class, such as MyMethod")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="the folder to write (NAME in small letters)")
    options = parser.parse_args(args)
    names = choose_names(options.name)
    folder = options.output or Path(names.package)
    for file in write_package(names, folder):
        print(f"  {file}")
    print(
        f"{names.objective} is ready in {folder}:\n"
        f"  cd {folder} && pip install -e .\n"
        "  vidssl prepare synthetic --output data/synthetic\n"
        f"  vidssl fit --config configs/{names.package}.yaml\n"
        f"  vidssl check objective {names.objective} --config configs/{names.package}.yaml"
    )
    return 0


def choose_names(name: str) -> Names:
    """Return the names of class and package for ``MyMethod`` or ``my_method``.

    Raises:
        VidsslError: the name is no Python name, too long, or taken by an objective or a module.
    """
    if not name.isidentifier() or not name.isascii() or not name[0].isalpha() or keyword.iskeyword(name):
        raise VidsslError(
            f"{name!r} cannot be the name of a Python class: letters, digits and underscores, a letter first, as in "
            "MyMethod."
        )
    objective = name if name[0].isupper() else "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    package = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    package = re.sub(r"_+", "_", package).strip("_")
    if len(name) > MOST_LETTERS:
        raise VidsslError(f"{name!r} has {len(name)} letters; at most {MOST_LETTERS} are allowed.")
    if objective in OBJECTIVES.names():
        raise VidsslError(f"There is an objective {objective!r} already (vidssl list objectives): choose another name.")
    if keyword.iskeyword(package) or importlib.util.find_spec(package) is not None:
        raise VidsslError(f"The package would be called {package!r}, which Python knows already: choose another name.")
    return Names(objective, package)


def write_package(names: Names, folder: Path) -> list[Path]:
    """Write the package into a new or empty folder.

    Returns:
        the files.

    Raises:
        VidsslError: the folder is in use or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VidsslError(f"{folder} already exists; nothing is overwritten. Choose another --output.")
    root = resources.files("vidssl.cli") / "templates" / "objective"
    written = []
    try:
        for place, template in _templates(root, PurePosixPath()):
            file = folder / names.written_into(str(place)).removesuffix(TEMPLATE_ENDING)
            with replacing(file) as passing:
                passing.write_text(names.written_into(template.read_text(encoding="utf-8")), encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise VidsslError(f"Cannot write to {folder}: {error.strerror or error}. Choose another --output.") from error
    return written


def _templates(folder: Traversable, place: PurePosixPath) -> list[tuple[PurePosixPath, Traversable]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _templates(entry, place / entry.name)
        elif entry.name.endswith(TEMPLATE_ENDING):
            found.append((place / entry.name, entry))
    return found
