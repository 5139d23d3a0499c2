import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidssl.catalogs.synthetic import SyntheticSpec, write_synthetic
from vidssl.motion.maps import VideoMotion

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def diagnostics(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("synthetic_diagnostics")


def test_a_set_is_measured_and_written_down(tmp_path):
    spec = SyntheticSpec(num_train=8, num_test=4, num_frames=16, height=48, width=48, labels="order")
    write_synthetic(tmp_path / "order", spec)
    options = ["--videos", "2", "--clip", "6", "1"]
    words = [sys.executable, str(TOOLS / "synthetic_diagnostics.py"), str(tmp_path / "order"), *options]
    file = tmp_path / "figures.json"
    done = subprocess.run([*words, "--json", str(file)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "| order | 25.0 % |" in done.stdout
    assert "| order, dis, floor 0.75 |" in done.stdout
    figures = json.loads(file.read_text())["order"]
    exact = figures["estimators"]["exact"]
    assert (exact["t_correlation"], exact["relative_width"], exact["still"]) == (pytest.approx(1), 1, 0)
    low, high = figures["bag"]["interval"]
    assert 0 <= low <= figures["bag"]["accuracy"] <= high <= 1


def test_the_interval_is_wilsons(diagnostics):
    # worked example: 81 of 263 (Newcombe, Statistics in Medicine 1998, table I)
    assert diagnostics.wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_the_width_is_the_area_that_holds_the_share(diagnostics):
    maps = np.zeros((3, 10, 10), np.float32)
    maps[0, :4, 0] = 1  # of four equal cells, four hold more than 0.8 for the first time
    maps[1] = 1
    assert diagnostics.width(maps) == pytest.approx((0.04 + 0.8) / 2, abs=0.011)  # the map of zeros does not count


def test_targets_of_the_same_motion_are_no_distance_apart(diagnostics):
    motions = [VideoMotion(np.zeros((6, 28, 28), np.float32), 8, 48) for _ in range(3)]
    for place, motion in enumerate(motions):
        motion.maps[:, 2 + 8 * place : 6 + 8 * place, 4:8] = 1
    assert diagnostics.distance(motions, (2, 4, 4)) == pytest.approx(1, abs=0.2)
    assert diagnostics.distance([motions[0]] * 3, (2, 4, 4)) == pytest.approx(0, abs=1e-6)


def test_a_bag_of_frames_knows_no_order(diagnostics):
    clips = [np.random.default_rng(n).integers(0, 255, (8, 32, 32, 3)).astype(np.uint8) for n in range(6)]
    forward = diagnostics.bags_of_frames({"train": clips[:4], "test": clips[4:]})
    backward = diagnostics.bags_of_frames({"train": clips[:4], "test": [clip[::-1] for clip in clips[4:]]})
    np.testing.assert_allclose(forward["test"], backward["test"], atol=1e-4)
