"""Plug-in files: what they register, and what is said of those that cannot be loaded."""

import re
import sys

import pytest

from vidssl.backbones import BACKBONES, build_backbone
from vidssl.cli.main import main
from vidssl.errors import VidsslError
from vidssl.objectives import OBJECTIVES
from vidssl.plugins.files import keep_plugin_files, load_plugin_file

pytestmark = pytest.mark.usefixtures("no_plugins_left")

OBJECTIVE = """
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
class {name}(Objective):
    '''Made for a test.'''
    {body}
"""
STEP = "def training_step(self, batch, batch_idx): return self.backbone(self.network_input(batch.views)).mean()"


@pytest.fixture
def write(tmp_path):
    def write_file(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write_file


def test_a_file_registers_what_it_defines_and_nothing_that_it_imports(write):
    file = write(
        "shapes_and_means.py",
        """
from vidssl.backbones import BACKBONES
from vidssl.backbones.contract import Backbone
from vidssl.backbones.small import small
from vidssl.objectives.cvrl import CVRL
from vidssl.objectives.base import Objective

class MeanOfAll(Objective):
    def training_step(self, batch, batch_idx):
        return batch.views[0].float().mean()

class _Half(Objective):
    pass

class FlatBackbone(Backbone):
    def compute_maps(self, clips):
        return clips

@BACKBONES.register("thin")
def thin():
    '''A thin one.'''
    return small()
""",
    )
    before = set(OBJECTIVES.names()), set(BACKBONES.names())
    module = load_plugin_file(file)
    assert set(OBJECTIVES.names()) - before[0] == {"MeanOfAll"}
    assert set(BACKBONES.names()) - before[1] == {"FlatBackbone", "thin"}
    assert OBJECTIVES.get("MeanOfAll") is module.MeanOfAll
    assert build_backbone("thin").feature_dim == 128
    assert OBJECTIVES.summaries()["MeanOfAll"] == f"plug-in shapes_and_means:MeanOfAll (file {file})"
    assert load_plugin_file(file) is module  # once


def test_a_run_keeps_its_plugin_files_and_what_they_were_before(write, tmp_path):
    for text in ("one = 1", "one = 1", "one = 2", "one = 1", "one = 3"):  # as often as the run is started
        keep_plugin_files([write("mine.py", text), write("other.py", "two = 2")], tmp_path / "run")
    kept = {file.name: file.read_text() for file in (tmp_path / "run" / "plugins").iterdir()}
    assert kept == {"mine.py": "one = 1", "mine-2.py": "one = 2", "mine-3.py": "one = 3", "other.py": "two = 2"}
    keep_plugin_files([], tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "import_fails.py",
            "import no_such_package",
            r"ModuleNotFoundError: No module named 'no_such_package' .*line 1\)",
        ),
        ("half_a_line.py", "class Half(:\n    pass", r"SyntaxError: .*half_a_line\.py, line 1\)"),
        ("leaves.py", "import sys\nsys.exit(3)", r"SystemExit: 3 \(.*leaves\.py, line 2\)"),
        ("says_nothing.py", "x = 1", r"says_nothing\.py defines no class below vidssl\.objectives\.base\.Objective, "),
        (
            "wrong_base.py",
            "import torch\nclass Module(torch.nn.Module): pass",
            r"defines Module \(below torch\.nn\.modules\.module\.Module\), no class below",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told(write, name, text, told):
    file = write(name, text)
    with pytest.raises(VidsslError, match=told) as raised:
        load_plugin_file(file)
    assert str(raised.value).startswith(f"The plug-in {file} ")


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("NoStep", "pass", r"'NoStep' cannot be used: NoStep has no training_step\(self, batch, batch_idx\)"),
        (
            "Flow",
            f"needs_flow = True; {STEP}",
            r"Flow asks for needs_flow, which no data module provides: a method can ask for num_views, needs_motion,",
        ),
        (
            "Named",
            f"num_views = ['query', 'key']; {STEP}",
            r"Named\.num_views must be the number of clips .* got \['query",
        ),
        (
            "Method",
            f"needs_motion = 'often'; {STEP}",
            r"Method\.needs_motion must be True, False or a property, got 'often'",
        ),
    ],
)
def test_an_objective_that_cannot_be_used_is_an_error_when_it_is_asked_for(write, name, body, told):
    body = "\n    ".join(body.split("; "))
    file = write(f"module_of_{name.lower()}.py", OBJECTIVE.format(name=name, body=body))
    load_plugin_file(file)
    with pytest.raises(VidsslError, match=told) as raised:
        OBJECTIVES.get(name)
    assert f"The plug-in module_of_{name.lower()}:{name} (file {file})" in str(raised.value)
    assert OBJECTIVES.get("CVRL").__name__ == "CVRL"


def test_a_name_in_two_files_is_an_error_that_names_both(write):
    files = [write(f"twice_{n}.py", OBJECTIVE.format(name="Twice", body=STEP)) for n in "ab"]
    for file in files:
        load_plugin_file(file)
    with pytest.raises(
        VidsslError, match=r"'Twice' is claimed by twice_a:Twice \(file .*\) and by twice_b:Twice \(file"
    ):
        OBJECTIVES.get("Twice")


def test_a_name_that_leads_elsewhere_is_refused(write, tmp_path):
    for name in ("random.py", "torch.py"):
        file = write(name, "x = 1")
        with pytest.raises(VidsslError, match=rf"as the module '{name[:-3]}', which is .* already: rename your file"):
            load_plugin_file(file)
    assert sys.path[-1] == str(tmp_path)  # a folder that comes last hides nothing
    for name, told in (("my-method.py", "must be a Python file whose name"), ("method.txt", "must be a Python file")):
        with pytest.raises(VidsslError, match=told):
            load_plugin_file(write(name, ""))
    with pytest.raises(VidsslError, match=r"nowhere\.py is not there"):
        load_plugin_file(str(tmp_path / "nowhere.py"))
    with pytest.raises(VidsslError, match="is a folder; name the file with the class"):
        load_plugin_file(str(tmp_path))


def test_switched_off_is_switched_off(write, monkeypatch):
    file = write("switched_off.py", OBJECTIVE.format(name="SwitchedOff", body=STEP))
    monkeypatch.setenv("VIDSSL_PLUGINS", "0")
    with pytest.raises(VidsslError, match=r"VIDSSL_PLUGINS=0 switches plug-ins off"):
        load_plugin_file(file)
    assert "switched_off" not in sys.modules


def test_lists_show_what_files_define_and_mark_what_is_broken(write, capsys, monkeypatch):
    good = write("listed.py", OBJECTIVE.format(name="Listed", body=STEP))
    half = write("half.py", OBJECTIVE.format(name="HalfDone", body="pass"))
    broken = write("broken.py", "1 / 0")
    assert main(["list", "objectives", "--plugin", good, "--plugin", half, "--plugin", broken]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^Listed +plug-in listed:Listed \(file .*listed\.py\)$", told, re.MULTILINE)
    assert re.search(r"^HalfDone +BROKEN: .* has no training_step", told, re.MULTILINE)
    assert re.search(r"^BROKEN: The plug-in .*broken\.py cannot be loaded: ZeroDivisionError", told, re.MULTILINE)
    assert re.search(r"^CVRL +two clips", told, re.MULTILINE)
    monkeypatch.setenv("VIDSSL_PLUGINS", "1")  # put back afterwards
    assert main(["list", "objectives", "--no-plugins"]) == 0
    told = capsys.readouterr().out
    assert "CVRL" in told
    assert "Listed" not in told


def test_what_is_no_backbone_is_refused_when_it_is_built(write):
    text = "from vidssl.backbones import BACKBONES\n\n@BACKBONES.register('a_dict')\ndef build():\n    return {}\n"
    load_plugin_file(write("builds.py", text))
    with pytest.raises(VidsslError, match=r"the backbone 'a_dict' \(builds\.build\) gives a dict, not a vidssl"):
        build_backbone("a_dict")
