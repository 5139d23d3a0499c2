"""Pages of measurements, from a few drawn videos; two of the tests open them in a real browser."""

import base64
import html
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from headless_browser import visit
from page_layout import PHONE, SCREEN, layout_faults
from PIL import Image

from vidssl.catalogs.catalog import Catalog
from vidssl.data.settings import EvaluationClips
from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.records import Measured
from vidssl.reporting.evaluation_pages import MeasuredNetwork, evaluation_pages, filmstrips, write_pages
from vidssl.reporting.evaluation_pages.confusion import Confusion, draw_confusion
from vidssl.reporting.evaluation_pages.findings import Findings, distance_in_words


@pytest.fixture
def catalog(synthetic_catalog):
    return Catalog.open(synthetic_catalog)


def videos(catalog, split, seed):
    """Features in which classes are clouds that overlap."""
    rows = catalog.split(split)
    labels = catalog.labels[rows].astype(np.int64)
    middles = np.random.default_rng(0).standard_normal((len(catalog.classes), 6))
    features = middles[labels] + 0.8 * np.random.default_rng(seed).standard_normal((len(rows), 6))
    return VideoFeatures(features[:, None].astype(np.float32), labels, np.full(len(rows), -1), rows)


def measure(catalog, name="knn"):
    gallery, query = videos(catalog, "train", 1), videos(catalog, "test", 2)
    protocol = get_protocol(name)
    return Measured(protocol, "drawn", catalog, EvaluationClips(), gallery, query, protocol.measure(gallery, query))


def by_hand(catalog, labels, predicted):
    """A measurement of queries with given labels and classes, the first videos of the catalog."""
    rows, unknown = np.arange(len(labels)), np.full(len(labels), -1)
    query = VideoFeatures(np.ones((len(labels), 1, 2), np.float32), np.array(labels), unknown, rows)
    outcome = Outcome({"top1": 0.5}, predicted=np.array(predicted))
    return Measured(get_protocol("knn"), "drawn", catalog, EvaluationClips(), query, query, outcome)


def called(name):
    """A network without a run."""
    return MeasuredNetwork(name, name)


# --- the page ---


def test_title_and_index_say_method_run_and_checkpoint(catalog, tmp_path):
    network = MeasuredNetwork("warm/checkpoints/last.ckpt", "CVRL", "warm", "last.ckpt")
    measured = [(network, measure(catalog)), (called("small untrained, seed 0"), measure(catalog, "retrieval/mean"))]
    index = write_pages(measured, tmp_path).read_text()
    assert re.findall(r"<small>([^<]*)</small>", index) == ["warm, last.ckpt"]
    (file,) = tmp_path.glob("*knn*.html")
    text = file.read_text()
    assert "<title>CVRL, run warm, last.ckpt: knn on drawn</title>" in text
    assert "<b>CVRL</b> run <b>warm</b> checkpoint <b>last.ckpt</b>" in text
    assert 'style="background:var(--m0)"' in text
    assert re.search(r"<details><summary>How it was measured</summary><pre>knn ", text)


@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_pages_fit_the_screen(catalog, tmp_path, size):
    index = write_pages([(called("CVRL"), measure(catalog, name)) for name in ("knn", "retrieval/mean")], tmp_path)
    (page,) = tmp_path.glob("*knn*.html")
    assert layout_faults(index, size) == layout_faults(page, size) == []


@pytest.mark.parametrize("name", ["knn", "retrieval/mean"])
def test_the_page_shows_queries_with_what_was_found_for_them(catalog, tmp_path, name):
    measured = measure(catalog, name)
    file, picture = evaluation_pages(tmp_path, called("CVRL & co"), measured)
    text = file.read_text()
    assert "<title>CVRL &amp; co: " in text
    rows = re.findall(r'<div class="query" data-class="(.*?)" data-result="(.*?)">(.*?)</div>', text, re.DOTALL)
    assert len(rows) == len(measured.query)
    found = measured.outcome.neighbours
    given = measured.outcome.predicted
    if given is None:
        given = measured.gallery.labels[found.places[:, 0]]
    for _, result, content in rows:
        names = re.findall(r'<span class="name">(.*?)</span>', content)
        place = next(p for p in range(len(measured.query)) if path_name(catalog, measured.query, p) == names[0])
        assert names[1:] == [path_name(catalog, measured.gallery, p) for p in found.places[place, :5]]
        label = measured.query.labels[place]
        assert result == ("right" if given[place] == label else "wrong")
        kinds = re.findall(r'<figure class="(same|other)"', content)
        same = measured.gallery.labels[found.places[place, :5]] == label
        assert kinds == ["same" if one else "other" for one in same]
        assert f"<small>{found.distances[place, 0]:#.3g}</small>" in content
    assert Image.open(picture).format == "PNG"


def path_name(catalog, features, place):
    return catalog.path(int(features.index[place])).rsplit("/", 1)[-1]


def test_each_video_is_stored_once_and_is_what_it_is_said_to_be(catalog, tmp_path):
    measured = measure(catalog)
    text = evaluation_pages(tmp_path, called("CVRL"), measured)[0].read_text()
    rules = re.findall(r"\.v(\d+)\{background-image:url\(data:image/webp;base64,(.*?)\);--ratio:1\.0000\}", text)
    used = set(re.findall(r'class="film v(\d+)"', text))
    assert len(rules) == len(used) == len(dict(rules))
    row, data = rules[0]
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), np.float32)
    side = filmstrips.HEIGHT  # of videos of 48 x 48: nothing is added beside them
    assert strip.shape == (side, filmstrips.FRAMES * side, 3)
    first = filmstrips.fit(filmstrips.read_frames(catalog.root / catalog.path(int(row)), [1])[0])  # 24 frames, 8 parts
    assert np.abs(strip[:, :side] - first).mean() < 8


def test_the_page_asks_nothing_of_the_network(catalog, tmp_path):
    text = evaluation_pages(tmp_path, called("CVRL"), measure(catalog))[0].read_text()
    assert "Content-Security-Policy" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert not re.search(r"@import|url\((?!data:)|\bfetch\(|XMLHttpRequest|import\(", text)


def test_names_cannot_break_out_of_the_page(catalog, tmp_path):
    text = evaluation_pages(tmp_path, called("<script>alert(1)</script>"), measure(catalog))[0].read_text()
    assert "<script>alert" not in text
    assert [file.name for file in tmp_path.glob("*.html")] == ["drawn-test-knn-script-alert-1-script.html"]


def test_names_of_classes_cannot_break_out_of_the_page(catalog, tmp_path, monkeypatch):
    names = ['"><script>alert(1)</script>', "{{ 6 * 7 }}</style>", *catalog.classes[2:]]
    monkeypatch.setattr(catalog, "classes", names)
    measured = measure(catalog)
    seen = visit(evaluation_pages(tmp_path, called("</title>"), measured)[0])
    assert seen.console == []
    assert "<script>alert" not in seen.dom
    shown = {html.unescape(name) for name in re.findall(r'<div class="query" data-class="(.*?)" data-res', seen.dom)}
    assert shown == {names[label] for label in measured.query.labels}


def test_classes_without_neighbours_make_a_page_without_videos(catalog, tmp_path):
    pages = evaluation_pages(tmp_path, called("CVRL"), by_hand(catalog, [0, 0, 1, 1], [0, 1, 1, 1]))
    text = pages[0].read_text()
    assert 'id="confusion"' in text
    assert 'id="neighbours"' not in text
    row = re.search(rf'<tr>\s*<th scope="row" data-value="{catalog.classes[0]}">.*?</tr>', text, re.DOTALL).group()
    assert "50.0 %" in row
    assert f"{catalog.classes[1]} (1)" in row


def test_numbers_alone_make_a_page_too(catalog, tmp_path):
    measured = replace(measure(catalog), outcome=Outcome({"top1": 0.25}))
    (file,) = evaluation_pages(tmp_path, called("CVRL"), measured)
    assert "25.0 <small>%</small>" in file.read_text()


def test_several_measurements_are_listed_on_one_more_page(catalog, tmp_path):
    measured = [(called("CVRL"), measure(catalog)), (called("MCL"), measure(catalog, "retrieval/mean"))]
    index = write_pages(measured, tmp_path)
    links = re.findall(r'href="([^"#:]+)"', index.read_text())
    assert len(links) == 2
    assert all((tmp_path / link).is_file() for link in links)
    assert write_pages(measured[:1], tmp_path).name == links[0]


def test_a_folder_that_cannot_be_written_is_named(catalog, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(VidsslError, match=r"Cannot write pages into .*taken"):
        write_pages([(called("CVRL"), measure(catalog))], tmp_path / "taken")


def test_a_video_that_cannot_be_read_is_named(catalog, tmp_path):
    elsewhere = Catalog.open(catalog.file, root=tmp_path)
    with pytest.raises(VidsslError, match=re.escape(str(tmp_path))):
        evaluation_pages(tmp_path, called("CVRL"), replace(measure(catalog), catalog=elsewhere))


# --- in a browser ---


def with_choice(file, **chosen):
    """The page as if somebody had chosen in its menus."""
    lines = "".join(f'document.forms.filter.elements["{name}"].value={value!r};' for name, value in chosen.items())
    script = f'<script>{lines}document.forms.filter.dispatchEvent(new Event("change"));</script></body>'
    changed = file.with_name("chosen.html")
    changed.write_text(file.read_text().replace("</body>", script))
    return changed


def test_it_works_in_a_browser_and_filters(catalog, tmp_path):
    measured = measure(catalog)
    file = evaluation_pages(tmp_path, called("CVRL"), measured)[0]
    findings = Findings.of(measured)
    name = catalog.classes[int(measured.query.labels[~findings.right][0])]
    wanted = (~findings.right) & (measured.query.labels == catalog.classes.index(name))
    seen = visit(with_choice(file, **{"class": name, "result": "wrong", "look": "strips"}))
    assert seen.console == []
    assert seen.requests == []
    shown = re.findall(r'<div class="query" data-class="([^"]*)" data-result="([^"]*)">', seen.dom)
    assert shown == [(name, "wrong")] * int(wanted.sum())  # all others are hidden
    assert 'class="strips"' in seen.dom
    assert f"<output>{int(wanted.sum())} of {len(measured.query)} shown</output>" in seen.dom


def test_the_table_is_sorted_in_a_browser(catalog, tmp_path):
    file = evaluation_pages(tmp_path, called("CVRL"), measure(catalog))[0]
    script = '<script>document.querySelectorAll("th[data-sort] button")[4].click()</script></body>'
    changed = file.with_name("sorted.html")
    changed.write_text(file.read_text().replace("</body>", script))
    seen = visit(changed)
    shares = [float(value) for value in re.findall(r'class="share"[^>]*data-value="([\d.]+)"', seen.dom)]
    assert len(shares) > 1
    assert shares == sorted(shares)
    assert 'aria-sort="ascending"' in seen.dom


# --- what is shown ---


def test_every_class_and_both_kinds_of_queries_are_shown_in_equal_measure(catalog):
    labels = np.repeat([0, 1, 2], [40, 8, 2])
    predicted = labels.copy()
    predicted[:10] = 1  # ten of forty are wrong
    predicted[40] = 0  # one of eight
    findings = Findings.of(by_hand(catalog, labels, predicted))
    places = findings.spread(14)
    assert np.bincount(labels[places]).tolist() == [6, 6, 2]
    assert findings.right[places[labels[places] == 0]].sum() == 3
    assert (labels[places] == np.sort(labels[places])).all()
    assert len(np.unique(findings.spread(1000))) == len(labels)
    np.testing.assert_array_equal(places, findings.spread(14))


def test_the_class_of_the_nearest_stands_in_where_nothing_is_classified(catalog):
    measured = measure(catalog, "retrieval/mean")
    findings = Findings.of(measured)
    assert findings.right.mean() == measured.outcome.metrics["recall_at_1"]


def test_the_distance_of_a_measure_within_another_is_told():
    assert distance_in_words({"name": "KNN", "k": 1}) == "1 less the cosine"
    assert distance_in_words({"name": "Group", "measure": {"name": "Retrieval", "distance": "l2"}}) == (
        "Euclidean distance"
    )


# --- the confusion of classes ---


def test_counts_and_shares():
    labels, predicted = np.array([0, 0, 0, 2, 2]), np.array([0, 2, 2, 2, 3])
    confusion = Confusion.of(labels, predicted, ["a", "b", "c", "d"])
    assert confusion.classes == ["a", "c", "d"]
    assert confusion.counts.tolist() == [[1, 2, 0], [0, 1, 1], [0, 0, 0]]
    np.testing.assert_allclose(confusion.shares, [[1 / 3, 2 / 3, 0], [0, 0.5, 0.5], [0, 0, 0]])
    assert confusion.most_confused(5) == [("a", "c", 2, pytest.approx(2 / 3)), ("c", "d", 1, 0.5)]


@pytest.mark.parametrize("number", [2, 10, 51])
def test_the_picture_colours_what_is_right_and_what_is_wrong(number, tmp_path):
    labels = np.repeat(np.arange(number), 4)
    predicted = np.where(np.arange(len(labels)) % 4 == 0, (labels + 1) % number, labels)
    names = [f"class {label}" for label in range(number)]
    file = draw_confusion(Confusion.of(labels, predicted, names), "title", tmp_path / "confusion.png")
    pixels = np.asarray(Image.open(file).convert("RGB"), int)
    blue = (pixels[..., 2] - pixels[..., 0] > 90).sum()
    orange = (pixels[..., 0] - pixels[..., 2] > 60).sum()
    assert blue > 30 * number
    assert orange > 30 * number
    white = (pixels.min(axis=2) > 250).mean()
    assert white > (0.3 if number < 10 else 0.6)


def test_pictures_of_very_many_classes_can_be_read(tmp_path):
    labels = np.arange(131)  # from here on cells have the size that they have with 400 classes
    names = [f"class {label}" for label in labels]
    file = draw_confusion(Confusion.of(labels, labels, names), "title", tmp_path / "confusion.png")
    assert min(Image.open(file).size) > len(labels) * 16  # pixels: two figures fit into a cell
