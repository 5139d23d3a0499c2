import json
import math
import statistics
import warnings

import pytest
from run_folders import record, write_run
from scipy import stats

from vidssl.errors import VidsslError
from vidssl.reporting.compare.methods import check_labels, differing_settings, group_runs, labelled_method
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.compare.statistics import paired_difference, spread
from vidssl.reporting.compare.table import compare

CVRL, MCL = (0.50, 0.60, 0.55), (0.70, 0.72, 0.80)


@pytest.fixture
def runs(tmp_path):
    """Two methods, three seeds each."""
    folders = [write_run(tmp_path / f"cvrl_{seed}", seed=seed, top1=value) for seed, value in enumerate(CVRL)]
    folders += [
        write_run(tmp_path / f"mcl_{seed}", seed=seed, top1=value, objective="MCL") for seed, value in enumerate(MCL)
    ]
    return read_runs(folders)


def rows_of(comparison):
    (heading,) = comparison.headings
    return {row.label: row.cells.get(heading.column) for row in comparison.rows}


# --- statistics ---


def test_one_seed_counts_once():
    told = spread({0: [0.2, 0.4], 1: [0.5], 2: []})
    assert told.values == {0: pytest.approx(0.3), 1: 0.5}
    assert (told.n, told.mean) == (2, pytest.approx(0.4))
    assert told.deviation == pytest.approx(math.sqrt(0.02))
    assert spread({0: []}) is None
    assert spread({0: [0.5]}).deviation is None


def test_the_paired_interval_is_that_of_the_paired_t_test():
    method, baseline = (spread({seed: [value] for seed, value in enumerate(values)}) for values in (MCL, CVRL))
    found = paired_difference(method, baseline)
    differences = [one - other for one, other in zip(MCL, CVRL, strict=True)]
    half = stats.t.ppf(0.975, 2) * statistics.stdev(differences) / math.sqrt(3)
    assert (found.low, found.high) == (pytest.approx(0.19 - half), pytest.approx(0.19 + half))
    assert (found.n, found.above, found.mean) == (3, 3, pytest.approx(0.19))
    assert found.clear


@pytest.mark.parametrize(
    ("method", "baseline", "interval"),
    [
        ((0.75, 0.5, 0.5), (0.5, 0.25, 0.25), (0.25, 0.25)),  # equal differences: a point
        ((0.5, 0.25, 0.5), (0.5, 0.25, 0.5), (0.0, 0.0)),
    ],
)
def test_the_interval_of_differences_without_spread(method, baseline, interval):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spreads = (spread({seed: [value] for seed, value in enumerate(values)}) for values in (method, baseline))
        found = paired_difference(*spreads)
    assert (found.low, found.high) == (pytest.approx(interval[0], abs=1e-5), pytest.approx(interval[1], abs=1e-5))
    assert found.clear == (interval[0] > 0)


def test_two_seeds_get_no_interval():
    found = paired_difference(spread({0: [0.75], 1: [0.5]}), spread({0: [0.5], 1: [0.25]}))
    assert (found.n, found.mean, found.low, found.high, found.clear) == (2, 0.25, None, None, False)


def test_only_shared_seeds_are_paired():
    found = paired_difference(spread({0: [0.5], 7: [0.9]}), spread({0: [0.4], 1: [0.1]}))
    assert (found.n, found.mean, found.low, found.clear) == (1, pytest.approx(0.1), None, False)
    assert paired_difference(spread({7: [0.9]}), spread({0: [0.4]})) is None


# --- methods ---


def test_runs_that_differ_in_seed_and_folder_alone_are_one_method(runs):
    methods = group_runs(runs)
    assert [(method.label, len(method.runs)) for method in methods] == [("CVRL", 3), ("MCL", 3)]
    differing = differing_settings(methods)
    assert differing["model.class_path"] == ["vidssl.objectives.x.CVRL", "vidssl.objectives.x.MCL"]
    assert set(differing) == {"model.class_path"}


def test_methods_of_one_objective_are_called_by_what_differs(tmp_path):
    folders = [write_run(tmp_path / f"{value}", temperature=value) for value in (0.1, 0.2)]
    labels = [method.label for method in group_runs(read_runs(folders))]
    assert labels == ["CVRL (temperature 0.1)", "CVRL (temperature 0.2)"]


def test_what_is_measured_and_where_it_ran_makes_no_other_method(tmp_path):
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1, clips=10)]
    text = (folders[1] / "config.yaml").read_text()
    (folders[1] / "config.yaml").write_text(text.replace("devices: 1", "devices: 2"))
    assert len(group_runs(read_runs(folders))) == 1


def test_training_on_other_videos_is_another_method(tmp_path):
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1, digest="fedcba9876543210")]
    labels = [method.label for method in group_runs(read_runs(folders))]
    assert labels == ["CVRL (catalog digest 0123456789abcdef)", "CVRL (catalog digest fedcba9876543210)"]


def test_labels_put_runs_together_and_tell_what_differs(tmp_path):
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1, temperature=0.5)]
    method = labelled_method("both", read_runs(folders))
    assert method.differing == ["model.init_args.temperature"]
    assert method.settings["model.init_args.temperature"] == "0.1 | 0.5"
    comparison = compare([method])
    assert any("differ in more than the seed: model.init_args.temperature" in note for note in comparison.notes)
    with pytest.raises(VidsslError, match="Two methods are called 'both'"):
        check_labels([method, method])


# --- the table ---


def test_a_comparison_of_two_methods(runs):
    comparison = compare(group_runs(runs))
    assert comparison.baseline == "CVRL"
    cells = rows_of(comparison)
    assert list(cells) == ["untrained", "CVRL", "MCL"]
    assert cells["CVRL"].spread.mean == pytest.approx(0.55)
    assert cells["CVRL"].spread.deviation == pytest.approx(0.05)
    assert (cells["CVRL"].best, cells["MCL"].best) == (False, True)
    assert cells["CVRL"].against is None
    assert cells["MCL"].against.mean == pytest.approx(0.19)
    # six runs start from three untrained networks
    assert (cells["untrained"].spread.n, cells["untrained"].spread.mean) == (3, 0.125)
    assert not cells["untrained"].best
    assert comparison.costs["MCL"]["wall_seconds"] == pytest.approx(101)
    assert comparison.costs["MCL"]["backbone_parameters"] == 488_368
    assert comparison.notes == []
    other = compare(group_runs(runs), baseline="MCL")
    assert rows_of(other)["CVRL"].against.mean == pytest.approx(-0.19)


def test_networks_that_see_other_pixels_have_a_start_of_their_own(tmp_path):
    folders = [
        write_run(tmp_path / "a", untrained=0.2),
        write_run(tmp_path / "b", objective="MCL", untrained=0.3, pixel_mean=[0.5] * 3),
    ]
    comparison = compare(group_runs(read_runs(folders)))
    cells = rows_of(comparison)
    assert cells["untrained (a)"].spread.mean == 0.2
    assert cells["untrained (b)"].spread.mean == 0.3
    (note,) = comparison.notes
    assert "(untrained (a): CVRL; untrained (b): MCL), which differ in pixel_mean [0.45, 0.45, 0.45] | [0.5" in note


def test_other_clips_stand_in_a_column_of_their_own_and_are_told(tmp_path):
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", objective="MCL", clips=10)]
    comparison = compare(group_runs(read_runs(folders)))
    assert sorted(heading.mark for heading in comparison.headings) == ["a", "b"]
    for heading in comparison.headings:
        assert sum(heading.column in row.cells for row in comparison.rows if row.method) == 1
        assert not any(row.cells[heading.column].best for row in comparison.rows if heading.column in row.cells)
    (note,) = comparison.notes
    assert "toy/knn was measured in different ways" in note
    assert "data.clips.num_clips: " in note


def test_runs_of_other_catalogs_do_not_share_a_column(tmp_path):
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", objective="MCL", digest="fedcba9876543210")]
    comparison = compare(group_runs(read_runs(folders)))
    assert len(comparison.headings) == 2
    assert "data.catalog_digest: " in comparison.notes[0]


def test_seeds_that_repeat_or_are_missing_are_told(tmp_path):
    folders = [
        write_run(tmp_path / "a", top1=0.4),
        write_run(tmp_path / "b", top1=0.6),
        write_run(tmp_path / "c", seed=1),
    ]
    (folders[2] / "evaluations.jsonl").unlink()
    (folders[2] / "metrics.csv").unlink()
    comparison = compare(group_runs(read_runs(folders)))
    assert rows_of(comparison)["CVRL"].spread.values == {0: pytest.approx(0.5)}
    assert "CVRL: several runs of seed 0; their mean counts as one seed." in comparison.notes
    assert "CVRL: nothing shown here was measured in c." in comparison.notes


def test_what_can_be_asked_for(runs):
    methods = group_runs(runs)
    assert [heading.column.metric for heading in compare(methods).headings] == ["top1"]
    assert [heading.column.metric for heading in compare(methods, ["*"]).headings] == ["top1", "top5"]
    assert [heading.column.metric for heading in compare(methods, ["toy/*/top5"]).headings] == ["top5"]
    assert [heading.column.metric for heading in compare(methods, ["top5"]).headings] == ["top5"]
    with pytest.raises(VidsslError, match=r"no metric matches\. Known: toy/knn/top1, toy/knn/top5"):
        compare(methods, ["linear"])
    with pytest.raises(VidsslError, match=r"no method 'MLC'\. Did you mean 'MCL'"):
        compare(methods, baseline="MLC")


def test_runs_without_any_evaluation_cannot_be_compared(tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / "evaluations.jsonl").unlink()
    (folder / "metrics.csv").unlink()
    with pytest.raises(VidsslError, match="No run holds an evaluation"):
        compare(group_runs(read_runs([folder])))


# --- columns ---


def add_protocol(folder, name, metrics):
    """Append the records of another protocol, at the steps of the run's own."""
    with (folder / "evaluations.jsonl").open("a") as file:
        for step, share in ((0, 0.5), (20, 1.0)):
            made = record(0.5, step=step)
            made["protocol"]["name"] = name
            made["metrics"] = {metric: share * value for metric, value in metrics.items()}
            file.write(json.dumps(made) + "\n")


@pytest.fixture
def many_protocols(tmp_path):
    """A run measured by five protocols, where classes have the same size."""
    folder = write_run(tmp_path / "run")
    add_protocol(folder, "svm", {"top1": 0.6, "mean_class": 0.5})
    add_protocol(folder, "linear", {"top1": 0.7, "mean_class": 0.7 + 1e-15, "top5": 0.9})
    add_protocol(folder, "retrieval/each", {"recall_at_1": 0.3})
    add_protocol(folder, "retrieval/mean", {"recall_at_1": 0.4, "recall_at_5": 0.8})
    return group_runs(read_runs([folder]))


def test_three_main_metrics_are_shown_where_nothing_is_asked_for(many_protocols):
    found = compare(many_protocols)
    assert [heading.column.title for heading in found.headings] == [
        *("toy/knn/top1", "toy/linear/top1", "toy/retrieval/mean/recall_at_1"),
    ]
    assert "toy/svm/mean_class" in found.not_shown


def test_what_is_equal_by_construction_is_shown_once(many_protocols):
    found = compare(many_protocols, ["*"])
    titles = [heading.column.title for heading in found.headings]
    assert "toy/linear/mean_class" not in titles
    assert {"toy/linear/top1", "toy/svm/top1", "toy/svm/mean_class"} <= set(titles)
    assert found.repeats == {"toy/linear/mean_class": "toy/linear/top1"}
    assert found.not_shown == []
    # on its own it is no repetition
    alone = compare(many_protocols, ["mean_class"])
    assert [heading.column.title for heading in alone.headings] == ["toy/linear/mean_class", "toy/svm/mean_class"]
