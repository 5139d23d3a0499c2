import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidssl.errors import VidsslError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
BENCHMARKS = sorted(TOOLS.glob("bench_*.py"))


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("benchmark")


def run(name, *arguments):
    words = [sys.executable, str(TOOLS / name), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("tool", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_tells_its_command_line(tool):
    """Each is named with its docstring, and writes its figures where it is told."""
    done = run(tool.name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python tools/{tool.name}" in done.stdout
    assert "--json FILE" in done.stdout


def test_the_least_of_turns_counts(benchmark):
    told = []

    def clock(name, seconds):
        def measure():
            told.append(name)
            return seconds.pop()

        return measure

    least = benchmark.take_turns({"a": clock("a", [3.0, 1.0, 2.0]), "b": clock("b", [np.inf] * 3)}, repeats=3)
    assert least == {"a": 1.0, "b": np.inf}
    assert told == ["a", "b"] * 3


def test_items_are_picked_from_the_first_to_the_last(benchmark):
    assert benchmark.evenly_picked("abcde", 3) == ["a", "c", "e"]
    assert benchmark.evenly_picked("abc", 10) == ["a", "b", "c"]


def test_rows_come_in_blocks_one_after_another(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "ROWS_WRITTEN_AT_ONCE", 4)
    blocks = []

    def draw(start, end):
        blocks.append((start, end))
        return np.arange(start, end, dtype=np.float32)

    benchmark.write_rows(tmp_path / "rows", 10, draw)
    assert blocks == [(0, 4), (4, 8), (8, 10)]
    assert np.array_equal(np.fromfile(tmp_path / "rows", np.float32), np.arange(10))


def test_work_in_a_process_of_its_own_comes_back(benchmark):
    assert benchmark.in_a_process(os.path.join, "a", "b") == "a/b"
    assert benchmark.in_a_process(os.getpid, method="fork") != os.getpid()


def test_costs_are_those_of_the_work(benchmark):
    answer, costs = benchmark.with_costs(lambda: float(np.ones(4_000_000).sum()))
    assert answer == 4_000_000
    assert 0 < costs["wall_seconds"] < 60
    assert costs["peak_resident_mib"] > 30
    assert "own memory" in benchmark.told_costs(costs)


def test_a_report_writes_its_figures_and_tells_a_mistake(benchmark, tmp_path, monkeypatch, capsys):
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(file)])
    benchmark.report(benchmark.parser("What it is."), lambda options: {"ratio": 2.0}, print)
    assert json.loads(file.read_text()) == {"ratio": 2.0}
    assert "{'ratio': 2.0}" in capsys.readouterr().out

    def fail(options):
        raise VidsslError("No video.")

    with pytest.raises(SystemExit) as left:
        benchmark.report(benchmark.parser("What it is."), fail)
    assert left.value.code == 1
    assert capsys.readouterr().err == "No video.\n"


def test_decoders_are_timed(real_videos, tmp_path):
    file = tmp_path / "figures.json"
    done = run("bench_decoding.py", real_videos / "weizmann", "--max-videos", 2, "--repeats", 1, "--json", file)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())
    assert rows[0]["times_the_fastest"] == 1
    assert rows[0]["videos"] == 2
