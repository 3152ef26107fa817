"""Records that quote a smoothness index are of today's estimator."""

import json
from pathlib import Path

import pytest

from mfoml_course.besov.measuring import ESTIMATOR

RECORDS = Path(__file__).resolve().parent.parent / "nbs" / "workshop" / "records"


def quotes_an_index(value) -> bool:
    """Whether some row of a record has an index."""
    if isinstance(value, dict):
        named = {"alpha", "estimate"} & set(value)
        return bool(named) or any(map(quotes_an_index, value.values()))
    return isinstance(value, list) and any(map(quotes_an_index, value))


QUOTING = [path for path in sorted(RECORDS.glob("*.json")) if quotes_an_index(json.loads(path.read_text()))]


@pytest.mark.parametrize("path", QUOTING, ids=lambda path: path.stem)
def test_a_record_is_of_todays_estimator(path):
    assert json.loads(path.read_text()).get("estimator") == ESTIMATOR


def test_an_index_is_found_wherever_it_stands():
    assert quotes_an_index({"rows": [{"name": 1, "estimate": {}}]}) and quotes_an_index([[{"alpha": None}]])
    assert not quotes_an_index({"rows": [{"beta": 1}], "alphabet": 2}) and len(QUOTING) >= 1
