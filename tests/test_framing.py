"""Workshop pages open with aims, needs and times, and end with lessons, questions and the next step."""

import json
import re

import pytest

from mfoml_course.course.times import read_times, time_line
from mfoml_course.course.workshop import workshop_notebooks


def text(cell):
    return "".join(cell["source"])


@pytest.fixture(scope="module")
def pages(root):
    """Each notebook's first and last cell."""
    cells = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["cells"] for path in workshop_notebooks(root)
    }
    return {name: (text(found[0]), text(found[-1])) for name, found in cells.items()}


def test_pages_open_with_aims_and_needs(pages):
    for name, (opening, _) in pages.items():
        aims = re.search(r"\*\*You will be able to\*\*\n\n((?:- .+\n)+)", opening)
        assert aims and 2 <= aims[1].count("\n") <= 4, name
        assert re.search(r"\n\*\*You need\*\* \S", opening), name


def test_pages_say_the_times_that_were_recorded(pages, root):
    times = read_times(root)
    assert list(times) == list(pages), "run: mfoml workshop --record"
    for name, (opening, _) in pages.items():
        said = re.search(r"<!-- time -->(.*?)<!-- end of time -->", opening)
        assert said and said[1] == time_line(times[name]), f"{name}: run mfoml workshop --record"


def test_pages_end_with_lessons_questions_and_the_next_step(pages):
    for name, (_, closing) in pages.items():
        parts = re.findall(r"^## (.+)$", closing, re.M)
        assert parts[-2:] == ["What was learnt", "Three questions"], name
        lessons, questions = re.split(r"^## Three questions$", closing, flags=re.M)
        assert len(re.findall(r"^- ", lessons.rpartition("## What was learnt")[2], re.M)) >= 2, name
        folded = re.findall(
            r"\*\*(\d)\. .+\*\*\n\n<details><summary>Answer</summary>\n\n.+?\n\n</details>", questions
        )
        assert folded == ["1", "2", "3"], name
        assert re.search(r"^\*\*Next:\*\* .*\]\(\S+\.ipynb\)", questions, re.M), name


def test_every_part_has_a_page_to_keep_with_a_quiz(root):
    reviews = sorted((root / "nbs" / "reviews").glob("*.ipynb"))
    assert len(reviews) == 4
    for path in reviews:
        cells = [text(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        assert sum(cell.count("<details><summary>Answer</summary>") for cell in cells) == 6, path.stem
        assert any(cell.startswith("## What to keep") for cell in cells), path.stem
