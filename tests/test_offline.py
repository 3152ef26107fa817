"""The network is refused in the tests' processes and in the kernels of notebooks."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from mfoml_course.course.testing import run_tests

GET_OUT = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=20)"


def test_a_kernel_cannot_leave_the_machine(make_course, tmp_path):
    course = make_course(out=[GET_OUT])
    with open(tmp_path / "log", "w+") as log:
        assert run_tests(course, ["-n0"], log) == 1
    printed = (tmp_path / "log").read_text()
    assert "tests run offline: a connection to 192.0.2.1 was refused" in printed
    assert "1 failed in" in printed.splitlines()[-1]


def test_a_kernel_reaches_loopback_and_a_plain_test_does_not_get_out(make_course, tmp_path):
    course = make_course(
        stay=[
            "import socket",
            "with socket.create_server(('127.0.0.1', 0)) as server:\n"
            "    socket.create_connection(server.getsockname()).close()",
        ]
    )
    (course / "tests").mkdir()
    lines = "\n    ".join(GET_OUT.splitlines())
    (course / "tests" / "test_out.py").write_text(
        "import pytest\n\ndef test_out():\n"
        f"  with pytest.raises(ConnectionRefusedError, match='offline'):\n    {lines}\n"
    )
    with open(tmp_path / "log", "w+") as log:
        assert run_tests(course, ["-n0"], log) == 0
    assert "3 passed" in (tmp_path / "log").read_text().splitlines()[-1]


def test_cleaned_notebooks_and_cells_marked_off(make_course, tmp_path):
    course = make_course(cells=["#| eval: false\n1 / 0"])
    cell = new_code_cell("1 + 1", outputs=[nbformat.v4.new_output("execute_result", {"text/plain": "2"})])
    checked = new_code_cell(
        "# NBVAL_CHECK_OUTPUT\n1 + 1", outputs=[nbformat.v4.new_output("execute_result", {"text/plain": "3"})]
    )
    nbformat.write(new_notebook(cells=[cell, checked]), course / "nbs" / "index.ipynb")
    with open(tmp_path / "log", "w+") as log:
        assert run_tests(course, ["-n0"], log) == 1
    assert "1 failed, 1 passed, 1 skipped" in (tmp_path / "log").read_text().splitlines()[-1]
