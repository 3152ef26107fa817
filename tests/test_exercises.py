"""Solutions pass, typical wrong answers fail with their own hints, and no hand-in harms the grading."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mfoml_course.course.exercises import catalogue, check, notebook_exercises
from mfoml_course.course.grading import COLUMNS, grade_folder
from mfoml_course.course.handins import Limits
from mfoml_course.course.judging import NOT_STARTED
from mfoml_course.course.solutions import derived_files, read_solved
from mfoml_course.course.sources import parsed_notebook
from mfoml_course.course.walls import no_walls

NOTEBOOKS = list(catalogue())
MEND = "run: mfoml exercises --derive"
SHARE = 5  # one wrong answer in so many in the test command, all in the full run


def quiet(*args, **kwargs):
    """In place of `check` in a cell that is run for what it defines."""


def defined(notebook, code, name):
    """What a cell defines, behind the notebook's imports."""
    first = next("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    space = {}
    exec(first, space)
    space["check"] = quiet
    exec(code, space)
    return space[name]


@pytest.fixture(params=NOTEBOOKS)
def solved(request, root):
    """A solved notebook and its exercises."""
    notebook = parsed_notebook(root / "nbs" / "solutions" / f"{request.param}.ipynb")
    return request.param, notebook, read_solved(notebook)


def test_the_exercises_are_those_of_the_solutions(root):
    for path, text in derived_files(root).items():
        assert path.is_file() and path.read_text(encoding="utf-8") == text, f"{path.name}: {MEND}"
    names = {path.name for path in (root / "nbs" / "exercises").glob("*.ipynb")}
    assert names == {path.name for path in (root / "nbs" / "solutions").glob("*.ipynb")}, MEND


def test_enough_is_asked(root, solved):
    stem, _, exercises = solved
    assert (root / "nbs" / "workshop" / f"{stem}.ipynb").is_file()
    assert len(exercises) >= 4 and list(exercises) == list(notebook_exercises(stem))
    for name, exercise in exercises.items():
        assert len(exercise.hints) == 2 and len(exercise.wrong) >= 3, name
        assert all(mistake in notebook_exercises(stem)[name].mistakes for mistake in exercise.wrong), name
    assert sum(len(exercise.others) for exercise in exercises.values()) >= 2


def test_solutions_pass_in_more_than_one_way(solved):
    stem, notebook, exercises = solved
    for name, exercise in exercises.items():
        for code in (exercise.code, *exercise.others):
            feedback = check(name, defined(notebook, code, name))
            assert feedback.passed and not feedback.remark, feedback


def wrong_answers(exercises):
    """Name, mistake, code."""
    return [(name, *wrong) for name, exercise in exercises.items() for wrong in exercise.wrong.items()]


def assert_diagnosed(stem, notebook, name, mistake, code):
    """A wrong answer fails with its own hint, on inputs that nobody has seen."""
    feedback = check(name, defined(notebook, code, name))
    assert not feedback.passed and feedback.mistake == mistake, feedback
    assert feedback.hint == notebook_exercises(stem)[name].mistakes[mistake][1] and feedback.counterexample


def test_some_wrong_answers_fail_with_their_hint(solved):
    stem, notebook, exercises = solved
    for wrong in wrong_answers(exercises)[::SHARE]:
        assert_diagnosed(stem, notebook, *wrong)


@pytest.mark.slow
@pytest.mark.parametrize("again", range(5))
def test_every_wrong_answer_fails_with_its_hint(solved, again):
    stem, notebook, exercises = solved
    for wrong in wrong_answers(exercises):
        assert_diagnosed(stem, notebook, *wrong)


def test_what_is_not_begun_is_called_so(root, solved):
    stem, _, exercises = solved
    notebook = parsed_notebook(root / "nbs" / "exercises" / f"{stem}.ipynb")
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    space = {}
    for source in code:
        exec(source, space)
    for name in exercises:
        assert check(name, space[name]).mistake == NOT_STARTED
    assert not any("# solution" in source or "# wrong" in source for source in code)


JUNK = {
    "nothing": lambda *args: None,
    "text": lambda *args: "yes",
    "an error": lambda *args: 1 / 0,
    "an exit": lambda *args: sys.exit(0),
    "itself": lambda *args: args,
    "a function": lambda *args: check,
    "too few arguments": lambda: 0,
    "a number": lambda *args: 0.123,
    "a matrix": lambda *args: [[1.0, 2.0], [3.0]],
    "infinity": lambda *args: float("inf"),
}


def test_junk_is_answered_in_words(solved):
    stem, _, exercises = solved
    for name in exercises:
        for what, answer in JUNK.items():
            given = answer if not notebook_exercises(stem)[name].is_number else answer.__name__
            feedback = check(name, given)
            assert not feedback.passed and feedback.mistake and feedback.hint, (name, what)
            assert "Traceback" not in repr(feedback) and feedback._repr_markdown_()


RIGHT = "def wavelet_norm(q_child, q_parent, measure):\n    return abs(q_child - q_parent) * measure ** 0.5"
FAKE = """
import sys, types
class Always(types.ModuleType):
    def __getattr__(self, name):
        return lambda *args, **kwargs: True
for name in list(sys.modules):
    if name.startswith("mfoml_course.course"):
        sys.modules[name] = Always(name)
"""
DELETE = """
import os, shutil, pathlib
for place in (OUTSIDE, ".", "/usr", os.path.expanduser("~")):
    shutil.rmtree(place, ignore_errors=True)
pathlib.Path(OUTSIDE).unlink(missing_ok=True)
"""
HOSTILE = {
    "delete": (DELETE, ""),
    "exit": ("import os\nos._exit(0)", "ended with exit code 0"),
    "fake": (FAKE, "defines no"),
    "gigabyte": ("while True:\n    print('x' * 10**6)", "printed more than"),
    "input": ("input('grade: ')", "defines no"),
    "loop": ("while True:\n    pass", "took longer than"),
    "raise": ("raise RuntimeError('no')", "raised RuntimeError: no"),
}
LIMITS = Limits(seconds=8, answer_seconds=4)


def hand_in(folder, student, *cells):
    """A hand-in of these cells."""
    code = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path = folder / student / "04_wavelets.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def test_ten_hand_ins_of_which_seven_are_hostile(tmp_path):
    if no_walls():
        pytest.skip(no_walls())
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    folder = tmp_path / "in"
    for student, (code, _) in HOSTILE.items():
        hand_in(folder, student, f"OUTSIDE = {str(kept)!r}", code)
    hand_in(folder, "solved", RIGHT)
    hand_in(folder, "wrong", RIGHT.removesuffix(" ** 0.5"))
    hand_in(folder, "both", FAKE, RIGHT, "import sys\nsys.exit(0)")
    rows = grade_folder(folder, tmp_path / "grades.csv", limits=LIMITS, jobs=4)
    hints = {(row["student"], row["exercise"]): row["hint"] for row in rows}
    n_asked = len(catalogue()["04_wavelets"])
    assert len(rows) == 10 * n_asked and kept.read_text() == "mine"
    passed = [(row["student"], row["exercise"]) for row in rows if row["passed"]]
    assert passed == [("both", "wavelet_norm"), ("solved", "wavelet_norm")]
    for student, (_, words) in HOSTILE.items():
        assert words in hints[student, "wavelet_norm"], student
    assert hints["wrong", "wavelet_norm"].startswith("square root of the measure forgotten")
    with open(tmp_path / "grades.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) and tuple(table[0]) == COLUMNS


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills a group of processes")
def test_a_grading_that_was_killed_goes_on(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "grades.csv"
    hand_in(folder, "ada", RIGHT)
    hand_in(folder, "bob", "import time\ntime.sleep(60)", RIGHT)
    command = [sys.executable, "-m", "mfoml_course", "exercises", "--grade", str(folder), "--out", str(out)]
    command += ["--trust", "--jobs", "1"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    journal = tmp_path / "grades.csv.journal"
    deadline = time.monotonic() + 60
    while not journal.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert journal.exists() and not out.exists()
    (folder / "bob" / "04_wavelets.ipynb").unlink()
    hand_in(folder, "carl", RIGHT)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "1 of 2 hand-ins were graded before" and [line[:4] for line in said[1:2]] == ["carl"]
    assert out.read_text().count("True") == 2 and not journal.exists()


def test_without_walls_grading_wants_trust(tmp_path, monkeypatch):
    monkeypatch.setattr("mfoml_course.course.grading.no_walls", lambda: "bubblewrap is not installed")
    hand_in(tmp_path / "in", "ada", RIGHT)
    with pytest.raises(RuntimeError, match="bubblewrap is not installed.*--trust"):
        grade_folder(tmp_path / "in", tmp_path / "grades.csv")
    rows = grade_folder(tmp_path / "in", tmp_path / "grades.csv", trust=True)
    assert [row["exercise"] for row in rows if row["passed"]] == ["wavelet_norm"]


NORM = "def wavelet_norm(q_child, q_parent, measure):\n    return 1.0"  # wrong, under whatever disguise
STRANGE = {  # what is tried, and words of the hint
    "traces every line": ("import sys\nsys.settrace(lambda *args: sys.exit(0))\n" + NORM, ""),
    "changes numpy and math": (
        "import math, numpy as np\nnp.allclose = math.isclose = lambda *a, **k: True\n"
        "np.random.default_rng = np.random.normal = lambda *a, **k: None\n" + NORM,
        "",
    ),
    "is equal to everything": (
        "class Any(float):\n    __eq__ = __le__ = __ge__ = lambda self, other: True\n"
        "    __hash__ = float.__hash__\n"
        "def wavelet_norm(*args):\n    return Any(1)",
        "the form of what it returns",
    ),
    "an array that lies": (
        "import numpy as np\nclass Lies(np.ndarray):\n    __eq__ = __sub__ = lambda self, other: True\n"
        "    __array_ufunc__ = lambda self, *a, **k: True\n"
        "def wavelet_norm(*args):\n    return np.ones(()).view(Lies)",
        "",
    ),
    "leaves a thread": (
        "import threading, time\ndef run():\n    while True:\n        time.sleep(0.01)\n"
        "threading.Thread(target=run).start()\n" + NORM,
        "",
    ),
    "ends in atexit": (
        "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit(0)",
        "defines no",
    ),
    "forges answers": (
        "import os\nfor fd in range(3, 12):\n    try:\n"
        '        os.write(fd, b\'{"passed": true, "raised": {}, "value": 1}\\n\' * 50)\n'
        "    except OSError:\n        pass\n" + NORM,
        "",
    ),
    "takes the judge's answer": (
        "from mfoml_course.course.exercises import find_exercise\n"
        "wavelet_norm = find_exercise('wavelet_norm').truth",
        "raised ModuleNotFoundError",
    ),
    "looks for the judge's file": (
        "import importlib.util, pathlib, sys, mfoml_course\n"
        "sys.modules = {k: v for k, v in sys.modules.items() if 'checks' not in k}\n"
        "[path] = pathlib.Path(mfoml_course.__file__).parent.rglob('*checks_wavelets*')\n",
        "raised ValueError",
    ),
    "an import without end": (
        "import pathlib, sys\npathlib.Path('slow.py').write_text('while True: pass')\n"
        "sys.path.insert(0, '.')\nimport slow",
        "took longer than",
    ),
    "forks for ever": ("import os\nwhile True:\n    os.fork()", "raised PermissionError"),
    "threads for ever": (
        "import threading, time\nthreading.stack_size(2**16)\n"
        "while True:\n    threading.Thread(target=time.sleep, args=(99,)).start()",
        "threads and processes",
    ),
    "takes all memory": ("hoard = bytearray(5 * 2**30)", "raised MemoryError"),
    "fills the disk": (
        "for n in range(100):\n    open(f'/tmp/{n}', 'wb').write(bytes(2**25))",
        "No space left",
    ),
    "one large file": (
        "import os\nwith open('/scratch/large', 'wb') as file:\n    os.truncate(file.fileno(), 2**40)",
        "raised OSError",
    ),
    "half a letter": ("def wavelet_norm(*args):\n    return '\udc00'", ""),
    "asks itself": (
        "from mfoml_course.course.exercises import check\n" + NORM + "\n"
        "assert check('wavelet_norm', wavelet_norm)",
        "",
    ),
}


@pytest.mark.slow
def test_what_else_is_tried_harms_nothing_and_passes_nothing(tmp_path):
    if no_walls():
        pytest.skip(no_walls())
    folder = tmp_path / "in"
    for student, (code, _) in STRANGE.items():
        hand_in(folder, student, code)
    hand_in(folder, "written twice", NORM, RIGHT)
    limits = Limits(seconds=15, answer_seconds=4, memory=4)
    rows = grade_folder(folder, tmp_path / "grades.csv", limits=limits, jobs=2)
    assert len(rows) == (len(STRANGE) + 1) * len(catalogue()["04_wavelets"])
    passed = [(row["student"], row["exercise"]) for row in rows if row["passed"]]
    assert passed == [("written twice", "wavelet_norm")]
    hints = {row["student"]: row["hint"] for row in rows if row["exercise"] == "wavelet_norm"}
    missed = {who: hints[who] for who, (_, words) in STRANGE.items() if words not in hints[who]}
    assert missed == {} and all(hints[who] for who in STRANGE)


def test_the_package_holds_no_solution(root, solved):
    _, _, exercises = solved
    texts = [path.read_text(encoding="utf-8") for path in (root / "mfoml_course").rglob("*.py")]
    texts += [path.read_text(encoding="utf-8") for path in (root / "mfoml_course" / "data").glob("*.json")]
    for name, exercise in exercises.items():
        body = exercise.code.split("\n", 1)[-1].strip()
        assert len(body) < 40 or not any(body in text for text in texts), name
