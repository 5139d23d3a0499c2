"""User-facing text is plain English: none of the phrases of marks.toml occurs in it."""

import re
import tomllib
from pathlib import Path

import pytest
from user_facing_text import passages

MARKS = tomllib.loads((Path(__file__).parent / "marks.toml").read_text())["mark"]
NAMES = [mark["bad"][0] for mark in MARKS]


@pytest.fixture(scope="module")
def texts():
    return list(passages())


@pytest.mark.parametrize("mark", MARKS, ids=NAMES)
def test_a_mark_finds_its_bad_examples_and_leaves_its_good_ones_alone(mark):
    assert [example for example in mark["bad"] if not re.search(mark["find"], example)] == []
    assert [example for example in mark["good"] if re.search(mark["find"], example)] == []


@pytest.mark.parametrize("mark", MARKS, ids=NAMES)
def test_text_that_users_read_has_none_of_the_marks(mark, texts):
    found = [
        f"{passage.file}:{passage.line}: ...{passage.text[max(0, hit.start() - 40) : hit.end() + 20]}..."
        for passage in texts
        for hit in re.finditer(mark["find"], passage.text)
    ]
    assert found == [], f"{mark['why']}; write: {mark['write']} (tests/prose/marks.toml)"


def test_all_kinds_of_text_are_read(texts):
    kinds = {(passage.file.suffix, passage.file.parts[0]) for passage in texts}
    assert kinds >= {
        (".md", "README.md"),
        (".md", "docs"),
        (".ipynb", "docs"),
        (".py", "vidssl"),
        (".html", "vidssl"),
        (".yaml", "configs"),
    }
