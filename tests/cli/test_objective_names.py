"""Objectives by registered name, and the plug-ins that configurations name."""

import pytest

from vidssl.cli.objective_names import prepare_arguments, take_plugin_flags
from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.errors import UnknownNameError, VidsslError
from vidssl.objectives.cvrl import CVRL

CVRL_PATH, MOCO_PATH = "vidssl.objectives.cvrl.CVRL", "vidssl.objectives.moco.MoCo"
PLUGIN = """
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec

class {name}(Objective):
    '''Made for a test.'''

    def __init__(
        self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec(), width: int = 3
    ) -> None:
        super().__init__(backbone, optimizer)
        self.width = width

    def training_step(self, batch, batch_idx):
        return self.backbone(self.network_input(batch.views)).mean()
"""

pytestmark = pytest.mark.usefixtures("no_plugins_left")


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="config.yaml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write_file


def test_names_on_the_command_line_are_written_out():
    assert prepare_arguments(["--objective", "MoCo"]) == [f"--model={MOCO_PATH}"]
    assert prepare_arguments(["--objective=MoCo", "--model.x", "1"]) == [f"--model={MOCO_PATH}", "--model.x", "1"]
    assert prepare_arguments(["--model", "CVRL"]) == [f"--model={CVRL_PATH}"]
    assert prepare_arguments(["--model.help", "CVRL"]) == [f"--model.help={CVRL_PATH}"]
    assert prepare_arguments(["--model", "my_package.Mine"]) == ["--model=my_package.Mine"]  # the parser's affair


def test_a_name_in_a_file_is_told_in_front_of_the_file(write):
    first, second = write("model: {class_path: CVRL}"), write("objective: MoCo\nmodel: {num_views: 3}", "second.yaml")
    told = prepare_arguments(["--config", first, f"--config={second}"])
    assert told == ["--config", first, "--model", MOCO_PATH, f"--config={second}", "--objective=null"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("objective: MoCo\nmodel: {class_path: CVRL}", "objective says MoCo and model.class_path says CVRL: keep one"),
        ("objective: MoCo\nmodel: CVRL", "objective says MoCo and model.class_path says CVRL: keep one"),
        ("objective: [MoCo]", r"objective: expected a name \(vidssl list objectives\), got \['MoCo'\]"),
        ("objective: my_package.Mine", "is not a registered name; give a class by its path as model.class_path"),
        ("plugin: 3", "plugin: expected a Python file or a list of them, got 3"),
        ("plugin: [{a: b}]", "plugin: expected a Python file or a list of them, got"),
        ("plugin: '${oc.env:NOT_SET_ANYWHERE}'", "plugin: Environment variable 'NOT_SET_ANYWHERE' not found"),
    ],
)
def test_mistakes_in_files_are_told(write, text, told):
    with pytest.raises(VidsslError, match=told):
        prepare_arguments(["--config", write(text)])


def test_an_unknown_name_is_told_with_the_nearest():
    for flag in ("--objective", "--objective="):
        args = [flag, "CVLR"] if flag[-1] != "=" else [f"{flag}CVLR"]
        with pytest.raises(UnknownNameError, match=r"Unknown objective 'CVLR'\. Did you mean 'CVRL'"):
            prepare_arguments(args)


def test_objective_beside_the_same_class_is_no_contradiction(write):
    config = write("objective: CVRL\nmodel: {class_path: CVRL}")
    assert prepare_arguments(["--config", config])[:2] == ["--model", CVRL_PATH]


def test_plugins_of_files_and_flags_add_up(write, monkeypatch):
    names = ["AddsUpA", "AddsUpB", "AddsUpC"]
    files = [write(PLUGIN.format(name=name), f"{name.lower()}.py") for name in names]
    monkeypatch.setenv("PLACE_OF_PLUGIN", files[1])
    config = write(f"plugin: {files[0]}")
    second = write("plugin: ['${oc.env:PLACE_OF_PLUGIN}']", "second.yaml")
    args = ["--config", config, "--config", second, "--plugin", files[2], "--plugin", files[0]]
    told = prepare_arguments([*args, "--objective", "AddsUpC"])
    assert told[-1] == "--plugin=" + str(files)
    assert told[-2] == "--model=addsupc.AddsUpC"


def test_a_name_that_is_not_that_of_the_class_is_for_the_short_form(write):
    file = write(
        PLUGIN.format(name="LongName") + "\nfrom vidssl.objectives import OBJECTIVES\n"
        "OBJECTIVES.register('short', LongName)\n",
        "longname.py",
    )
    assert prepare_arguments(["--plugin", file, "--objective", "short"])[0] == "--model=longname.LongName"
    config = write("model: {class_path: short}")
    with pytest.raises(
        VidsslError, match=r"registered for the class LongName: write `objective: short`, or class_path"
    ):
        prepare_arguments(["--plugin", file, "--config", config])


def test_a_plugin_is_built_from_either_form_and_the_saved_configuration_names_it(write, small_config, tmp_path):
    file = write(PLUGIN.format(name="EitherForm"), "eitherform.py")
    short = write(f"plugin: {file}\nobjective: EitherForm\nmodel: {{width: 5}}", "short.yaml")
    long = write("model: {class_path: EitherForm, init_args: {width: 5}}", "long.yaml")
    base = ["--config", str(small_config), "--wandb.mode", "disabled"]
    for added in (["--config", short], ["--plugin", file, "--config", long], ["--config", short, "--model.width=5"]):
        cli = VidsslCLI("fit", [*base, *added])
        assert type(cli.model).__name__ == "EitherForm"
        assert cli.model.width == 5
        assert cli.model.backbone_spec.name == "small"  # kept from the first file
        saved = tmp_path / "saved.yaml"
        cli.parser.save(cli.config, saved, skip_none=False, overwrite=True)
        again = VidsslCLI("fit", ["--config", str(saved), "--wandb.mode", "disabled"])
        assert again.config.plugin == cli.config.plugin == [file]
        assert type(again.model) is type(cli.model)
    # back to another method, with what both have
    other = VidsslCLI("fit", [*base, "--config", short, "--objective", "CVRL"])
    assert type(other.model) is CVRL


def test_views_and_motion_that_nobody_delivers_are_told_before_anything_runs(write, small_config):
    asks = "    num_views = 3\n    needs_motion = True\n\n    def __init__("
    file = write(PLUGIN.format(name="AsksForMore").replace("    def __init__(", asks), "asksformore.py")
    base = ["--config", str(small_config), "--wandb.mode", "disabled", "--plugin", file, "--objective", "AsksForMore"]
    with pytest.raises(VidsslError, match=r"AsksForMore needs 3 views per video, data\.sampler gives 2: choose"):
        VidsslCLI("fit", base)
    sampler = '{"class_path": "EvenlySpacedSampler", "init_args": {"num_frames": 4, "stride": 2, "num_clips": 3}}'
    with pytest.raises(VidsslError, match=r"AsksForMore, as it is set, learns from the motion .* data\.motion is null"):
        VidsslCLI("fit", [*base, "--data.sampler", sampler, "--data.augmentations", "[{crop_size: 32}]"])


def test_files_are_taken_off_the_command_line():
    args = ["--config", "a.yaml", "--plugin", "one.py", "--data.batch_size=3", "--plugin=two.py"]
    assert take_plugin_flags(args) == (["one.py", "two.py"], ["--config", "a.yaml", "--data.batch_size=3"])
    for without in (["--plugin"], ["--plugin", "--config", "a.yaml"]):
        with pytest.raises(VidsslError, match="--plugin needs a file"):
            take_plugin_flags(without)
