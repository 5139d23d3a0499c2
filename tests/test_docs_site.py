"""The site of the documentation: it builds without a warning, covers every public name, and asks no other host."""

import importlib
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from headless_browser import visit

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PUBLIC = {
    f"{package}.{name}"
    for package, names in re.findall(r"^\| `([\w.]+)` \| (.*) \|$", (DOCS / "public_names.md").read_text(), re.M)
    for name in re.findall(r"`(\w+)`", names)
}
VISITED = (
    "index.html",
    "motion.html",
    "guides/first_run.html",
    "gallery/mcl.html",
    "notebooks/first_steps.html",
    "api/vidssl.losses.html",
    "search.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: warnings are errors, links and references that lead nowhere among them."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", str(DOCS), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert built.returncode == 0, built.stderr
    return folder


def inventory(file):
    """Names of the Python objects that an inventory of Sphinx (version 2) lists."""
    header = b"# The remainder of this file is compressed using zlib.\n"
    lines = zlib.decompress(file.read_bytes().partition(header)[2]).decode().splitlines()
    return {line.split(" py:")[0] for line in lines if " py:" in line}


@pytest.mark.slow
def test_every_public_name_has_an_entry(site):
    assert PUBLIC - inventory(site / "objects.inv") == set()


@pytest.mark.slow
@pytest.mark.parametrize("page", VISITED)
def test_pages_complain_of_nothing_and_ask_no_other_host(site, page):
    seen = visit(site / page)
    assert seen.console == []
    assert seen.requests == []


def test_every_public_package_has_a_page():
    offering = {name.rpartition(".")[0] for name in PUBLIC}
    pages = {page.stem for page in (DOCS / "api").glob("vidssl*.md")}
    assert offering == pages, "write docs/api/PACKAGE.md like the others, and a line in docs/api/index.md"


def test_every_page_is_reached_from_the_table_of_contents():
    listed = {DOCS / "index.md"}
    for page in [DOCS / "index.md", *DOCS.glob("*/index.md")]:
        for tree in re.findall(r"```\{toctree\}(.*?)```", page.read_text(), re.S):
            names = [line for line in tree.splitlines() if line.strip() and not line.startswith(":")]
            listed |= {page.parent / f"{name}{ending}" for name in names for ending in (".md", ".ipynb")}
    assert {*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")} - listed == set()


def test_diagrams_are_those_that_the_code_draws(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_site"))
    diagrams = importlib.import_module("diagrams").DIAGRAMS
    for name, drawing in diagrams.items():
        assert (DOCS / name).read_text() == drawing.svg(), f"{name}: run python docs/_site/diagrams.py"
    measured = {DOCS / "results" / "curves.svg"}  # drawn by tools/results_page.py from runs
    assert {DOCS / name for name in diagrams} == set(DOCS.rglob("*.svg")) - measured
