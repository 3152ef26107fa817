"""Run a notebook once, and once more in a forked process for each fault: nothing is imported twice.

    python tests/fault_replay.py TASK.json

TASK holds `cells` (sources in order), `faults` (name, number of its cell, source with the fault, text of
the module with the fault), `module` (its name), `above` (those whose import imports it), and `out`, the file
for the answer: name -> how the fault was noticed, or null. It is what tests/faults.py calls first.

A notebook's tests may reach its code by way of the module: a forest is asked, and it asks a back room. So
the fault must lie there too, as it would after an export. Where such modules are imported, every fork runs
the notebook from its first cell and reads the module with the fault in it. Elsewhere it goes on from the
cell with the fault.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from mfoml_course.course.forkserver import PRELOADED

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


class FaultyModule(SourceFileLoader):
    """One module, read with a fault in it."""

    def __init__(self, name, text):
        self.module, self.text = name, text

    def find_spec(self, name, path=None, target=None):
        """Where it is imported from, for this module alone."""
        if name != self.module:
            return None
        spec = PathFinder.find_spec(name, path)
        super().__init__(name, spec.origin)
        spec.loader = self
        return spec

    def get_code(self, fullname):
        """The code with the fault."""
        return compile(self.text, self.path, "exec", dont_inherit=True)


def run_clean(shell, task, kept):
    """What is wrong with the notebook without a fault; keeps its outputs and the names of what it imports."""
    wrong, outputs = run_cells(shell, task["cells"], 0)
    kept.write_text(json.dumps([outputs, list(sys.modules)]), encoding="utf-8")
    return wrong


def preload(loaded, above):
    """Import once what every run imports, but nothing that sees the fault."""
    ours = [name for name in loaded if name.startswith("mfoml_course.") and name not in above]
    for name in [*(name for name in PRELOADED if name in loaded), *ours]:
        with suppress(ImportError):
            import_module(name)


def from_the_start(shell, task, expected, seconds):
    """Name -> how the fault was noticed, with the fault in the module too."""

    def run(at, struck, text):
        cells = task["cells"]
        if struck is not None:
            sys.meta_path.insert(0, FaultyModule(task["module"], text))
            cells = [*cells[:at], struck, *cells[at + 1 :]]
        return run_cells(shell, cells, 0, expected)[0]

    faults = [*task["faults"], [NOTHING, 0, None, None]]
    return {name: forked(lambda: run(at, struck, text), seconds) for name, at, struck, text in faults}


def from_the_cell(shell, task, expected, seconds):
    """Name -> how the fault was noticed by the cells from its own on."""
    noticed, cells = {}, task["cells"]
    faults = task["faults"] + [[NOTHING, min(number for _, number, *_ in task["faults"]), None, None]]
    for number, source in enumerate(cells):
        for name, at, struck, _ in faults:
            if at == number:
                changed = cells if struck is None else [*cells[:at], struck, *cells[at + 1 :]]
                noticed[name] = forked(lambda: run_cells(shell, changed, at, expected)[0], seconds)
        if not is_left_out(source):
            run_cell(shell, source)
    return noticed


def replay(task):
    """Name -> how the fault was noticed, or None."""
    shell, began = InteractiveShell.instance(), time.monotonic()
    kept = Path(task["out"]).with_suffix(".outputs")
    if wrong := forked(lambda: run_clean(shell, task, kept), 600):
        return {NOTHING: wrong}
    seconds = 20 + 3 * (time.monotonic() - began)
    expected, loaded = json.loads(kept.read_text(encoding="utf-8"))
    if task["module"] not in loaded:
        return from_the_cell(shell, task, expected, seconds)
    preload(loaded, task["above"])
    if task["module"] in sys.modules:
        return {NOTHING: f"{task['module']} was imported before its fault"}
    return from_the_start(shell, task, expected, seconds)


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(task["out"]).write_text(json.dumps(replay(task)), encoding="utf-8")
