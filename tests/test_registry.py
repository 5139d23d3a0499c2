import importlib
import sys
from importlib.metadata import EntryPoint

import pytest

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.registry import Registry, failure_text


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
    assert registry.summaries()["mine"] == "plug-in collections:Counter (an unknown package)"
    assert registry.get("mine").__name__ == "Counter"
    with pytest.raises(VidsslError, match=r"nowhere:x .* provides the backbone 'broken' cannot be imported"):
        registry.get("broken")


def test_plugins_can_be_switched_off(monkeypatch):
    registry = registry_with_plugins(monkeypatch, point("mine", "collections:Counter"))
    registry.announce("from_a_file", dict, "file my.py")
    monkeypatch.setenv("VIDSSL_PLUGINS", "0")
    assert registry.names() == ["r3d_18"]


def test_a_name_that_is_claimed_twice_is_an_error_for_whoever_asks_for_it(monkeypatch):
    points = [point("r3d_18", "collections:Counter"), point("mine", "collections:Counter"), point("mine", "os:getcwd")]
    registry = registry_with_plugins(monkeypatch, *points, point("other", "collections:deque"))
    assert registry.names() == ["mine", "other", "r3d_18"]
    with pytest.raises(
        VidsslError, match=r"'r3d_18' is claimed by builtins:dict \(vidssl\) and by collections:Counter"
    ):
        registry.get("r3d_18")
    with pytest.raises(VidsslError, match=r"'mine' is claimed by collections:Counter .* and by os:getcwd"):
        registry.get("mine")
    assert registry.get("other").__name__ == "deque"
    assert registry.faults().keys() == {"mine", "r3d_18"}


def test_an_entry_that_is_on_the_path_twice_is_one(monkeypatch):
    twice = point("mine", "collections:Counter")
    assert registry_with_plugins(monkeypatch, twice, twice).get("mine").__name__ == "Counter"


def test_what_is_wrong_with_a_plugin_is_told_by_the_check(monkeypatch):
    monkeypatch.setattr("vidssl.registry.entry_points", lambda group: [point("mine", "collections:Counter")])
    registry = Registry("backbone", "vidssl.backbones", check="vidssl.backbones.contract:fault_of")
    with pytest.raises(VidsslError, match=r"'mine' cannot be used: Counter is a class below builtins\.dict, not below"):
        registry.get("mine")


def test_files_announce_what_they_define():
    registry = Registry("backbone", "vidssl.backbones")
    registry.register("own", "collections:Counter")
    for _ in range(2):  # loaded twice is there once
        registry.announce("mine", dict, "file my.py")
        registry.announce("own", list, "file my.py")
    assert registry.get("mine") is dict
    with pytest.raises(
        VidsslError, match=r"claimed by collections:Counter \(vidssl\) and by builtins:list \(file my\.py\)"
    ):
        registry.get("own")


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_a_failure_is_told_by_the_last_line_in_the_users_own_file(monkeypatch, tmp_path, folder):
    """As when wandb has put its own function in the place of sys.exit."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "exit_hook.py").write_text("def leave(code):\n    raise SystemExit(code)\n")
    (tmp_path / "own_plugin.py").write_text("import exit_hook\n\n\nexit_hook.leave(3)\n")
    (tmp_path / folder / "installed_plugin.py").write_text("import exit_hook\n\nexit_hook.leave(4)\n")
    (tmp_path / "standard_library.py").write_text("import json\n\njson.loads('{')\n")
    for module in ("exit_hook", "own_plugin", "installed_plugin", "standard_library"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / folder), *sys.path])
    assert failure_of("own_plugin") == f"SystemExit: 3 ({tmp_path / 'own_plugin.py'}, line 4)"
    assert failure_of("standard_library").endswith(f" ({tmp_path / 'standard_library.py'}, line 3)")
    assert failure_of("installed_plugin") == f"SystemExit: 4 ({tmp_path / folder / 'exit_hook.py'}, line 2)"


def failure_of(module):
    with pytest.raises((Exception, SystemExit)) as raised:
        importlib.import_module(module)
    return failure_text(raised.value)
