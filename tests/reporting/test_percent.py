"""One rounding for every accuracy that is printed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vidssl.cli.evaluate.summary import Cell
from vidssl.reporting import pages
from vidssl.reporting.compare.wording import number
from vidssl.reporting.percent import percent, signed_percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.4625, "46.3"),
        (0.46125, "46.1"),
        (0.4635, "46.4"),
        (0.0005, "0.1"),
        (0.00049, "0.0"),
        (1.0, "100.0"),
        (0.0, "0.0"),
    ],
)
def test_halves_are_rounded_up_whatever_the_precision(share, text):
    assert percent(share) == percent(float(np.float32(share))) == percent(torch.tensor(share).item()) == text


def test_the_same_number_reads_the_same_everywhere():
    cell = Cell("CVRL", "knn", "top1", {"run": {"test": 0.4625}})
    assert cell.text() == number(float(np.float32(0.4625)), percent=True) == percent(0.4625) == "46.3"


def test_a_single_value_has_its_interval_where_there_is_one_and_several_have_their_spread():
    ends = {"a": {"test": (0.41, 0.52)}}
    assert Cell("CVRL", "temporal/both", "m", {"a": {"test": 0.4625}}, ends).text() == "46.3 [41.0, 52.0]"
    two = Cell("CVRL", "temporal/both", "m", {"a": {"test": 0.4}, "b": {"test": 0.5}}, ends)
    assert two.text() == "45.0 ± 7.1"
    assert (two.single("a", "test"), two.single("b", "test")) == ("40.0 [41.0, 52.0]", "50.0")


def test_a_difference_has_its_sign():
    assert [signed_percent(value) for value in (0.0225, -0.0225, 0.0)] == ["+2.3", "-2.3", "+0.0"]


def test_templates_round_as_everything_else():
    assert pages._TEMPLATES.from_string("{{ 0.4625 | percent }}").render() == "46.3"
    folder = Path(pages.__file__).parent / "templates"
    assert [file.name for file in folder.rglob("*.html") if '"%.1f" | format(100' in file.read_text()] == []
