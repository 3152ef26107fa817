"""Every decimal number and per cent in the prose of workshop and start page is shown, recorded or listed."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
READ = [ROOT / "nbs" / "index.ipynb", *sorted((ROOT / "nbs" / "workshop").glob("*.ipynb"))]
LISTED = yaml.safe_load((ROOT / "nbs" / "numbers.yml").read_text(encoding="utf-8"))
QUOTED = re.compile(
    r"(?<![\w.,/])(?P<number>\d{1,3}(?:,\d{3})+|\d+\.\d+|\.\d+|\d+)(?!\.?\d)"
    r"(?P<percent>\s?(?:\\?%|per ?cent\b))?"
)
SHOWN = re.compile(r"(?<![\w.])-?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?(\s?%)?")


def quotes(prose):
    """(digits, is per cent) of the decimal numbers and per cents in a text, code and addresses apart."""
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+", " ", prose, flags=re.DOTALL)
    prose = re.sub(r"arXiv:? ?\d{4}\.\d{4,5}", " ", prose)
    prose = re.sub(r"^( {4}|\t).*$", " ", prose, flags=re.MULTILINE).replace("{,}", "").replace("−", "-")
    for found in QUOTED.finditer(prose):
        if found["percent"] or "." in found["number"]:
            yield found["number"].replace(",", ""), bool(found["percent"])


def values(text):
    """(value, is per cent) of all numbers in a printed text."""
    for found in SHOWN.finditer(text):
        yield abs(float(found[0].rstrip("% \u202f\u00a0").replace(",", ""))), bool(found[1])


def agrees(quote, shown):
    """Whether a quoted number is a shown one, rounded; a share may be told as a per cent."""
    (digits, percent), (value, shown_as_percent) = quote, shown
    places = len(digits.partition(".")[2])
    told = value * 100 if percent and not shown_as_percent else value
    return abs(told - float(digits)) <= 0.5000001 * 10**-places


@pytest.mark.parametrize(
    "prose, text, agreed",
    [
        ("0.69 grades", "0.6863", True),
        ("0.70 grades", "0.6863", False),
        ("about 7 % of them", "0.0719", True),
        ("3.3% of them", "3.3% are kept", True),
        ("8 % of them", "0.0719", False),
        ("a half, .5, of", "0.500", True),
        ("−0.5", "-0.5", True),
    ],
)
def test_what_agrees(prose, text, agreed):
    (quote,) = quotes(prose)
    assert any(agrees(quote, shown) for shown in values(text)) is agreed


def test_what_is_a_quote():
    none = "In 2016 (arXiv 2201.08924) `0.5` and [a](b0.7), nor 1,599 wines.\n\n    x = 0.1"
    prose = "0.25, .75 and 80 % are quotes."
    assert list(quotes(none)) == []
    assert list(quotes(prose)) == [("0.25", False), (".75", False), ("80", True)]


def printed(output):
    """What an output shows as text; of a figure its words, not its points."""
    data = output.get("data", {})
    figure = data.get("application/vnd.plotly.v1+json", {}).get("layout", {})
    words = [figure.get("title", {}).get("text", ""), str(figure.get("meta", ""))]
    lines = [output.get("text", ""), data.get("text/plain", ""), data.get("text/markdown", "")]
    tables = re.sub(r"<[^>]*>", " ", "".join(data.get("text/html", "")))  # whole where pandas prints dots
    return "\n".join(["".join(line) for line in lines] + words + [tables])


@cache
def recorded(name):
    """The numbers of a record."""
    path = ROOT / "nbs" / "workshop" / "records" / name
    return list(values(path.read_text(encoding="utf-8"))) if path.is_file() else []


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_numbers_in_prose_come_from_somewhere(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    shown = [value for cell in cells for out in cell.get("outputs", []) for value in values(printed(out))]
    for name in set(re.findall(r"[\w-]+\.json", "\n".join(sources))):
        shown += recorded(name)
    listed = LISTED.get(path.stem, {})
    quoted = {
        quote
        for cell, text in zip(cells, sources)
        if cell["cell_type"] == "markdown"
        for quote in quotes(text)
    }
    missing = {
        digits + " %" * percent
        for digits, percent in quoted
        if not any(agrees((digits, percent), one) for one in shown)
    }
    assert missing - set(listed) == set(), "no output shows it: mend the text, or list it with its source"
    told = {digits + " %" * percent for digits, percent in quoted}
    assert set(listed) - told == set(), "listed in nbs/numbers.yml, and not in the prose any more"
    assert all(source.strip() for source in listed.values())
