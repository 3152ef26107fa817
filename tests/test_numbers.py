"""Every decimal number and per cent in the prose of workshop and start page is shown beside it, or listed."""

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
VERSION = re.compile(
    r"(?:Python|CC BY|Apache|scikit-learn|XGBoost|torch|plotly|JupyterLab|version)(?: licence)? \d+(?:\.\d+)+"
)
BEFORE, AFTER = 2, 1  # cells of code beside a text whose outputs are its evidence
CAUGHT = 0.6  # of all numbers with another last digit; the others agree with a neighbour by chance
SHOWN = re.compile(r"(?<![\w.])-?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?(\s?%)?")


def quotes(prose):
    """(digits, is per cent) of the decimal numbers and per cents in a text, code and addresses apart."""
    prose = re.sub(r"<!-- time -->.*?<!-- end of time -->", " ", prose)  # tests/test_framing.py
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+", " ", prose, flags=re.DOTALL)
    prose = VERSION.sub(" ", re.sub(r"arXiv:? ?\d{4}\.\d{4,5}", " ", prose))
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
    as_told = value * 100 if percent and not shown_as_percent else value
    return abs(as_told - float(digits)) <= 0.5000001 * 10**-places


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


def evidence(cells):
    """(quotes, numbers shown beside them) of each text: by the code just before it and just after it."""
    shown = [
        [value for output in cell["outputs"] for value in values(printed(output))]
        if cell["cell_type"] == "code"
        else None
        for cell in cells
    ]
    for place, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            before = [numbers for numbers in shown[:place] if numbers is not None][-BEFORE:]
            after = [numbers for numbers in shown[place:] if numbers is not None][:AFTER]
            yield set(quotes("".join(cell["source"]))), [one for part in before + after for one in part]


def told(quote):
    """A quote as the list writes it."""
    digits, percent = quote
    return digits + " %" * percent


@cache
def recorded(name):
    """The numbers of a record."""
    return list(values((ROOT / "nbs" / "workshop" / name).read_text(encoding="utf-8")))


@cache
def evidence_of(path):
    """The evidence of a notebook."""
    return list(evidence(json.loads(path.read_text(encoding="utf-8"))["cells"]))


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_numbers_in_prose_come_from_somewhere(path):
    listed = LISTED.get(path.stem, {})
    quoted, missing = set(), set()
    for some, shown in evidence_of(path):
        quoted |= {told(quote) for quote in some}
        missing |= {told(quote) for quote in some if not any(agrees(quote, one) for one in shown)}
    assert missing - set(listed) == set(), (
        "no output beside it shows it: mend the text, print the number, or list it with its source"
    )
    assert set(listed) - quoted == set(), "listed in nbs/numbers.yml, and not in the prose any more"
    assert all(source.strip() for source in listed.values())
    for number, source in listed.items():
        if source.startswith("records/"):  # then the record has it
            digits = number.rstrip(" %")
            found = recorded(source.partition(":")[0])
            assert any(agrees((digits, percent), one) for percent in (False, True) for one in found), number


def changed(quote):
    """The quote with each other last digit."""
    digits, percent = quote
    return [(digits[:-1] + last, percent) for last in "0123456789" if last != digits[-1]]


def test_a_changed_number_is_noticed():
    tries = [
        not any(agrees(other, one) for one in shown)
        for path in READ
        for some, shown in evidence_of(path)
        for quote in some
        if told(quote) not in LISTED.get(path.stem, {})
        for other in changed(quote)
    ]
    assert len(tries) > 100 and sum(tries) >= CAUGHT * len(tries)


def test_evidence_stands_beside_its_text():
    def code(text):
        return {"cell_type": "code", "source": "", "outputs": [{"text": [text]}]}

    text = {"cell_type": "markdown", "source": ["About 0.25, and 70 %."]}
    ((some, shown),) = evidence([code("0.1"), code("0.2"), code("0.3"), text, code("0.4"), code("0.5")])
    assert some == {("0.25", False), ("70", True)}
    assert [value for value, _ in shown] == [0.2, 0.3, 0.4]
