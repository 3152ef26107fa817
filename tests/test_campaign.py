"""The scripts that attack the package count what they find."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import kills
import loads
from campaign import KEYS, row, write_rows

import mfoml_course.training


def test_a_row_replaces_the_one_of_its_command(tmp_path):
    file = tmp_path / "rows.json"
    one, other = (row("load", ["x.py", word], 1, 0, word, 2) for word in "ab")
    write_rows(file, [one])
    write_rows(file, [other])
    write_rows(file, [one | {"faults": 3}])
    assert json.loads(file.read_text()) == [other, one | {"faults": 3}] and set(one) == set(KEYS)


def test_what_differs_after_a_kill_is_a_fault():
    rows = [
        dict(subject="train", command="mfoml train", kills=[0.5, 0.7], differs=[], seconds=3),
        dict(subject="glue", command="mfoml glue", kills=[0.1], differs=["rows.jsonl"], seconds=4),
    ]
    found = kills.campaign_row(rows, 20, 7)
    assert (found["runs"], found["faults"], found["seconds"]) == (3, 1, 7)
    assert found["figure"].endswith("not equal: glue") and "--seed 7" in found["command"]


def test_files_that_say_something_else_differ(tmp_path):
    for name, loss, seconds in (("one", 0.5, 1), ("same", 0.5, 9), ("other", 0.25, 1)):
        (tmp_path / name).mkdir()
        told = {"loss": loss, "seconds": seconds, "place": str(tmp_path / name)}
        (tmp_path / name / "rows.jsonl").write_text(json.dumps(told) + "\n")
    one, same, other = (kills.contents(tmp_path / name) for name in ("one", "same", "other"))
    assert kills.differences(one, same) == [] and kills.differences(one, other) == ["rows.jsonl"]
    assert kills.differences(one, {}) == ["rows.jsonl"]


def test_a_log_that_lost_a_line_is_a_fault(monkeypatch):
    monkeypatch.setattr(loads, "N_LINES", 1000)
    assert loads.log(0)[:2] == (1, 0)
    read = mfoml_course.training.read_records
    monkeypatch.setattr("mfoml_course.training.read_records", lambda path: read(path).iloc[1:])
    assert loads.log(0)[:2] == (1, 1)
