import json
import math

import pytest
from run_folders import record, write_run

from vidssl.errors import VidsslError
from vidssl.reporting.compare.runs import Column, read_folder, read_runs
from vidssl.reporting.compare.wording import left_out_text
from vidssl.runs.run_file import read_run
from vidssl.runs.run_file import write_run as write_facts


def only(run, metric):
    (column,) = [column for column in run.values if column.metric == metric]
    return column


def test_start_and_end_come_from_records_with_the_conditions(tmp_path):
    run = read_folder(write_run(tmp_path / "a", top1=0.75, untrained=0.25, seed=3))
    column = only(run, "top1")
    assert (column.data, column.protocol, column.title) == ("toy", "knn", "toy/knn/top1")
    assert (run.untrained(column), run.final(column)) == (0.25, 0.75)
    assert (run.objective, run.seed, run.finished) == ("CVRL", 3, True)
    under = run.conditions[column.digest]
    assert under.recorded
    assert under.values["data"]["clips"] == {"num_frames": 8, "num_clips": 2}  # how many at once changes no number


def test_metrics_stand_in_where_there_are_no_records(tmp_path):
    run = read_folder(write_run(tmp_path / "a", top1=0.75, untrained=0.25, records=False, finished=None))
    column = only(run, "top1")
    assert run.values[column] == [(0, 0.25), (10, 0.5), (20, 0.75)]
    assert not run.conditions[column.digest].recorded
    assert (run.objective, run.seed, run.finished) == ("CVRL", 0, None)


def test_a_first_evaluation_after_a_step_is_not_the_untrained_network(tmp_path):
    folder = write_run(tmp_path / "a", records=False)
    text = (folder / "config.yaml").read_text().replace("num_sanity_val_steps: -1", "num_sanity_val_steps: 0")
    (folder / "config.yaml").write_text(text)
    run = read_folder(folder)
    assert run.untrained(only(run, "top1")) is None


@pytest.mark.parametrize("changed", [{"clips": 10}, {"digest": "fedcba9876543210"}, {"name": "other"}])
def test_other_conditions_are_another_column(tmp_path, changed):
    usual, other = read_folder(write_run(tmp_path / "a")), read_folder(write_run(tmp_path / "b", **changed))
    assert set(usual.values).isdisjoint(other.values)
    again = read_folder(write_run(tmp_path / "c", seed=1, objective="MCL"))
    assert set(usual.values) == set(again.values)


def test_what_a_later_version_adds_without_a_value_is_no_other_condition(tmp_path):
    usual, folder = read_folder(write_run(tmp_path / "a")), write_run(tmp_path / "b")
    records = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    for each in records:
        each["protocol"] |= {"config": "finetune.yaml", "config_flags": ["--x"], "added": []}  # words, and nothing
        each["data"] |= {"added": None}
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    assert set(read_folder(folder).values) == set(usual.values)


def test_a_measured_checkpoint_counts_as_the_end_only_if_it_is_the_last(tmp_path):
    folder = write_run(tmp_path / "a", top1=0.5)
    (folder / "evaluations.jsonl").open("a").writelines(
        json.dumps(record(value, step=None, checkpoint={"file": file, "sha256": "00"})) + "\n"
        for file, value in (("last.ckpt", 0.6), ("best.ckpt", 0.7))
    )
    run = read_folder(folder)
    found = sorted(run.final(column) for column in run.values if column.metric == "top1")
    assert found == [0.6, 0.7]
    (best,) = [under for under in run.conditions.values() if "checkpoint" in under.values]
    assert best.values["checkpoint"] == "best.ckpt"


def test_steps_that_were_measured_twice_keep_the_later_value(tmp_path):
    folder = write_run(tmp_path / "a", top1=0.5)
    with (folder / "evaluations.jsonl").open("a") as lines:
        lines.write(json.dumps(record(0.55, step=20)) + "\n")
    run = read_folder(folder)
    assert run.final(only(run, "top1")) == 0.55
    assert len(run.values[only(run, "top1")]) == 3


def test_what_is_not_finite_is_no_value(tmp_path):
    folder = write_run(tmp_path / "a", top1=math.nan, records=False)
    run = read_folder(folder)
    assert [step for step, _ in run.values[only(run, "top1")]] == [0]


def test_a_column_is_its_name_and_its_conditions():
    assert Column("a", "linear-svm/mcl", "top1", "x").title == "a/linear-svm/mcl/top1"


def test_folders_that_are_no_runs_are_told(tmp_path):
    write_run(tmp_path / "runs" / "cvrl")
    with pytest.raises(VidsslError, match=r"does not exist.*Did you mean 'cvrl'"):
        read_runs([tmp_path / "runs" / "cvlr"])
    with pytest.raises(VidsslError, match=r"is not a run; it holds 1 runs: give .*runs/\*"):
        read_runs([tmp_path / "runs"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(VidsslError, match=r"not the folder of a run: it has no config\.yaml"):
        read_runs([tmp_path / "empty"])
    with pytest.raises(VidsslError, match="is a file"):
        read_runs([tmp_path / "runs" / "cvrl" / "config.yaml"])
    with pytest.raises(VidsslError, match="more than once"):
        read_runs([tmp_path / "runs" / "cvrl", tmp_path / "runs" / ".." / "runs" / "cvrl"])


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("config.yaml", "just words", "holds no keys"),
        ("metrics.csv", "step,eval/toy/knn/top1\n0,much\n", "metrics.csv cannot be read"),
        ("run.json", "{", "run.json cannot be read"),
        ("run.json", "[]", "holds a list"),
        ("evaluations.jsonl", '{"step": 3}\n', "no record of an evaluation"),
    ],
)
def test_files_that_are_broken_are_named(tmp_path, file, content, told):
    folder = write_run(tmp_path / "a")
    (folder / file).write_text(content)
    with pytest.raises(VidsslError, match=told):
        read_folder(folder)


def test_how_a_run_ended_is_told_where_it_is_left_out_and_in_the_table_of_runs(tmp_path):
    stopped = write_run(tmp_path / "stopped", finished=False)
    facts = read_run(stopped)
    assert read_folder(stopped).ended == "runs still, or was killed"  # as of versions that did not record it
    write_facts(stopped, facts | {"ended": "stopped: max_time at step 20 of 4000"})
    run = read_folder(stopped)
    assert not run.finished
    assert "20 steps in 1 min 40 s; stopped: max_time at step 20 of 4000" in left_out_text(run)
    assert read_folder(write_run(tmp_path / "whole")).ended == "completed"
    assert read_folder(write_run(tmp_path / "old", finished=None)).ended == "not recorded"
