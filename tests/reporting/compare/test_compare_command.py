import csv
import io
import re

import pytest
from rich.console import Console
from run_folders import write_run

from vidssl.cli.main import main
from vidssl.reporting.compare.files import to_csv, to_latex, to_markdown
from vidssl.reporting.compare.methods import group_runs, labelled_method
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.compare.table import compare
from vidssl.reporting.compare.text import print_comparison
from vidssl.reporting.compare.wording import cost_text, costs_text, duration_text, number, signed
from vidssl.reporting.foreign_text import latex


@pytest.fixture
def folders(tmp_path):
    values = {"CVRL": (0.50, 0.60, 0.55), "MCL": (0.70, 0.72, 0.80)}
    return [
        write_run(tmp_path / "runs" / f"{objective.lower()}-{seed}", objective=objective, seed=seed, top1=value)
        for objective, found in values.items()
        for seed, value in enumerate(found)
    ]


@pytest.fixture
def comparison(folders):
    return compare(group_runs(read_runs(folders)))


def printed(comparison, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_comparison(comparison, console)
    return console.file.getvalue()


def test_the_console_shows_results_differences_and_costs(comparison):
    told = printed(comparison, 120)
    assert re.search(r"untrained +3 +12\.5 ± 0\.0", told)
    assert re.search(r"CVRL +3 +55\.0 ± 5\.0", told)
    assert re.search(r"MCL +3 +74\.0 ± 5\.3", told)
    assert re.search(r"against CVRL +seeds", told)
    assert re.search(r"MCL +3 +\+19\.0 \[2\.7, 35\.3\]", told)
    assert re.search(r"wall time +1 min 41 s +1 min 41 s", told)
    assert "paired over 3 shared seeds" in told


def test_columns_that_do_not_fit_go_into_tables_of_their_own(folders):
    comparison = compare(group_runs(read_runs(folders)), ["*"])
    wide, narrow = printed(comparison, 120), printed(comparison, 50)
    assert wide.count("against CVRL ") == 1
    assert narrow.count("against CVRL ") == 2
    assert max(map(len, narrow.splitlines())) <= 50
    assert "…" not in narrow


def test_long_names_are_folded_before_columns_are_moved(folders, tmp_path):
    long = "Contrastive learning with a name that is much longer than any table of 80 columns leaves room for"
    methods = [labelled_method(f"{long} {number}", read_runs([folder])) for number, folder in enumerate(folders)]
    told = printed(compare(methods), 80)
    assert max(map(len, told.splitlines())) <= 80
    assert "…" not in told
    assert told.count("against Contrastive") == 1


def test_csv_holds_every_seed(comparison):
    lines = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [line["method"] for line in lines] == ["untrained", "CVRL", "MCL"]
    mcl = lines[-1]
    assert (mcl["data"], mcl["protocol"], mcl["metric"], mcl["n"]) == ("toy", "knn", "top1", "3")
    assert [float(value) for value in mcl["values"].split()] == [0.70, 0.72, 0.80]
    assert (mcl["baseline"], mcl["seeds"]) == ("CVRL", "0 1 2")
    assert float(mcl["low"]) < float(mcl["difference"]) < float(mcl["high"])
    assert lines[1]["baseline"] == ""


def test_markdown_and_latex_have_the_best_in_bold(comparison):
    markdown = to_markdown(comparison)
    assert "| MCL | 3 | **74.0 ± 5.3** |" in markdown
    assert "| MCL | 3 | **+19.0 [2.7, 35.3]** |" in markdown
    tex = to_latex(comparison)
    assert r"MCL & \textbf{74.0 $\pm$ 5.3} \\" in tex
    assert tex.count(r"\midrule") == 2
    assert tex.count("{") == tex.count("}")


def test_latex_sets_text_as_it_is():
    assert latex("a_b & 5 % {c} \\ ~") == r"a\_b \& 5 \% \{c\} \textbackslash{} \textasciitilde{}"


def test_numbers_in_words():
    assert [duration_text(seconds) for seconds in (0, 59.4, 59.6, 128, 3599.7, 11_100, 187_200)] == [
        *("0 s", "59 s", "1 min 00 s", "2 min 08 s", "1 h 00 min", "3 h 05 min", "2 d 04 h"),
    ]
    assert (number(0.1234, percent=True), number(12.3456, percent=False), number(float("nan"), percent=True)) == (
        *("12.3", "12.3", "–"),
    )
    assert [signed(value, percent=True) for value in (-0.02, 0.0, -0.0004, 0.02)] == ["−2.0", "0.0", "0.0", "+2.0"]
    assert (cost_text("trainable_parameters", 33_371_472), cost_text("steps", None)) == ("33.4 M", "–")
    assert costs_text("device_hours", [0.121, None, 1.5, 0.076]) == ["0.121", "–", "1.500", "0.076"]
    assert costs_text("clips_per_second", [19.08, 144.0]) == ["19.1", "144.0"]


def test_the_command_writes_what_is_asked_for(folders, tmp_path, capsys):
    out = {kind: tmp_path / "out" / f"table.{kind}" for kind in ("markdown", "csv", "latex", "html")}
    flags = [word for kind, file in out.items() for word in (f"--{kind}", str(file))]
    assert main(["compare", *map(str, folders), *flags]) == 0
    told = capsys.readouterr().out
    assert all(f"Written: {file}" in told and file.stat().st_size > 0 for file in out.values())


def test_labels_name_methods(folders, capsys):
    labelled = ["--label", "with motion", *map(str, folders[3:])]
    # those that a label takes may stand among the others, as they do in runs/*
    assert main(["compare", *map(str, folders[:4]), *labelled, "--baseline", "with motion"]) == 0
    assert "against with motion" in capsys.readouterr().out


def test_unfinished_runs_are_left_out_and_told(folders, tmp_path, capsys):
    unfinished = write_run(tmp_path / "runs" / "cvrl-3", seed=3, top1=0.1, finished=False)
    assert main(["compare", *map(str, [*folders, unfinished])]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Left out because it did not finish" in told
    assert "55.0 ± 5.0" in told
    assert main(["compare", *map(str, [*folders, unfinished]), "--include-unfinished"]) == 0
    assert "55.0 ± 5.0" not in capsys.readouterr().out
    assert main(["compare", str(unfinished)]) == 2
    assert "None of the 1 runs finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Give the folders of the runs"),
        (["--label", "alone"], "--label alone: give the folders"),
        (["nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes_are_told(words, told, capsys):
    assert main(["compare", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(folders, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["compare", str(folders[0]), "--csv", str(tmp_path / "file" / "table.csv")]) == 2
    assert "Cannot write" in capsys.readouterr().err
