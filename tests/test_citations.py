"""What the course cites stands in one list, and the text names it as the list does."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = yaml.safe_load((ROOT / "nbs" / "bibliography.yml").read_text(encoding="utf-8"))
WORKSHOP = sorted((ROOT / "nbs" / "workshop").glob("*.ipynb"))
NAME = r"[A-Z][\w-]+(?: and (?:[A-Z][\w-]+|others))?"
LINK = re.compile(r"\[([^\]]*)\]\((https?://(?:[^()\s]|\([^()\s]*\))+)\)")  # an address may hold brackets
KEYS = {"key", "as", "who", "year", "title", "where", "url"}


def prose(path):
    """The text of a notebook's Markdown cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def citations(text):
    """(name, address) of each link whose words are a name and a year."""
    return [found for found in LINK.findall(text) if re.fullmatch(rf"{NAME} \(\d{{4}}\)", found[0])]


def unlinked(text):
    """Names with a year that are no link."""
    return re.findall(rf"{NAME}(?: et al\.)?,? \(?(?:19|20)\d\d\)", LINK.sub(" ", text))


def test_what_a_citation_is():
    linked = "as in [Hyafil and Rivest (1976)](https://doi.org/10.1016/0020-0190(76)90095-8), a theorem"
    assert citations(linked) == [("Hyafil and Rivest (1976)", "https://doi.org/10.1016/0020-0190(76)90095-8")]
    assert unlinked(linked) == [] and citations("[the paper](https://arxiv.org/abs/1)") == []
    assert unlinked("(Breiman and others, 1984)") and unlinked("by Breiman (2001).")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["key"])
def test_an_entry_is_whole(entry):
    assert set(entry) == KEYS and all(str(value).strip() for value in entry.values())
    surname, year = re.match(rf"({NAME}) \((\d{{4}})\)$", entry["as"]).groups()
    first = re.match(r"[A-Z][\w-]+", surname)[0]
    assert first in entry["who"].split(",")[0] and int(year) == entry["year"]
    assert entry["key"] == re.sub(r"\W", "", first).lower() + year
    others = len(entry["who"].split(",")) > 2 or "and others" in entry["who"]
    assert others == ("and others" in entry["as"])
    assert entry["url"].startswith("https://")


def test_the_list_is_in_order_and_says_nothing_twice():
    keys = [entry["key"] for entry in ENTRIES]
    assert keys == sorted(set(keys))
    assert len({entry["url"] for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("path", WORKSHOP, ids=lambda path: path.stem)
def test_the_text_names_what_the_list_has(path):
    text = prose(path)
    listed = {(entry["as"], entry["url"]) for entry in ENTRIES}
    assert set(citations(text)) - listed == set(), "a citation is [as](url), as nbs/bibliography.yml has them"
    assert unlinked(text) == [], "a name and a year, and no link to what it names"
    papers = {address for words, address in LINK.findall(text) if re.search(r"arxiv\.org|doi\.org", address)}
    assert papers <= {address for _, address in listed}, "a paper that the list does not have"


def test_every_entry_is_cited():
    cited = {address for path in WORKSHOP for _, address in citations(prose(path))}
    assert {entry["as"] for entry in ENTRIES if entry["url"] not in cited} == set()
