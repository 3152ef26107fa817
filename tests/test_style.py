"""One hand in every room: what ruff asks, how long functions and cells are, how much a notebook exports."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
API = sorted(
    path for path in (ROOT / "nbs" / "api").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)

# (where, characters a line): a workshop notebook is read on narrow screens
WIDE = (["nbs/api", "tests", "mfoml_course", "setup.py"], 110)
NARROW = (["nbs/workshop", "nbs/index.ipynb"], 88)

BODY_LINES = 15  # of a function, its docstring not counted
SHARE_WITHIN = 0.9  # of all functions
CELL_LINES = 60  # of an exported cell, and so of each function and class
EXPORTED_LINES = 200  # of a notebook: more hold two ideas


@pytest.mark.parametrize(
    "asked, places, width",
    [
        pytest.param(["check"], *WIDE, id="check-package"),
        pytest.param(["format", "--check"], *WIDE, id="format-package"),
        pytest.param(["check"], *NARROW, id="check-workshop"),
        pytest.param(["format", "--check"], *NARROW, id="format-workshop"),
    ],
)
def test_ruff_is_content(asked, places, width):
    ruff = shutil.which(
        "ruff", path=str(Path(sys.executable).parent)
    )  # of this environment, on the path or not
    if ruff is None:
        pytest.skip("ruff is not installed")
    if asked[0] == "format":
        places = [place for place in places if place != "mfoml_course"]  # generated: nbdev lays out `__all__`
    command = [ruff, *asked, "--quiet", "--no-cache", f"--config=line-length={width}", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def exported_cells(path):
    """The source of a notebook's exported cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [source for source in code if re.search(r"^#\s*\|\s*exporti?\b", source, re.MULTILINE)]


def lines_of(node):
    """The numbers of the lines on which a node stands."""
    return set(range(node.lineno, node.end_lineno + 1))


def counted_lines(source):
    """How many lines count: no imports, docstrings, comments or blank lines."""
    left_out = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= lines_of(node)
        documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        if documented and ast.get_docstring(node) is not None:
            left_out |= lines_of(node.body[0])
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and number not in left_out for number, line in lines)


def body_lines(function):
    """From the first to the last line of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def definitions(path, *kinds):
    """The functions or classes that a notebook exports."""
    trees = map(ast.parse, exported_cells(path))
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]


def test_what_counts():
    source = (
        '"""A module."""\nimport os\n\n\n# why\ndef f(\n    x,  # of it\n):\n    """It."""\n    return x\n'
    )
    assert counted_lines(source) == 4
    tree = ast.parse(source)
    assert body_lines(tree.body[-1]) == 1
    assert body_lines(ast.parse('def f():\n    """Nothing."""').body[0]) == 0


def test_nearly_every_function_is_short():
    lengths = {
        f"{path.stem}.{function.name}": body_lines(function)
        for path in API
        for function in definitions(path, ast.FunctionDef, ast.AsyncFunctionDef)
    }
    long = {name: length for name, length in lengths.items() if length > BODY_LINES}
    assert len(long) <= (1 - SHARE_WITHIN) * len(lengths), long


def notebook_name(path):
    """As in 03_wavelets/jumps."""
    return path.relative_to(ROOT / "nbs" / "api").with_suffix("").as_posix()


@pytest.mark.parametrize("path", API, ids=notebook_name)
def test_a_notebook_is_one_idea(path):
    assert sum(map(counted_lines, exported_cells(path))) <= EXPORTED_LINES
    long = {source[:80]: len(source.splitlines()) for source in exported_cells(path)}
    assert {start: n_lines for start, n_lines in long.items() if n_lines > CELL_LINES} == {}
