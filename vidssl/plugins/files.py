"""Plug-in files: the user's Python files with parts (`kinds.KINDS`), named by the key ``plugin``.

The file is imported by its own name, with its folder at the end of the import path. Processes that start later
(loader workers, the other processes of DDP) are given the same path or repeat the command, so they find it too.
"""

from __future__ import annotations

import filecmp
import importlib
import importlib.util
import inspect
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from vidssl.errors import VidsslError
from vidssl.plugins.kinds import KINDS
from vidssl.registry import PLUGINS_SWITCH, failure_text, plugins_are_on

KEPT_FOLDER = "plugins"
"""In the folder of a run."""


def load_plugin_files(files: Iterable[str]) -> None:
    """Load each file once and register what it defines.

    Raises:
        VidsslError: see `load_plugin_file`.
    """
    for file in files:
        load_plugin_file(file)


def load_plugin_file(file: str) -> ModuleType:
    """Load a Python file and register what it defines, under the names of the classes.

    Classes below the bases of `KINDS` (`Objective`, `Backbone`, `ClipSampler`, ...) whose names do not begin with an
    underscore are registered, abstract ones aside. A file that was loaded before is not loaded again.

    Raises:
        VidsslError: plug-ins are switched off, or the file is missing, has a name that cannot be imported or is taken,
            fails while it is loaded, or defines nothing.
    """
    if not plugins_are_on():
        raise VidsslError(f"plugin: {file}: {PLUGINS_SWITCH}=0 switches plug-ins off. Remove one of them.")
    path = Path(file).absolute()
    _check_file(file, path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last: a neighbour called random.py must not hide Python's
    _check_module_name(file, path)
    is_new, before = path.stem not in sys.modules, _registered()
    try:
        module = importlib.import_module(path.stem)
    except (Exception, SystemExit) as error:  # it may fail in any way
        raise VidsslError(f"The plug-in {file} cannot be loaded: {failure_text(error)}.") from error
    _register_classes(module, file)
    if is_new and _registered() == before:
        raise VidsslError(f"The plug-in {file} {_what_it_defines(module)}.")
    return module


def keep_plugin_files(files: Iterable[str], run_dir: Path) -> None:
    """Copy plug-in files into the folder of a run, where they document what was run, even if the originals change.

    An existing copy is not made again. If a run continues with a file that has changed, the copy gets a new name:
    ``my_method.py``, ``my_method-2.py``.
    """
    folder = run_dir / KEPT_FOLDER
    for file in map(Path, files):
        number, kept = 1, folder / file.name
        while kept.exists() and not filecmp.cmp(file, kept, shallow=False):
            number += 1
            kept = folder / f"{file.stem}-{number}{file.suffix}"
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)


def _check_file(file: str, path: Path) -> None:
    if not path.is_file():
        what = "is a folder; name the file with the class" if path.is_dir() else "is not there"
        raise VidsslError(f"plugin: {file} {what}.")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise VidsslError(
            f"plugin: {file} must be a Python file whose name can be imported, such as my_method.py: letters, digits "
            "and underscores, then .py."
        )


def _check_module_name(file: str, path: Path) -> None:
    """Make sure that the file's name leads to this file, and not to another module."""
    importlib.invalidate_caches()
    loaded = sys.modules.get(path.stem)
    spec = loaded.__spec__ if loaded else importlib.util.find_spec(path.stem)
    origin = spec.origin if spec else None
    if origin is None or not Path(origin).is_file() or not Path(origin).samefile(path):
        raise VidsslError(
            f"plugin: {file} cannot be loaded as the module {path.stem!r}, which is {origin or 'taken'} already: "
            "rename your file."
        )


def _registered() -> int:
    """Return how many entries there are, those included that the code of a file makes by itself."""
    return sum(kind.registry.count() for kind in KINDS)


def _register_classes(module: ModuleType, file: str) -> None:
    bases = {kind.base(): kind.registry for kind in KINDS}
    for name, found in inspect.getmembers(module, inspect.isclass):
        base = next((base for base in bases if issubclass(found, base)), None)
        # without training_step alone a method is unfinished, which is said where it is asked for
        is_abstract = bool(getattr(found, "__abstractmethods__", frozenset()) - {"training_step"})
        if base is None or found.__module__ != module.__name__ or name.startswith("_") or is_abstract:
            continue
        bases[base].announce(name, found, f"file {file}")


def _what_it_defines(module: ModuleType) -> str:
    *bases, last = [kind.base_path for kind in KINDS]
    wanted = f"no class below {', '.join(bases)} or {last}"
    classes = [found for _, found in inspect.getmembers(module, inspect.isclass) if found.__module__ == module.__name__]
    if not classes:
        return f"defines {wanted}"
    words = ", ".join(f"{found.__name__} (below {_path_of(found.__bases__[0])})" for found in classes)
    return f"defines {words}, {wanted}"


def _path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"
