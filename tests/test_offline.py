"""The network is refused in processes and kernels of the tests; which cells are run, compared, left out."""

import re

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mfoml_course.course.testing import run_tests

GET_OUT = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=20)"
STAY = """import socket
with socket.create_server(('127.0.0.1', 0)) as server:
    socket.create_connection(server.getsockname()).close()"""
PLAIN = """import socket
import pytest


def test_out():
    with pytest.raises(ConnectionRefusedError, match="offline"):
        socket.create_connection(("192.0.2.1", 80), timeout=20)
"""


def cell_with_output(source, text):
    """A cell that has been run and cleaned: an output and no execution count."""
    return new_code_cell(source, outputs=[new_output("execute_result", {"text/plain": text})])


def make_everything(course):
    """A plain test that tries to get out, and a notebook with one right and one wrong output."""
    (course / "tests").mkdir()
    (course / "tests" / "test_out.py").write_text(PLAIN)
    cells = [cell_with_output("1 + 1", "2"), cell_with_output("# NBVAL_CHECK_OUTPUT\n1 + 1", "3")]
    nbformat.write(new_notebook(cells=cells), course / "nbs" / "index.ipynb")


def test_the_network_is_refused_and_cleaned_notebooks_are_run(make_course, tmp_path):
    course = make_course(out=[GET_OUT], stay=[STAY], marked=["#| eval: false\n1 / 0"])
    make_everything(course)
    with open(tmp_path / "log", "w+") as log:
        code = run_tests(course, ["-n0", "-rA"], log)
        log.seek(0)
        text = log.read()
    lines = re.findall(r"^([A-Z]+) (\S+::.*?)(?: - .*)?$", text, re.MULTILINE)
    assert {name: word for word, name in lines} == {
        "nbs/index.ipynb::Cell 0": "PASSED",
        "nbs/index.ipynb::Cell 1": "FAILED",
        "nbs/workshop/out.ipynb::Cell 0": "FAILED",
        "nbs/workshop/stay.ipynb::Cell 0": "PASSED",
        "tests/test_out.py::test_out": "PASSED",
    }
    assert code == 1 and "tests run offline: a connection to 192.0.2.1 was refused" in text
    assert "2 failed, 3 passed, 1 skipped" in text.splitlines()[-1]
