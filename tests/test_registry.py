from importlib.metadata import EntryPoint

import pytest

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.registry import Registry


def registry_with_plugins(monkeypatch, *points):
    monkeypatch.setattr("vidssl.registry.entry_points", lambda group: points)
    registry = Registry("backbone", "vidssl.backbones")
    registry.register("r3d_18", dict, summary="a dict")
    return registry


def point(name, value):
    return EntryPoint(name, value, "vidssl.backbones")


def test_names_lead_to_factories_written_either_way():
    registry = Registry("decoder")
    registry.register("ordered", "collections:OrderedDict", summary="keeps order")

    @registry.register("plain")
    def plain():
        """Build nothing."""

    assert registry.names() == ["ordered", "plain"]
    assert registry.get("ordered").__name__ == "OrderedDict"
    assert registry.get("plain") is plain
    assert registry.summaries() == {"ordered": "keeps order", "plain": "Build nothing."}


def test_unknown_name_lists_the_known_and_the_nearest():
    registry = Registry("backbone")
    registry.register("r3d_18", dict)
    registry.register("s3d", dict)
    message = r"Unknown backbone 'r3d18'\. Did you mean 'r3d_18'\? Known: r3d_18, s3d"
    with pytest.raises(UnknownNameError, match=message):
        registry.get("r3d18")


def test_a_name_is_taken_once():
    registry = Registry("backbone")
    registry.register("s3d", "a:b")
    with pytest.raises(VidsslError, match="'s3d' is already registered by a:b; c:d needs another name"):
        registry.register("s3d", "c:d")


def test_plugins_are_listed_without_being_imported_and_loaded_when_asked_for(monkeypatch):
    registry = registry_with_plugins(monkeypatch, point("mine", "collections:Counter"), point("broken", "nowhere:x"))
    assert registry.names() == ["broken", "mine", "r3d_18"]
    assert registry.summaries()["mine"] == "plug-in collections:Counter"
    assert registry.get("mine").__name__ == "Counter"
    with pytest.raises(VidsslError, match=r"nowhere:x .* provides the backbone 'broken' cannot be imported"):
        registry.get("broken")


def test_plugins_can_be_switched_off(monkeypatch):
    registry = registry_with_plugins(monkeypatch, point("mine", "collections:Counter"))
    monkeypatch.setenv("VIDSSL_PLUGINS", "0")
    assert registry.names() == ["r3d_18"]


def test_a_plugin_cannot_take_a_taken_name(monkeypatch):
    registry = registry_with_plugins(monkeypatch, point("r3d_18", "collections:Counter"))
    with pytest.raises(VidsslError, match="which builtins:dict has already taken"):
        registry.names()
