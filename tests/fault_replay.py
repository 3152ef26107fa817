"""Run a notebook once, and from each cell with a fault on once more in a forked process: nothing is
imported twice.

    python tests/fault_replay.py TASK.json

TASK holds `cells` (sources in order), `faults` (name, number of its cell, source with the fault)
and `out`, the file for the answer: name -> how the fault was noticed, or null. It is what
tests/faults.py calls first.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

NOTHING = "without a fault"  # the name of the run that must pass


def is_left_out(source):
    """Whether the cell is not run by the tests."""
    return "NBVAL_SKIP" in source or any(
        line.replace(" ", "") == "#|eval:false" for line in source.splitlines()
    )


def run_cell(shell, source):
    """(what is wrong or None, what was printed and shown)."""
    with capture_output() as captured:
        result = shell.run_cell(source)
    error = result.error_before_exec or result.error_in_exec
    if "NBVAL_RAISES_EXCEPTION" in source:
        return (None if error else "nothing was raised"), ""
    shown = [output.data.get("text/plain", "") for output in captured.outputs]
    return (f"{type(error).__name__}: {error}"[:200] if error else None), captured.stdout + "".join(shown)


def run_cells(shell, cells, first, expected=None):
    """(first thing that is wrong or None, outputs of the cells from `first` on)."""
    outputs = []
    for number, source in enumerate(cells[first:], first):
        wrong, output = (None, "") if is_left_out(source) else run_cell(shell, source)
        if wrong is None and expected and "NBVAL_CHECK_OUTPUT" in source and output != expected[number]:
            wrong = "another output"
        if wrong:
            return f"cell {number}: {wrong}", outputs
        outputs.append(output)
    return None, outputs


def forked(work, seconds):
    """What `work` returns in a forked process; a text where it does not end."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        signal.alarm(int(seconds) + 10)  # an endless loop ends, also when nobody is left to stop it
        answer = work()
        os.write(write, json.dumps(answer).encode()[:60000])
        os._exit(0)
    os.close(write)
    ended, late = time.monotonic() + seconds, False
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if late := time.monotonic() > ended:
            break
        time.sleep(0.01)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # also the workers that the child left behind
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    return json.loads(answer) if answer else f"no end after {seconds:.0f} s" if late else "the process died"


def replay(task):
    """Name -> how the fault was noticed, or None."""
    cells, shell = task["cells"], InteractiveShell.instance()
    began = time.monotonic()
    kept = Path(task["out"]).with_suffix(".outputs")

    def once():
        wrong, outputs = run_cells(shell, cells, 0)
        kept.write_text(json.dumps(outputs), encoding="utf-8")
        return wrong

    noticed = {NOTHING: forked(once, 600)}
    if noticed[NOTHING]:
        return noticed
    seconds, expected = 20 + 3 * (time.monotonic() - began), json.loads(kept.read_text(encoding="utf-8"))
    faults = task["faults"] + [[NOTHING, min(number for _, number, _ in task["faults"]), None]]
    for number, source in enumerate(cells):
        for name, at, struck in faults:
            if at == number:
                changed = cells if struck is None else [*cells[:at], struck, *cells[at + 1 :]]
                noticed[name] = forked(lambda: run_cells(shell, changed, at, expected)[0], seconds)
        if not is_left_out(source):
            run_cell(shell, source)
    return noticed


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(task["out"]).write_text(json.dumps(replay(task)), encoding="utf-8")
