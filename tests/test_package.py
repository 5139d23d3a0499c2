"""What holds for the package as a whole."""

import ast
import configparser
import graphlib
import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from pytorch_lightning import Callback, LightningDataModule, LightningModule

import vidssl
from vidssl.cli.main import OWN_VERBS

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "vidssl"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])

# A video's way: every room may import from those before it. jobs, storage, runs and plugins serve the others.
ROOMS = [
    "errors",
    "lazy_names",
    "old_names",
    "registry",
    "contract_checks",
    "storage",
    "types",
    "video",
    "jobs",
    "catalogs",
    "motion",
    "data",
    "backbones",
    "nn",
    "losses",
    "objectives",
    "plugins",
    "evaluation",
    "runs",
    "reporting",
    "cli",
]


def module_name(source):
    parts = source.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(source): source for source in SOURCES}


def room_of(module):
    return module.split(".")[1]


def imported_modules(statements):
    """Modules of this package that the import statements among `statements` name."""
    found = set()
    for node in statements:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= below or {node.module}
    return found & MODULES.keys()


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        *(
            ["list", kind]
            for kind in ("objectives", "backbones", "samplers", "operations", "extras", "decoders", "protocols")
        ),
    ],
    ids=" ".join,
)
def test_the_command_answers_without_importing_torch(args):
    code = (
        "import sys; from vidssl.cli.main import main; "
        "assert main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_version_is_the_same_everywhere():
    metadata = configparser.ConfigParser()
    metadata.read(REPOSITORY / "setup.cfg")
    assert metadata["metadata"]["version"] == "attr: vidssl.__version__"
    assert importlib.metadata.version("vidssl") == vidssl.__version__
    assert f"[{vidssl.__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_type_information_is_packaged():
    metadata = configparser.ConfigParser()
    metadata.read(REPOSITORY / "setup.cfg")
    assert "py.typed" in metadata["options.package_data"]["vidssl"]
    assert (PACKAGE / "py.typed").is_file()


def test_every_folder_with_modules_is_a_package():
    # setuptools' find: leaves a folder without __init__.py out of the wheel, and says nothing
    assert [source.parent for source in SOURCES if not (source.parent / "__init__.py").exists()] == []


def test_no_module_is_called_utils():
    assert [source for source in SOURCES if source.stem == "utils"] == []


def test_every_module_lies_in_a_room():
    assert {room_of(module) for module in MODULES if module != "vidssl"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_downward(room):
    upward = {
        f"{module} imports {name}"
        for module in MODULES
        if module != "vidssl" and room_of(module) == room
        for name in imported_modules(ast.walk(ast.parse(MODULES[module].read_text()))) - {"vidssl"}
        if ROOMS.index(room_of(name)) > ROOMS.index(room)
    }
    assert upward == set()


def test_modules_do_not_import_in_circles():
    graph = {module: imported_modules(ast.parse(source.read_text()).body) for module, source in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_only_the_command_line_parses():
    """Elsewhere a parser's module is imported only where a comment in the same line says why."""
    parsers = re.compile(r"^\s*(?:import|from) (?:argparse|jsonargparse)\b(?P<rest>.*)$", re.M)
    for module, source in MODULES.items():
        if module == "vidssl" or room_of(module) == "cli":
            continue
        bare = [line[0] for line in parsers.finditer(source.read_text()) if "#" not in line["rest"]]
        assert bare == [], f"{module} parses arguments, which is the affair of vidssl.cli"


@pytest.mark.parametrize("verb", OWN_VERBS)
def test_a_verb_is_one_file_or_package_of_its_name(verb):
    assert callable(getattr(importlib.import_module(f"vidssl.cli.{verb}"), f"run_{verb}"))
    assert (PACKAGE / "cli" / f"{verb}.py").is_file() != (PACKAGE / "cli" / verb / "__init__.py").is_file()


def test_trainer_verbs_share_a_file():
    assert callable(importlib.import_module("vidssl.cli.trainer_verbs").run)


def test_files_are_short_and_folders_hold_few():
    long = {str(source): count for source in SOURCES if (count := source.read_text().count("\n")) > 300}
    assert long == {}
    folders = Counter(source.parent for source in SOURCES)
    assert {str(folder): count for folder, count in folders.items() if count > 16} == {}


def test_objectives_know_nothing_of_data_and_callbacks():
    for module, source in MODULES.items():
        if not module.startswith("vidssl.objectives"):
            continue
        imported = imported_modules(ast.walk(ast.parse(source.read_text())))
        assert [name for name in imported if re.match(r"vidssl\.(data|evaluation|reporting)\b", name)] == []


def test_every_hook_exists_in_lightning():
    """A misspelled hook is never called, and nothing says so."""
    checked = 0
    for info in pkgutil.walk_packages([str(PACKAGE)], "vidssl."):
        if info.name.startswith("vidssl.video.decoders"):  # may need an extra that is not installed; no hooks there
            continue
        for _, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            bases = [base for base in (Callback, LightningModule, LightningDataModule) if issubclass(kind, base)]
            if not bases or not kind.__module__.startswith("vidssl"):
                continue
            hooks = [name for name in vars(kind) if name.startswith("on_")]
            unknown = [name for name in hooks if not hasattr(bases[0], name)]
            assert unknown == [], f"{kind.__qualname__} in {info.name} has hooks that Lightning does not call"
            checked += len(hooks)
    assert checked > 0


def test_nothing_is_unpickled():
    """Every torch.load says weights_only=True: a checkpoint from elsewhere must not run code."""
    loads = 0
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "torch.load":
                continue
            said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert said.get("weights_only") == "True", f"{source.name}, line {node.lineno}"
            loads += 1
    assert loads > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_that_exist(page):
    text = page.read_text()
    links = [page.parent / target for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)]
    mentioned = [REPOSITORY / file for file in re.findall(r"\b(?:configs|tools|tests|docs|vidssl)/\w[\w/]*\.\w+", text)]
    assert [str(file.relative_to(REPOSITORY)) for file in links + mentioned if not file.exists()] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["quickstart", "test"])
def test_the_readme_gives_the_commands_that_make_runs(target):
    # a make that runs this test hands its own settings down
    ours = ("VENV", "PYTHON", "FIT_ARGS", "TEST_ARGS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = ["make", "--dry-run", "--always-make", target]
    told = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout
    commands = [line.strip() for line in told.splitlines() if not line.startswith("touch")]
    readme = [line.strip() for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("    ")]
    assert [command for command in commands if command not in readme] == []
