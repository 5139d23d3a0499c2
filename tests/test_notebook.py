"""The notebook runs from top to bottom, and is kept with what it printed."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "first_steps.ipynb"


def outputs(notebook):
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def check_accuracies(notebook):
    """The last evaluation is well above that of the untrained network, as the notebook says."""
    text = "".join("".join(output["text"]) for output in outputs(notebook) if output["output_type"] == "stream")
    lines = re.findall(r"step +(\d+) +(\w+) +([\d.]+)%", text)
    found = {(int(step), name): float(value) for step, name, value in lines}
    last = max(step for step, _ in found)
    for name in ("knn", "linear"):
        assert found[last, name] > found[0, name] + 10, found


def test_the_notebook_is_kept_with_its_output():
    notebook = json.loads(NOTEBOOK.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output["output_type"] == "error"]
    check_accuracies(notebook)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check_accuracies(notebook)
