"""Every part of the lecture is taught where nbs/trace.yml says, by code and a test that are there."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from mfoml_course.course.desk import course_files

ROOT = Path(__file__).resolve().parent.parent
ROWS = yaml.safe_load((ROOT / "nbs" / "trace.yml").read_text(encoding="utf-8"))
KEYS = {"part", "holds", "cell", "function", "test", "why"}
GREEK = dict(zip("αβγδεηθλμνπρστφψωΓΔΛΠΣΦΨΩ", (
    "alpha beta gamma delta varepsilon eta theta lambda mu nu pi rho sigma tau phi psi omega "
    "Gamma Delta Lambda Pi Sigma Phi Psi Omega"
).split()))  # fmt: skip
SPACES = r"\\(?:[,;:! ]|q?quad(?![a-zA-Z]))"
FONTS = r"\\(?:mathcal|mathbb|mathrm|operatorname|text|vec|[bB]igg?[lr]?|left|right)(?![a-zA-Z])"


def plain(text):
    """A text without spacing, fonts, sizes of brackets and the two ways to write a letter or a definition."""
    text = re.sub(r"\\(?:lVert|rVert|Vert)(?![a-zA-Z])", "|", text)
    text = re.sub(f"{SPACES}|{FONTS}", "", text)
    text = "".join(GREEK.get(letter, letter) for letter in text)
    return re.sub(r"[\s\\{}$`]", "", text).replace(":=", "=").replace("tfrac", "frac")


@pytest.mark.parametrize(
    "ours, lectures",
    [
        (r"$\Omega' \cup \Omega'' = \Omega$", r"\Omega'\cup\Omega''=\Omega"),
        (r"\big\|\psi_{\Omega}\big\|_2^\tau", r"\|\psi_\Omega\|_2^{\tau}"),
        (r"N_τ(f,\mathcal F)", r"N_{\tau}(f, F)"),
        (r"\tilde f(x) = 1", r"\tilde{f}(x) := 1"),
        (r"[\,x_{\text{class}};\; x]", r"[x_{class};x]"),
    ],
)
def test_spacing_and_the_names_of_letters_do_not_count(ours, lectures):
    assert plain(ours) == plain(lectures) and plain(ours) != plain(lectures + "+1")


def lines(path):
    """(depth, text, is code) of each line of a notebook; the depth is 0 where no heading stands."""
    for cell in json.loads((ROOT / "nbs" / path).read_text(encoding="utf-8"))["cells"]:
        is_code = cell["cell_type"] == "code"
        fenced = False
        for line in "".join(cell["source"]).splitlines():
            fenced ^= line.lstrip().startswith("```")
            heading = None if is_code or fenced else re.match(r"(#+) +(.*)", line)
            yield (len(heading[1]), heading[2], False) if heading else (0, line, is_code)


@cache
def sections(path):
    """heading: {text, code} of its section; that of the title ends with the next heading."""
    found, around = {}, []
    for depth, line, is_code in lines(path):
        if depth:
            around = [one for one in around if 1 < one["depth"] < depth]
            around.append({"depth": depth, "text": "", "code": ""})
            found.setdefault(line, around[-1])
        for one in around:
            one["text"] += line + "\n"
            one["code"] += line + "\n" if is_code else ""
    return found


def section(place):
    """The section that a place such as 04_wavelets.ipynb#Greed names."""
    path, _, title = place.partition("#")
    assert (ROOT / "nbs" / path).is_file(), f"no notebook nbs/{path}"
    assert title in sections(path), f"no heading {title!r} in nbs/{path}"
    return sections(path)[title]


def names(path):
    """What a module's file, or a test's, defines or hands on at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def module_file(name):
    """The file of a module of ours."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("row", ROWS, ids=[row["part"] for row in ROWS])
def test_a_part_is_where_it_is_said_to_be(row):
    assert {"part", "holds", "cell"} <= set(row) <= KEYS
    assert plain(row["holds"]) and plain(row["holds"]) in plain(section(f"workshop/{row['cell']}")["text"])
    assert ("why" in row) == (not {"function", "test"} <= set(row)), "a function and a test, or why not"
    if "function" in row:
        module, _, name = row["function"].rpartition(".")
        assert module.startswith("mfoml_course") and name in names(module_file(module)), row["function"]
    if "test" in row:
        assert_tests(row["test"])


def assert_tests(place):
    """A test stands there: a function of tests/, or a library section that asserts something."""
    if place.startswith("tests/"):
        path, _, name = place.partition("::")
        assert name.startswith("test_") and name in names(ROOT / path), place
    else:
        assert place.startswith("nbs/api/"), place
        code = section(place.removeprefix("nbs/"))["code"]
        assert re.search(r"^\s*(assert|np\.testing\.|torch\.testing\.|refusal\()", code, re.MULTILINE), place


def test_the_lecture_is_there_as_a_whole():
    parts = [row["part"] for row in ROWS]
    assert len(parts) >= 57 and len(set(parts)) == len(parts)
    assert sum("why" in row for row in ROWS) <= 12


def test_a_students_copy_holds_the_lists_that_its_notebooks_read():
    text = (ROOT / "nbs" / "workshop" / "15_references.ipynb").read_text(encoding="utf-8")
    read = set(re.findall(r'entries\(\\"([\w.]+)', text))
    assert len(read) == 3 and read <= set(course_files(ROOT / "nbs"))
