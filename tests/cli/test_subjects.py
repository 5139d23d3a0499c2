from pathlib import Path
from types import SimpleNamespace

import pytest

from vidssl.cli.evaluate.subjects import RunConfig, load_subjects, methods_of
from vidssl.errors import VidsslError


def network(objective="CVRL", file="last.ckpt"):
    return SimpleNamespace(
        provenance={"objective": objective, "file": file, "backbone": "small", "backbone_options": {}}
    )


def run(seed, model=None, data=None, trainer=None):
    return RunConfig(Path(f"runs/{seed}/config.yaml"), model or {}, data or {}, trainer or {}, seed)


def test_runs_that_differ_in_their_seed_alone_are_one_method():
    assert methods_of([network(), network()], [run(0), run(1)]) == ["CVRL", "CVRL"]


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("model", ({"init_args": {"temperature": 0.1}}, {"init_args": {"temperature": 0.2}}), "temperature"),
        ("data", ({"batch_size": 16}, {"batch_size": 32}), "batch_size"),
        ("data", ({"motion": {"store": "a"}}, {"motion": {"store": "b"}}), "store"),
        ("trainer", ({"max_epochs": 5}, {"max_epochs": 6}), "max_epochs"),
    ],
)
def test_runs_of_one_folder_name_that_learned_differently_are_several_methods(section, values, named):
    """Studies call the folders of runs by their seeds."""
    methods = methods_of([network()] * 3, [run(0, **{section: value}) for value in (*values, values[0])])
    assert methods[0] == methods[2] != methods[1]
    assert all(named in method for method in methods)


def test_how_it_is_measured_or_loaded_makes_no_method():
    configs = [run(0, data={"loading": {"num_workers": number}, "name": str(number)}) for number in (0, 2)]
    assert methods_of([network()] * 2, configs) == ["CVRL", "CVRL"]


def test_files_without_a_run_are_called_by_their_name():
    assert methods_of([network(None, "a.pt"), network(None, "b.pt")], [RunConfig(), RunConfig()]) == ["a.pt", "b.pt"]


def test_labels_name_every_network(tmp_path, monkeypatch):
    files = [tmp_path / "a.ckpt", tmp_path / "b.ckpt"]
    monkeypatch.setattr("vidssl.cli.evaluate.subjects.load_encoder", lambda file, outside: network(file=file.name))
    options = SimpleNamespace(
        checkpoint=files, backbone=None, backbone_options={}, pixel_mean=None, pixel_std=None, seed=None, output=None,
        untrained=False, label=["mine", "theirs"],
    )  # fmt: skip
    assert [subject.method for subject in load_subjects(options)] == ["mine", "theirs"]
    options.label = ["mine"]
    with pytest.raises(VidsslError, match="2 names, not 1"):
        load_subjects(options)
