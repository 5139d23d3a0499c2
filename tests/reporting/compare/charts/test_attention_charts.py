"""The chart of attention on motion, from metrics that are made up."""

import csv

from headless_browser import visit
from run_folders import write_run

from vidssl.cli.main import main
from vidssl.reporting.compare.charts.attention_charts import LEFT, RIGHT, WIDTH, attention_charts
from vidssl.reporting.compare.methods import group_runs
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.compare.table import compare


def add_attention(folder, own, other):
    """Log what MotionAttention logs, after the first epoch."""
    file = folder / "metrics.csv"
    rows = list(csv.DictReader(file.open()))
    shares = {"eval/toy/attention/motion_share": own, "eval/toy/attention/elsewhere_share": other}
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [*rows[0], *shares])
        writer.writeheader()
        writer.writerows([*rows, {"step": 19, "epoch": 1} | shares])
    return folder


def across(share, end):
    return f"{LEFT + share / end * (WIDTH - LEFT - RIGHT):.1f}"


def test_every_seed_has_a_mark_and_every_method_a_row(tmp_path):
    folders = [add_attention(write_run(tmp_path / f"a{seed}", seed=seed), 0.4 + 0.1 * seed, 0.3) for seed in range(2)]
    folders += [add_attention(write_run(tmp_path / "b", objective="MCL"), 0.7, 0.2)]
    content = attention_charts(compare(group_runs(read_runs(folders)), ["*"]))
    rows = content["charts"]["toy"]["rows"]
    assert [(row.name.label, row.means) for row in rows] == [("CVRL", "45.0 / 30.0"), ("MCL", "70.0 / 20.0")]
    assert [mark.x for mark in rows[0].marks] == [across(share, 0.75) for share in (0.4, 0.5, 0.3, 0.3)]
    assert rows[1].marks[0].words == "seed 0, on its motion: 70.0 %"
    assert content["even"] == across(0.25, 0.75)


def test_the_page_has_a_section_only_where_attention_was_measured(tmp_path):
    without, page = write_run(tmp_path / "a"), tmp_path / "page.html"
    assert main(["compare", str(without), "--html", str(page)]) == 0
    assert "What the networks look at" not in page.read_text()
    add_attention(without, 0.4, 0.3)
    assert main(["compare", str(without), "--html", str(page)]) == 0
    text = page.read_text()
    assert "What the networks look at" in text
    assert text.count("on its motion: 40.0 %") == 1
    assert visit(page).console == []  # its charts have no menus, unlike the learning curves
