"""What a release needs beside the code: the citation, the workflows, and what a source distribution holds."""

import re
from pathlib import Path

import pytest
import yaml

import vidssl

REPOSITORY = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def test_the_citation_names_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == vidssl.__version__
    assert citation["license"] == "Apache-2.0"


@pytest.mark.parametrize(("name", "command"), [("ci.yml", "bash .ci/run"), ("docs.yml", "make docs")])
def test_workflows_run_what_a_contributor_runs(name, command):
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / name).read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert command in [step.get("run") for step in steps]
    assert workflow["permissions"] == {"contents": "read"}  # a pull request from anywhere must not write


def test_workflows_use_fixed_versions_of_actions():
    used = [action for file in WORKFLOWS for action in re.findall(r"uses: (\S+)", file.read_text())]
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[\w-]+@v\d+", action)] == []


def test_folders_that_make_needs_are_in_the_source_distribution():
    manifest = (REPOSITORY / "MANIFEST.in").read_text()
    for folder in ("configs", "docs", "tests", "tools", ".ci", ".github"):
        assert (REPOSITORY / folder).is_dir()
        assert f"graft {folder}\n" in manifest
