"""The code of the guides, run as it stands there."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(code):
    """Run a block; return its names and what it printed."""
    names = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "guide", "exec"), names)
    return names, printed.getvalue()


@pytest.fixture
def beside_the_videos(synthetic_catalog, tmp_path, monkeypatch):
    """A folder in which the embedded videos are where the quick start draws them."""
    shutil.copytree(synthetic_catalog.parent, tmp_path / "data" / "synthetic")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_method_is_trained_from_python(beside_the_videos):
    code = blocks("guides/python.md")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    _, printed = run(code)
    assert "48 videos of ['left_right'" in printed
    assert 0 <= float(re.search(r"nearest neighbours: tensor\((.*?)\)", printed)[1]) <= 1
    assert (beside_the_videos / "cvrl.ckpt").exists()


def test_parts_by_themselves():
    names, _ = run(blocks("guides/python.md")[2])
    assert names["features"].shape == (4, 128)
    assert names["maps"].shape == (4, 128, 2, 4, 4)
    assert names["loss"] > 0


@pytest.mark.parametrize(("num_video_frames", "last"), [(48, 47), (3, 2), (31, 30)])
def test_a_sampler_of_ones_own(num_video_frames, last):
    names, _ = run(blocks("guides/own_parts.md")[0])
    first_clip, last_clip = names["FirstAndLast"](16, 2)(num_video_frames, np.random.default_rng(0))
    assert first_clip.shape == last_clip.shape == (16,)
    assert first_clip[0] == 0
    if num_video_frames >= 31:
        assert last_clip[-1] == last
    assert max(first_clip.max(), last_clip.max()) < num_video_frames


def test_the_method_of_the_readme_trains_as_a_script(beside_the_videos):
    """On a screen: at most 15 lines besides the imports, and a page of at most 120."""
    page = (DOCS.parent / "README.md").read_text()
    assert len(page.splitlines()) <= 120
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 15
    script = beside_the_videos / "my_method.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=beside_the_videos, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    accuracy = re.findall(r"tensor\((.*?)\)", done.stdout)[-1]
    assert 0 <= float(accuracy) <= 1
