"""The package attacked by machine, and what came of it, as a record: by hand.

python tests/campaign.py [--add FILE.json ...] [--out FILE.json] asks scikit-learn's checks of both engines,
scikit-learn's own tests of forests and the table of bad inputs, and writes a row each: the command, how often
it attacked, what it found. What takes longer (laws, kills, load) is added from files with rows of the same
keys, made by the commands that they name. The page nbs/api/40_course/campaign.ipynb shows the
record, apart what was tried by hand: rows whose command is none.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mfoml_course.records.tables import write_table

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "nbs" / "workshop" / "records"
KEYS = ("line", "command", "runs", "faults", "figure", "seconds")


def run(*words):
    """What a command said, and its seconds; its code is not asked."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout, round(time.monotonic() - start)


def row(line, words, runs, faults, figure, seconds):
    """A row of the record."""
    return dict(zip(KEYS, (line, shlex.join(["python", *words]), runs, faults, figure, seconds)))


def write_rows(path, rows):
    """Rows added to a file; one of the same command is replaced."""
    new = {one["command"] for one in rows}
    kept = json.loads(path.read_text("utf-8")) if path.exists() else []
    rows = [*(one for one in kept if one["command"] not in new), *rows]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def estimator_checks():
    """scikit-learn's checks of an estimator, of both engines."""
    words = (
        "-m",
        "pytest",
        "-q",
        "-n0",
        "-p",
        "no:cacheprovider",
        "-m",
        "slow or not slow",
        "tests/test_estimators.py",
    )
    said, seconds = run(*words)
    count = {name: int(n) for n, name in (part.split()[:2] for part in said.splitlines()[-1].split(", "))}
    figure = f"{count['passed']} passed, {count.get('xfailed', 0)} expected to fail, with reasons in the file"
    return row("scikit-learn's checks", words, sum(count.values()), count.get("failed", 0), figure, seconds)


def own_suite():
    """scikit-learn's own tests of its forests."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "suite.json"
        words = "tests/sklearn_suite.py", "--out", str(out)
        _, seconds = run(*words)
        got = json.loads(out.read_text("utf-8"))
    figure = f"{got['passed']} passed, {got['not_applicable']} do not apply, by {len(got['reasons'])} reasons"
    runs = got["passed"] + got["not_applicable"] + len(got["failed"])
    return (
        row("scikit-learn's own tests", words[:1], runs, len(got["failed"]), figure, seconds) | got["reasons"]
    )


def bad_inputs():
    """The table of bad inputs, which is a record of its own."""
    words = "tests/bad_inputs.py", "--record", (RECORDS / "bad_inputs.json").relative_to(ROOT).as_posix()
    said, seconds = run(*words)
    last = said.splitlines()[-1]
    calls, silent = int(last.split()[0]), int(last.split(": ")[1].split()[0])
    return row("bad inputs", words, calls, silent, last, seconds)


def main(arguments=None):
    """Attack, and write what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--add", type=Path, action="append", default=[], help="a JSON file with rows")
    parser.add_argument("--out", type=Path, default=RECORDS / "campaign.json")
    options = parser.parse_args(arguments)
    suite = own_suite()
    reasons = [dict(reason=name, tests=n) for name, n in suite.items() if name not in KEYS]
    rows = [estimator_checks(), {name: suite[name] for name in KEYS}, bad_inputs()]
    for path in options.add:
        rows += [{name: given.get(name) for name in KEYS} for given in json.loads(path.read_text("utf-8"))]
    command = "python tests/campaign.py"
    about = dict(packages=("numpy", "scikit-learn", "hypothesis", "pytest"), about={"reasons": reasons})
    write_table(options.out, rows, command=command, settings={}, **about)
    print(
        *(f"{one['line']}: {one['runs']} runs, {one['faults']} faults: {one['figure']}" for one in rows),
        sep="\n",
    )
    return int(any(one["faults"] for one in rows))


if __name__ == "__main__":
    sys.exit(main())
