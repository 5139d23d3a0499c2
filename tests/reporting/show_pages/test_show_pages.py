"""The pages of ``vidssl show``, and what every page must hold at the size of a screen and of a phone."""

import re

import numpy as np
import pytest
from headless_browser import visit
from page_layout import PHONE, SCREEN, layout_faults

from vidssl.cli import main as cli
from vidssl.evaluation.attention.overlap import Overlap
from vidssl.reporting.attention_pictures import AttentionPage
from vidssl.reporting.show_pages import NetworkFindings, networks_page


@pytest.fixture(scope="module")
def page_of_networks(tmp_path_factory):
    """Two networks, of which one looks at nothing; the name of the other would like to be a script."""
    rng, nasty = np.random.default_rng(0), "</title><script>alert(1)</script>"
    frames = rng.integers(0, 256, (5, 32, 32, 3), np.uint8)
    looked = {nasty: rng.random((2, 4, 4)), "MCL": np.zeros((1, 2, 2))}
    clip = AttentionPage("a/b.avi", frames, rng.random((5, 28, 28)), looked, {nasty: "31 % on motion"})
    overlaps = [Overlap(0.3, 0.25, 0.1, 9), Overlap(0.4, 0.25, 0.1, 9)]
    findings = [
        NetworkFindings(nasty, overlaps, rng.standard_normal((12, 6)).astype(np.float32), [4.0, 5.0]),
        NetworkFindings("MCL", overlaps[:1], np.ones((12, 6), np.float32) + rng.random((12, 6)) * 1e-3, [1.0]),
    ]
    labels = np.arange(12) % 3 - 1
    page = networks_page(findings, [clip], labels, ["run", "jump", "no label"], projection="pca", lead="Measured so.")
    file = tmp_path_factory.mktemp("networks") / "attention.html"
    file.write_text(page, encoding="utf-8")
    return file


def test_attention_has_a_scale_and_says_where_there_is_none(page_of_networks):
    text = page_of_networks.read_text()
    assert text.count('<span class="nothing">no attention</span>') == 1
    assert re.search(r"--heat: linear-gradient\(to right, #[0-9a-f]{6}, ", text)
    assert "35.0 ± 7.1" in text  # mean and standard deviation of two runs
    assert "effective rank" in text
    assert len(re.findall(r"<path d=[^>]*><title>", text)) == 2 * 12
    assert "<script>alert" not in text


def test_a_browser_shows_networks_without_errors_or_requests(page_of_networks):
    seen = visit(page_of_networks)
    assert seen.console == []
    assert seen.requests == []


@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_networks_fit_the_screen(page_of_networks, size):
    assert layout_faults(page_of_networks, size) == []


def test_views_of_each_video_fit_the_screen(small_config, tmp_path):
    assert cli.main(["show", "--config", str(small_config), "--videos", "2", "--output", str(tmp_path)]) == 0
    page = tmp_path / "views.html"
    text = page.read_text()
    assert text.count("<section ") == 2
    assert text.count('<figure class="drawn">') == 2 * (1 + 2)  # when, and two views
    assert text.count('<div class="views few">') == 2
    assert layout_faults(page, SCREEN) == layout_faults(page, PHONE) == []


def test_what_a_designer_would_not_sign_is_found(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><meta name="viewport" content="width=device-width"><p style="font-size: 9px">tiny</p>'
        '<a href="#">link</a><div style="width: 600px">wide</div>'
    )
    told = layout_faults(page, PHONE)
    assert "the page scrolls sideways" in told
    assert "small: P tiny" in told
    assert "hard to touch: A link" in told
    assert "beyond the edge: DIV wide" in told
    assert layout_faults(page, SCREEN) == ["small: P tiny"]
