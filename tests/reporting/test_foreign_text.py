"""Labels that users chose stay text in CSV, LaTeX and Markdown."""

import csv
import io

import pytest
from run_folders import write_run

from vidssl.reporting.compare.files import to_csv, to_latex, to_markdown
from vidssl.reporting.compare.methods import labelled_method
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.compare.table import compare
from vidssl.reporting.foreign_text import csv_text, latex, markdown_code, markdown_text

HOSTILE = ["=cmd|' /C calc'!A0", "@SUM(A1)", "-x\n\\input{secret}", "<img src=x onerror=alert(1)>|[a](b)\nrow"]


@pytest.fixture
def comparison(tmp_path):
    folders = [write_run(tmp_path / f"run-{seed}", seed=seed, top1=0.5) for seed in range(len(HOSTILE))]
    runs = read_runs(folders)
    return compare([labelled_method(label, [run]) for label, run in zip(HOSTILE, runs, strict=True)])


def test_no_cell_of_a_csv_file_begins_a_formula(comparison):
    for line in csv.DictReader(io.StringIO(to_csv(comparison))):
        assert not line["method"].startswith(("=", "@", "-", "+"))
        assert not line["baseline"].startswith(("=", "@", "-", "+"))
        assert float(line["mean"]) >= 0


@pytest.mark.parametrize("number", ["-0.5", "+3", "-1e-05 2.5", "-1 0 1", "12"])
def test_numbers_stay_numbers_in_a_csv_file(number):
    assert csv_text(number) == number


def test_a_line_break_in_a_label_leaves_no_comment_of_latex(comparison):
    told = to_latex(comparison)
    assert r"\input" not in told
    assert all(
        line.startswith(("%", "\\", " &", "CVRL", "'", "=", "@", "-", "$", "<", "untrained"))
        for line in told.splitlines()
    )


def test_markdown_has_as_many_cells_in_every_line_and_no_html(comparison):
    told = to_markdown(comparison)
    assert "<img" not in told
    assert "](b)" not in told.replace("\\](b)", "")
    tables = [part for part in told.split("\n\n") if part.startswith("|")]
    for table in tables:
        counts = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(counts) == 1, table


def test_text_is_escaped_once():
    assert markdown_text("a|b <i> & `c`\r\nd") == "a\\|b &lt;i&gt; &amp; \\`c\\` d"
    assert markdown_code("a`b|c\nd") == "`a'b\\|c d`"
    assert latex("a\nb%") == r"a b\%"
    assert csv_text("=1+1") == "'=1+1"
