"""The examples in docstrings, run as they stand there."""

import doctest
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted(file for file in (REPOSITORY / "vidssl").rglob("*.py") if ">>> " in file.read_text())
MODULES = [".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in SOURCES]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    # a package offers functions under the names of its modules, so the module is asked for by its own name
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
