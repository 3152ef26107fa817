"""The laws of laws.py: every case that once broke one, and a few new ones in each run."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from laws import LAWS, falsify, kept_cases, told, try_case  # noqa: E402


@pytest.mark.parametrize("row", kept_cases(), ids=lambda row: f"{row['law']}-{row['case']['draw']}")
def test_a_kept_case(row):
    try_case(row["law"], row["case"])


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_a_few_new_cases(name):
    """Three cases of each law, the same in every run; tests/laws.py tries thousands."""
    found = falsify(name, 0, 3)
    assert found is None, told(name, *found)


def test_kept_cases_are_of_laws_that_there_are():
    assert {row["law"] for row in kept_cases()} <= set(LAWS)
    assert all(json.dumps(row) for row in kept_cases())
