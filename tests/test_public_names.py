"""The names that plug-ins and scripts import: cheap, listed, and the same for people and for type checkers."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "public_names.md").read_text()
LISTED = {
    package: set(re.findall(r"`(\w+)`", names))
    for package, names in re.findall(r"^\| `([\w.]+)` \| (.*) \|$", PAGE, re.M)
}
# modules of their own; what a package defines itself stands in its __all__ too
OFFERING = sorted(LISTED.keys() - {"vidssl.types", "vidssl.errors", "vidssl.registry"})


@pytest.mark.parametrize("package", LISTED)
def test_the_page_lists_what_is_there(package):
    module = importlib.import_module(package)
    for name in LISTED[package]:
        assert not isinstance(getattr(module, name), ModuleType), name
    if package in OFFERING:
        assert set(module.__all__) == LISTED[package]


def test_every_package_that_offers_names_is_listed():
    offering = [file for file in (REPOSITORY / "vidssl").rglob("__init__.py") if "\noffer(" in file.read_text()]
    assert sorted(".".join(file.relative_to(REPOSITORY).parts[:-1]) for file in offering) == OFFERING


@pytest.mark.parametrize("package", OFFERING)
def test_type_checkers_see_the_same_names(package):
    tree = ast.parse(Path(importlib.import_module(package).__file__).read_text())
    told = {
        (alias.name, node.module)
        for branch in tree.body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "offer")
    offered = {
        (name, f"{package}.{keyword.arg}") for keyword in call.keywords for name in ast.literal_eval(keyword.value)
    }
    assert told == offered


def test_importing_the_packages_is_cheap():
    code = f"import sys, {', '.join(OFFERING)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_module_does_not_hide_a_name_that_is_spelt_alike():
    code = (
        "import vidssl.losses.queue_info_nce, vidssl.nn.shuffled_norm\n"  # names of functions, too
        "from vidssl.losses import info_nce\nfrom vidssl.nn import gather\n"
        "from vidssl.losses.info_nce import info_nce as same\n"
        "assert callable(info_nce) and callable(gather) and info_nce is same"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_name_is_an_attribute_error():
    losses = importlib.import_module("vidssl.losses")
    with pytest.raises(AttributeError, match=r"module 'vidssl\.losses' has no attribute 'info_nec'"):
        losses.info_nec  # noqa: B018
    assert "info_nce" in dir(losses)
