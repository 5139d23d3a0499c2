import sys
from pathlib import Path

import pytest

from vidssl.backbones import BACKBONES
from vidssl.objectives import OBJECTIVES


@pytest.fixture
def no_plugins_left(monkeypatch, tmp_path):
    """Plug-ins of a test: what is installed is looked up anew, what was loaded is forgotten afterwards."""
    for registry in (OBJECTIVES, BACKBONES):
        monkeypatch.setattr(registry, "_installed", None)
        monkeypatch.setattr(registry, "_announced", [])
        monkeypatch.setattr(registry, "_targets", dict(registry._targets))
        monkeypatch.setattr(registry, "_summaries", dict(registry._summaries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and tmp_path.parents[1] in Path(file).parents:
            del sys.modules[name]
