"""No bad input of bad_inputs.py is answered in silence."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bad_inputs import main, spoilt_calls  # noqa: E402


def test_none_is_silent(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "table.md")]) == 0, capsys.readouterr().out
    rows = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()[2:]
    assert len(rows) == len(spoilt_calls()) > 250
