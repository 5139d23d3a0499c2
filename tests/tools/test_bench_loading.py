import json
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bench_loading.py"


def run(*arguments):
    """In a process of its own: the tool binds its process to one core."""
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_one_video_gives_every_ratio(real_videos, tmp_path):
    file = tmp_path / "figures.json"
    folder = real_videos / "weizmann"
    done = run("--videos", folder, "--num-videos", 1, "--rounds", 1, "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    seconds = figures["median_core_seconds_a_clip"]
    assert figures["loader_over_decoding"] == seconds["decoding"] / seconds["loader"]
    # the budgets are for quiet machines and many clips; this only catches a fall back to something slow
    assert figures["augmentation_speedup"] > 5
    assert figures["loader_speedup"] > 2
    assert "loader_speedup" in done.stdout


def test_a_folder_that_is_not_there_is_told(tmp_path):
    done = run("--videos", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
