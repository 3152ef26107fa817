"""What the last release promised stands, unless version and changelog say that it was broken."""

import json
from pathlib import Path

from mfoml_course.course.cli import main
from mfoml_course.course.promises import PROMISES, broken_promises, describe

ROOT = Path(__file__).resolve().parent.parent


def unannounced(broken, promised, version, changes):
    """The broken promises that a version may not break, or that its changelog does not name."""
    before, after = ([int(part) for part in text.split(".")[:2]] for text in (promised, version))
    may_break = after[0] > before[0] or (before[0] == 0 and after > before)
    if not may_break:
        return broken
    return [
        text for text in broken if text.split(":")[0].split(" is gone")[0].rpartition(".")[2] not in changes
    ]


def test_what_a_version_may_break():
    broken = ["besov.old is gone", "trees.walk: default of n was 1, is 2"]
    assert unannounced(broken, "0.1.0", "0.1.1", "old walk") == broken
    assert unannounced(broken, "0.1.0", "0.2.0", "old walk") == []
    assert unannounced(broken, "0.1.0", "0.2.0", "walk") == broken[:1]
    assert unannounced(broken, "1.0.0", "1.1.0", "old walk") == broken
    assert unannounced(broken, "1.9.0", "2.0.0", "old walk") == []


def test_promises_are_kept():
    promised = json.loads((ROOT / PROMISES).read_text("utf-8"))
    now = describe(main)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert len(promised["names"]) > 100 and len(promised["commands"]) > 10
    broken = broken_promises(promised, now)
    assert unannounced(broken, promised["version"], now["version"], changes) == []
