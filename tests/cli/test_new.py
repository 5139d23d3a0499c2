"""What ``vidssl new objective`` writes, and what it refuses."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import vidssl
from vidssl.cli.main import main
from vidssl.cli.new import Names, choose_names, write_package
from vidssl.errors import VidsslError

PACKAGE = Path(vidssl.__file__).parent


@pytest.mark.parametrize(
    ("given", "objective", "package"),
    [
        ("FrameOrder", "FrameOrder", "frame_order"),
        ("frame_order", "FrameOrder", "frame_order"),
        ("BYOL3D", "BYOL3D", "byol3_d"),
        ("SimCLRv2", "SimCLRv2", "sim_cl_rv2"),
        ("RhoMoCoX", "RhoMoCoX", "rho_mo_co_x"),
        ("Idea", "Idea", "idea"),
    ],
)
def test_class_and_package_get_the_names_that_python_expects(given, objective, package):
    assert choose_names(given) == Names(objective, package)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my-method", "cannot be the name of a Python class"),
        ("3D", "cannot be the name of a Python class"),
        ("_Hidden", "cannot be the name of a Python class"),
        ("class", "cannot be the name of a Python class"),
        ("Méthode", "cannot be the name of a Python class"),
        ("CVRL", "There is an objective 'CVRL' already"),
        ("Torch", "The package would be called 'torch', which Python knows already"),
        ("Class", "The package would be called 'class'"),
        ("A" * 33, "has 33 letters; at most 32 are allowed"),
    ],
)
def test_names_that_cannot_be_used_are_refused(name, told):
    with pytest.raises(VidsslError, match=told):
        choose_names(name)


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["new", "objective", "FrameOrder", "--output", str(tmp_path)]) == 2
    assert "already exists; nothing is overwritten" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert main(["new", "objective", "FrameOrder", "--output", str(tmp_path / "notes.txt")]) == 2
    assert main(["new", "objective", "FrameOrder", "--output", str(tmp_path / "notes.txt" / "below")]) == 2
    assert "Cannot write to" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["Z", "FrameOrder", "AnObjectiveWithAVeryLongNameOf32"])
def test_what_is_written_is_clean_whatever_the_name(name, tmp_path):
    names = choose_names(name)
    files = write_package(names, tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in files} == {
        "README.md",
        "pyproject.toml",
        f"configs/{names.package}.yaml",
        f"src/{names.package}/__init__.py",
        f"src/{names.package}/objective.py",
        f"tests/test_{names.package}.py",
    }
    for file in files:
        text = file.read_text()
        assert "MyMethod" not in text
        assert "my_method" not in text
        assert "VIDSSL_VERSION" not in text
    assert yaml.safe_load((tmp_path / "configs" / f"{names.package}.yaml").read_text())["objective"] == name
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_writing_needs_no_torch(tmp_path):
    code = (
        "import sys; from vidssl.cli.main import main; "
        "assert main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    )
    args = ["new", "objective", "FrameOrder", "--output", str(tmp_path / "new")]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "FrameOrder is ready in" in done.stdout


def test_templates_are_in_the_wheel():
    metadata = configparser.ConfigParser()
    metadata.read(PACKAGE.parent / "setup.cfg")
    pattern = metadata["options.package_data"]["vidssl.cli"].strip()
    packaged = set((PACKAGE / "cli").glob(pattern))
    there = {file for file in (PACKAGE / "cli" / "templates").rglob("*") if file.is_file()}
    assert packaged == there
    assert len(there) == 6
