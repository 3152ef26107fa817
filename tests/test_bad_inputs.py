"""No bad input of bad_inputs.py is answered in silence."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bad_inputs import main, spoilt_calls  # noqa: E402
from bad_places import main as spoil_places  # noqa: E402


FEW = 5  # answers that name neither the argument nor what was expected


def test_none_is_silent_and_few_are_obscure(tmp_path, capsys):
    code = main(["--out", str(tmp_path / "table.md")])
    said = capsys.readouterr().out
    assert code == 0 and said.count("obscure: ") <= FEW, said
    rows = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()[2:]
    assert len(rows) == len(spoilt_calls()) > 250


def test_the_page_of_the_campaign_shows_every_call():
    record = Path(__file__).resolve().parent.parent / "nbs" / "workshop" / "records" / "bad_inputs.json"
    rows = json.loads(record.read_text(encoding="utf-8"))["rows"]
    assert [(row["door"], row["argument"], row["kind"]) for row in rows] == [
        row[:3] for row in spoilt_calls()
    ]


@pytest.mark.slow
def test_a_run_folder_that_is_spoilt_is_never_read_in_silence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = spoil_places(["--out", str(tmp_path / "table.md")])
    said = capsys.readouterr().out
    assert code == 0 and " 0 silent, 0 obscure" in said, said
