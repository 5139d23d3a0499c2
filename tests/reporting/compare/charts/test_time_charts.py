"""The charts of what networks know about time, from records that are made up."""

import json
import re

import pytest
from run_folders import record, write_run

from vidssl.cli.main import main
from vidssl.evaluation.temporal.changes import CHANGES
from vidssl.reporting.compare.charts.time_charts import LEFT, RIGHT, WIDTH, time_charts
from vidssl.reporting.compare.methods import group_runs
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.compare.table import compare


def add_temporal(folder, nearest, *, step=None, intervals=True):
    """Append the record of temporal/queries: the linear classifier is above the nearest neighbour by a tenth."""
    made = record(0.5, step=step)
    made["protocol"] |= {"name": "temporal/queries", "measure": {"name": "ChangedClips", "changed": "queries"}}
    values = dict(zip(CHANGES, nearest, strict=True))
    made["metrics"] = {f"{change}_nearest": value for change, value in values.items()}
    made["metrics"] |= {f"{change}_linear": value + 0.1 for change, value in values.items()}
    made["metrics"] |= {"reversed_cosine": 0.9, "other_videos_cosine": 0.3}
    ends = {name: [value - 0.05, value + 0.05] for name, value in made["metrics"].items()}
    made["intervals"] = ends if intervals else {}
    with (folder / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps(made) + "\n")


@pytest.fixture
def folders(tmp_path):
    folders = [write_run(tmp_path / f"cvrl-{seed}", seed=seed) for seed in range(2)]
    folders.append(write_run(tmp_path / "mcl", objective="MCL"))
    for folder in folders[:2]:
        add_temporal(folder, [0.1] * 6, step=20)  # the run measured it as well; the checkpoint came later
    add_temporal(folders[0], [0.8, 0.6, 0.8, 0.2, 0.7, 0.5])
    add_temporal(folders[1], [0.6, 0.4, 0.6, 0.2, 0.5, 0.3])
    return folders


def across(share):
    return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"


def charts_of(folders):
    return time_charts(compare(group_runs(read_runs(folders)), ["*"]))


def test_each_method_that_was_measured_has_a_chart_with_the_last_value_of_every_run(folders):
    charts = charts_of(folders)["charts"]
    assert list(charts) == ["toy/temporal/queries"]
    (chart,) = charts["toy/temporal/queries"]  # MCL was not measured
    assert chart.name.label == "CVRL"
    assert [row.name for row in chart.rows] == [name.replace("_", " ") for name in CHANGES]
    shuffled = chart.rows[1]
    assert shuffled.means == "50.0 / 60.0"
    assert [(mark.kind, mark.x) for mark in shuffled.marks] == [
        ("nearest", across(0.6)),
        ("nearest", across(0.4)),
        ("linear", across(0.7)),
        ("linear", across(0.5)),
    ]
    assert shuffled.marks[0].ends == (across(0.55), across(0.65))
    assert shuffled.marks[0].words == "cvrl-0, nearest: 60.0, 95 % interval over videos 55.0 to 65.0"
    assert len({mark.y for mark in shuffled.marks}) == 4
    assert chart.guides == [("nearest", across(0.7)), ("linear", across(0.8))]


def test_an_accuracy_without_an_interval_is_a_mark_alone(tmp_path):
    folder = write_run(tmp_path / "a")
    add_temporal(folder, [0.8, 0.6, 0.8, 0.2, 0.7, 0.5], intervals=False)
    (chart,) = charts_of([folder])["charts"]["toy/temporal/queries"]
    assert {mark.ends for row in chart.rows for mark in row.marks} == {None}


def test_nothing_is_shown_where_nothing_was_measured(tmp_path):
    assert charts_of([write_run(tmp_path / "a")]) == {}


def test_table_and_page_show_them(folders, tmp_path, capsys):
    page = tmp_path / "page.html"
    flags = ["--metrics", "*/temporal/*_nearest", "--html", str(page), "--csv", str(tmp_path / "table.csv")]
    assert main(["compare", *map(str, folders), *flags]) == 0
    printed = capsys.readouterr().out
    assert printed.index("unchanged_nearest") < printed.index("shuffled_nearest") < printed.index("half_speed_nearest")
    assert "Not shown: toy/knn/top1, toy/knn/top5, toy/temporal/queries/unchanged_linear" in " ".join(printed.split())
    text = page.read_text()
    assert "What the networks know about time" in text
    (panel,) = re.findall(r'<figure class="panel time">.*?</figure>', text, re.DOTALL)
    assert panel.count('class="interval"') == 2 * 2 * len(CHANGES)
    assert "95 % interval over videos 55.0 to 65.0" in panel
