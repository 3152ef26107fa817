"""The command that makes deliberate faults: it makes those it says, and tells caught from unseen."""

import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("cosmic_ray", reason="the test extra is not installed")
if not hasattr(sys.modules["os"], "fork"):
    pytest.skip("needs fork, which this system lacks", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parent))

import faults  # noqa: E402
from fault_replay import FaultyModule  # noqa: E402

CODE = '''#| export
def clipped(
    x: float | None,
    *,
    low: float = 0.5,
):
    """x, at least low; 3 times the others."""
    if x is None:
        raise ValueError("expected a number")
    return max(x, low) if x > 0 else sorted([x, 2], reverse=True)[1]'''
TESTS = """from mfoml_course.course.testing import refusal
assert clipped(0.25) == 0.5 and clipped(0.75) == 0.75 and clipped(0) == 0 and clipped(-1) == -1
refusal(ValueError, "expected a number", lambda: clipped(None))"""


def changes():
    """(kind, changed lines) of every fault in the code."""
    found = [fault for site in faults.cell_faults("one.ipynb", "one", CODE).values() for fault in site]
    return [(fault.kind, faults.changed_lines(CODE, fault.strike(CODE))) for fault in found]


def test_the_faults_are_those_of_a_slip():
    lines = {(kind, change[-1].lstrip("+ ")) for kind, change in changes()}
    assert ("refusal", "pass") in lines and ("condition", "if not x is None:") in lines
    assert ("comparison", "if x is not None:") in lines
    assert {("constant", "low: float = 1.0,"), ("constant", "low: float = 0.25,")} <= lines
    last = "return max(x, low) if x {} 0 else sorted([x, {}], {})[{}]"
    assert ("comparison", last.format(">=", 2, "reverse=True", 1)) in lines
    assert ("argument", last.format(">", 2, "**{}", 1)) in lines
    assert ("condition", last.format(">", 2, "reverse=False", 1)) in lines


def test_annotations_docstrings_and_bare_stars_stay():
    assert all(
        "x: float | None" not in line and "x, at least" not in line
        for _, change in changes()
        for line in change
    )
    assert all(not line.lstrip("+- ").startswith(("*,", "/,")) for _, change in changes() for line in change)


@pytest.fixture
def noticed(tmp_path):
    """How each fault was noticed by a notebook with these tests: (change, how)."""

    def run(tests):
        cells = [new_code_cell(CODE, id="one"), new_code_cell(tests, id="two")]
        path = tmp_path / "one.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        found = [fault for site in faults.cell_faults("one.ipynb", "one", CODE).values() for fault in site]
        return [
            (faults.changed_lines(CODE, fault.strike(CODE))[-1], how)
            for fault, how in faults.replay(path, found).items()
        ]

    return run


def test_caught_is_told_from_unseen(noticed):
    results = noticed(TESTS)
    unseen = [line for line, how in results if how is None]
    expected = "+    return max(x, low) if x > 0 else sorted([x, {}], reverse=True)[1]"
    assert len(results) > 12 and set(unseen) <= {expected.format(1), expected.format(3)} and unseen


def test_without_tests_nothing_is_caught(noticed):
    assert all(how is None for _, how in noticed("1 + 1"))


def test_a_notebook_that_fails_without_a_fault_stops_it(noticed):
    with pytest.raises(SystemExit, match="fails without a fault: cell 1: AssertionError"):
        noticed("assert clipped(1) == 2")


def test_a_module_is_read_with_its_fault(tmp_path, monkeypatch):
    (tmp_path / "of_one_number.py").write_text("number = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [FaultyModule("of_one_number", "number = 2\n"), *sys.meta_path])
    assert import_module("of_one_number").number == 2
    del sys.modules["of_one_number"]


def test_a_fault_of_a_back_room_lies_in_its_module():
    [path] = faults.chosen_notebooks(["forest.terms"])
    fault = next(fault for site in faults.list_faults(path).values() for fault in site)
    old = (faults.ROOT / faults.module_file(path)).read_text(encoding="utf-8")
    assert faults.changed_lines(old, faults.faulty_module(fault)) == faults.change(fault)


def test_rooms_bring_their_back_rooms():
    names = [path.name for path in faults.chosen_notebooks(["besov"])]
    assert "06_besov.ipynb" in names and "pairs.ipynb" in names
    with pytest.raises(KeyError, match="no api notebook exports nothing"):
        faults.chosen_notebooks(["nothing"])


def test_a_sample_is_drawn_by_its_seed():
    [path] = faults.chosen_notebooks(["simplex"])
    first, again, other = (
        [fault.name for fault in faults.sample_faults([path], 10, seed)] for seed in (1, 1, 2)
    )
    assert len(first) == 10 and first == again and first != other


def test_notebooks_above_import_what_is_below():
    [path] = faults.chosen_notebooks(["importance"])
    above = [other.relative_to(faults.ROOT / "nbs").as_posix() for other in faults.notebooks_above(path)]
    assert "index.ipynb" in above and "api/01_simplex.ipynb" not in above
    [path] = faults.chosen_notebooks(["forest.bags"])
    above = [other.relative_to(faults.ROOT / "nbs").as_posix() for other in faults.notebooks_above(path)]
    rooms = [name.startswith("api/08_forest") for name in above]
    assert above[0].startswith("api/08_forest/") and rooms == sorted(rooms, reverse=True)
    tests = [test.name for test in faults.tests_above(path)]
    assert "test_machines.py" in tests and "test_collapse.py" not in tests and "test_site.py" not in tests


class Court:
    """A court whose files fail as told, one answer a run."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def run(self, paths):
        """The next answer."""
        self.asked.append(len(paths))
        return self.answers.pop(0)


def test_a_witness_fails_twice_and_not_without_the_fault(monkeypatch):
    monkeypatch.setattr(faults, "struck", lambda fault, court: nullcontext())
    one, two = (faults.ROOT / "tests" / name for name in ("test_faults.py", "test_site.py"))
    failed = "tests/test_site.py::test"
    sure = Court(failed, failed, None)
    assert faults.noticed_by(None, sure, [one, two]) == failed and sure.asked == [2, 1, 1]
    assert faults.noticed_by(None, Court(None), [one, two]) is None
    once = Court("tests/test_faults.py::test", None, None)  # a busy machine: the rest is asked again
    assert faults.noticed_by(None, once, [one, two]) is None and once.asked == [2, 1, 1]
    with pytest.raises(SystemExit, match="test_site.py fails without a fault"):
        faults.noticed_by(None, Court(failed, failed, failed), [one, two])


@pytest.mark.slow
def test_a_court_sees_the_fault_in_a_notebook_above(tmp_path):
    """A copy with kernels of its own: a fault of a back room fails the face, and only with the fault."""
    [path] = faults.chosen_notebooks(["forest.fitted"])
    found = [fault for site in faults.list_faults(path).values() for fault in site]
    [fault] = [fault for fault in found if "importance * importance.sum()" in "".join(faults.change(fault))]
    with faults.opened_court(tmp_path / "court") as court:
        assert "08_forest.ipynb" in faults.noticed_by(fault, court, [faults.ROOT / "nbs/api/08_forest.ipynb"])
        wrong = court.environment | {faults.ADDRESS: "", "PYTHONPATH": str(faults.ROOT)}
        with pytest.raises(SystemExit, match="expected kernels with the package of"):
            faults.check_imports(faults.Court(court.folder, wrong))


def test_what_is_late_is_left_over(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "opened_court", lambda folder: nullcontext(Court()))
    [path] = faults.chosen_notebooks(["simplex"])
    one, two = faults.sample_faults([path], 2, 1)
    out, setting, answers = tmp_path / "faults.json", {"command": "faults", "code": "1"}, [None, "seen"]
    monkeypatch.setattr(faults, "noticed_by", lambda fault, *_: answers.pop(0) if fault == one else "seen")
    late = faults.Record(out, setting, 2, 0)
    for fault in (one, two):
        late.note(fault, ["nbs/api/01_simplex.ipynb"])
    faults.run_above([one, two], late, jobs=1)
    again = faults.Record(out, setting, 2, 1)
    assert again.left([one, two]) == [one, two] and again.passed(one) == ["nbs/api/01_simplex.ipynb"]
    assert faults.summary(again.results, 2)["caught_share"] == 0
    faults.run_above([one, two], again, jobs=1)  # each by its nearest files, then the first by the next
    assert [entry["fault"] for entry in again.results] == [two.name, one.name] and not again.under_way
    assert again.results[1]["by"] == "seen" and faults.summary(again.results, 2)["caught_share"] == 1
    assert faults.Record(out, setting, 2, 1).left([one, two]) == []


def test_what_is_argued_stands_in_its_notebook():
    notebooks = {
        faults.notebook_module(path): path for path in (faults.ROOT / "nbs" / "api").rglob("*.ipynb")
    }
    for entry in faults.read_argued():
        lines = [
            line
            for _, source in faults.read_cells(notebooks[entry["module"]])
            for line in source.splitlines()
        ]
        gone = [line[1:] for line in entry["change"] if line.startswith("-") and line[1:] not in lines]
        assert not gone and entry["why"] and isinstance(entry["same"], bool), (entry, gone)
