"""Defaults of a class that a configuration names are its own, whatever was parsed before in the same process."""

from dataclasses import asdict, is_dataclass
from inspect import signature

import pytest
import yaml

from vidssl.cli.main import main
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import Objective
from vidssl.objectives.contract_case import Case


def of_signature(kind, names):
    defaults = {name: signature(kind).parameters[name].default for name in names}
    return {name: asdict(value) if is_dataclass(value) else value for name, value in defaults.items()}


def plain(values):
    return yaml.safe_load(yaml.safe_dump({name: as_lists(value) for name, value in values.items()}))


def as_lists(value):
    if isinstance(value, dict):
        return {name: as_lists(inner) for name, inner in value.items()}
    return [as_lists(inner) for inner in value] if isinstance(value, (tuple, list)) else value


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_named_alone_has_the_defaults_of_its_class(name, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({"model": {"class_path": name}, "data": {"catalog": "videos.catalog"}}))
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(file), "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]
    assert printed == plain(of_signature(OBJECTIVES.get(name), printed))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_checked_objective_has_the_defaults_of_its_class(name):
    # a command line was parsed in this process by the test above; on its own, this test says the same
    built = Case.of(name).build()
    assert (built.aligner is None) == (signature(type(built)).parameters["alignment"].default is None)


def test_the_base_of_all_methods_cannot_be_built():
    with pytest.raises(TypeError, match="abstract"):
        Objective(None, None)
