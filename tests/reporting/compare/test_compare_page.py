"""The page in a real browser, and what it is made of."""

import json
import re

import pytest
import yaml
from headless_browser import visit
from page_layout import PHONE, SCREEN, layout_faults
from PIL import Image
from run_folders import write_run

from vidssl.cli.main import main
from vidssl.reporting.compare import pictures as pictures_module
from vidssl.reporting.compare.charts.curves import MAX_POINTS, learning_curves
from vidssl.reporting.compare.methods import group_runs
from vidssl.reporting.compare.page_tables import settings_tables
from vidssl.reporting.compare.pictures import collect_pictures
from vidssl.reporting.compare.runs import read_runs
from vidssl.reporting.compare.table import compare

METHODS = {"CVRL": 0.55, "MCL": 0.70, "MoCo": 0.45, "Sneaky</script><script>alert(1)</script>": 0.30}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four methods, three seeds each, with pictures; the name of one would like to be a script."""
    runs = tmp_path_factory.mktemp("runs")
    found = []
    for number, (objective, top1) in enumerate(METHODS.items()):
        for seed in range(3):
            folder = runs / f"method{number}-{seed}"
            found.append(write_run(folder, objective=objective, seed=seed, top1=top1 + 0.02 * seed))
            (folder / "pictures").mkdir()
            Image.new("RGB", (64, 48), (40 * number, 90, 160)).save(folder / "pictures" / "views.png")
    return found


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "comparison.html"
    assert main(["compare", *map(str, folders), "--html", str(file)]) == 0
    return file


@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), ((400, 800), True)], ids=["desktop", "phone, dark"])
def test_a_browser_shows_table_and_curves_without_errors_or_requests(page, size, dark, tmp_path):
    seen = visit(page, size=size, dark=dark, screenshot=tmp_path / "page.png")
    assert seen.console == []
    assert seen.requests == []
    body = seen.dom[: seen.dom.index('id="curves-data"')]
    for label, top1 in METHODS.items():
        assert label.partition("<")[0] in body
        assert f">{100 * (top1 + 0.02):.1f}</b>" in body
    assert body.count('class="strip"') >= 5  # every method, and the untrained network
    # both charts were drawn by the script: a mean line and three seeds a method
    charts = re.findall(r'<div class="chart">(.*?)</svg>', body, re.DOTALL)
    assert len(charts) == 2
    for chart in charts:
        assert chart.count('class="mean"') == len(METHODS)
        assert chart.count('class="seed"') == 3 * len(METHODS)
        assert "NaN" not in chart
    assert len(re.findall(r'<figure(?: class="wide")?>', body)) == len(METHODS)
    colours = Image.open(tmp_path / "page.png").convert("L").resize((1, 1)).getpixel((0, 0))
    assert (colours < 90) == dark


@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_the_page_fits_the_screen(page, size):
    assert layout_faults(page, size) == []


def test_a_browser_says_what_is_wrong_with_a_page_that_is(page, tmp_path):
    """The test above would notice: an error, and something from elsewhere."""
    broken = tmp_path / "broken.html"
    text = page.read_text()
    text = re.sub("<meta http-equiv[^>]*>", "", text)
    broken.write_text(
        text.replace("</main>", '<img src="http://example.invalid/x.png"><script>nothing()</script></main>')
    )
    seen = visit(broken)
    assert any("nothing is not defined" in line for line in seen.console)
    assert any("example.invalid" in address for address in seen.requests)


def test_the_page_names_nothing_outside_itself(page):
    text = page.read_text()
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*\"", text) == []
    assert not re.search(r"@import|url\((?!data:)|\bfetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text
    assert "<script>alert(1)" not in text
    data = json.loads(re.search(r'id="curves-data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["labels"] == list(METHODS)
    assert data["colours"][:3] == ["var(--m0)", "var(--m1)", "var(--m3)"]  # by name, whatever else is on the page


def test_settings_that_say_most_come_first_and_open(tmp_path):
    folders = [write_run(tmp_path / "a", objective="CVRL"), write_run(tmp_path / "b", objective="MCL", temperature=0.3)]
    config = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())
    config["model"]["init_args"] |= {"a_detail": 3, "optimizer": {"learning_rate": 0.5}}
    (tmp_path / "b" / "config.yaml").write_text(yaml.safe_dump(config))
    told = settings_tables(compare(group_runs(read_runs(folders))))
    first = ["model.class_path", "model.init_args.temperature", "model.init_args.optimizer.learning_rate"]
    assert list(told["first"]) == first
    assert [setting.short for setting in told["first"]["model.class_path"]] == ["CVRL", "MCL"]
    assert list(told["others"]) == ["model.init_args.a_detail"]
    assert told["count"] == "1 more setting"


def test_curves_begin_with_the_untrained_network_at_step_0(tmp_path):
    methods = group_runs(read_runs([write_run(tmp_path / "a")]))
    curves = {curve["name"]: curve["methods"][0] for curve in learning_curves(methods)}
    assert curves["eval/toy/knn/top1"]["steps"] == [0, 10, 20]
    assert curves["train/loss"]["steps"] == list(range(1, 21))
    only = learning_curves(methods, leaving_out=["toy/knn/top1"])
    assert "eval/toy/knn/top1" not in [curve["name"] for curve in only]


def test_curves_are_cut_into_stretches_of_which_each_gives_its_mean(tmp_path):
    folder = write_run(tmp_path / "a")
    lines = ["step,train/loss", *(f"{step},{step % 2}" for step in range(1000))]
    (folder / "metrics.csv").write_text("\n".join(lines))
    (curve,) = learning_curves(group_runs(read_runs([folder])))
    (drawn,) = curve["methods"]
    assert len(drawn["steps"]) == len(drawn["seeds"]["seed 0 (a)"]) <= MAX_POINTS
    assert set(drawn["seeds"]["seed 0 (a)"][:-1]) == {0.44444, 0.55556}  # nine steps each, 0 and 1 in turn
    assert curve["share"]


def test_pictures_are_made_smaller_and_what_is_left_out_is_told(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "a")
    (folder / "pictures").mkdir()
    Image.new("RGB", (4000, 1000)).save(folder / "pictures" / "wide.png")
    Image.effect_noise((50, 50), 80).save(folder / "pictures" / "views.png")
    (folder / "pictures" / "broken.png").write_text("no picture")
    found, left_out = collect_pictures(group_runs(read_runs([folder])))
    Image.new("RGB", (40, 40)).save(folder / "pictures" / "curves.png")  # the page has its own
    assert [(picture.name, picture.width, picture.height) for picture in found] == [
        *(("views", 50, 50), ("wide", 1600, 400)),
    ]
    assert found[0].uri.startswith("data:image/png;base64,")
    assert found[1].uri.startswith("data:image/webp;base64,")
    assert len(left_out) == 1
    assert "broken.png" in left_out[0]
    monkeypatch.setattr(pictures_module, "MAX_PAGE_BYTES", 10)
    found, left_out = collect_pictures(group_runs(read_runs([folder])))
    assert found == []
    assert len(left_out) == 3
