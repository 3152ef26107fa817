"""Make one deliberate fault at a time in the exported code and see whether a test notices.

    python tests/faults.py --sample 150 --seed 1 --out faults.json

A fault changes one comparison, sign, constant, default, index, condition, argument or refusal of an
api notebook. The notebook's own tests run first (all faults of a notebook in one process that
forks), then, in a copy of the checkout with the fault in cell and module, the notebooks above it,
nearest first, then tests/. The first failure ends the run, since the fault is caught. What survives is
listed with its change. In a broken harness everything looks caught, so a notebook must pass without a
fault first, and a file above it counts as a witness only where it fails twice with the fault and passes
without it. The same command goes on where it stopped, since FILE is written after every step; it stops
by itself after two hours (--hours).

Survivors that are known are explained in tests/faults_argued.json: those that change nothing
(`same`), which are tried on their own notebook only and counted apart, and the rest.
"""

import argparse
import ast
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from difflib import unified_diff
from functools import cache
from importlib.metadata import version
from pathlib import Path
from queue import Queue
from threading import Lock

import nbformat
import parso
import psutil
from cosmic_ray.ast import Visitor, get_ast, is_number
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider
from nbformat.v4 import new_code_cell, new_notebook

from fault_replay import NOTHING
from mfoml_course.course.forkserver import ADDRESS, running_server
from mfoml_course.course.testing import build_command, testing_environment

ROOT = Path(__file__).resolve().parent.parent
ARGUED = Path(__file__).with_name("faults_argued.json")
COPIED = ("settings.ini", "pyproject.toml", "setup.py", "README.md", "CITATION.cff", "environment.yml")
# The rooms of the mission: what they compute is what the course promises.
ROOMS = "simplex trees wavelets importance sparsity besov forest ncc collapse svsl probe".split()
# These look at files and machines, not at what the code computes: a fault is not theirs to judge.
ABOUT_FILES = """browser citations cli contributing devices export faults framing hub image imports kills
    notebooks numbers offline packaging projects promises requirements security site slides style trace
    workflows""".split()
AT_ONCE = 8  # files in one run of pytest: as many are tried again where a run was cut off
NO_TESTS = 5  # pytest's exit code where a file has none
SLOWEST = 120  # seconds that a run of pytest may take beyond a minute a file


# The faults


class ScaleNumber(Operator):
    """A number with a decimal point or an exponent, doubled and halved."""

    FACTORS = (2, 0.5)

    def mutation_positions(self, node):
        if (
            is_number(node)
            and re.search(r"[.eE]", node.value)
            and not node.value.startswith("0x")
            and float(node.value)
        ):
            yield from [(node.start_pos, node.end_pos)] * len(self.FACTORS)

    def mutate(self, node, index):
        return parso.python.tree.Number(
            repr(float(node.value) * self.FACTORS[index]), node.start_pos, node.prefix
        )

    @classmethod
    def examples(cls):
        return ()


class StepNumber(OperatorProvider()["NumberReplacer"]):
    """A whole number, one more and one less."""

    def mutation_positions(self, node):
        if is_number(node) and node.value.isdigit():
            yield from super().mutation_positions(node)


class DropArgument(Operator):
    """A keyword argument of a call, left out: the callee's default holds."""

    def mutation_positions(self, node):
        if node.type == "argument" and node.children[1] == "=":
            yield (node.start_pos, node.end_pos)

    def mutate(self, node, index):
        return parso.python.tree.Name("**{}", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls):
        return ()


class DropRefusal(Operator):
    """An error that is not raised."""

    def mutation_positions(self, node):
        if node.type == "raise_stmt":
            yield (node.start_pos, node.end_pos)

    def mutate(self, node, index):
        return parso.python.tree.Name("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls):
        return ()


# kind of fault -> operators; where the library has many replacements, those that a slip of the hand makes
_COMPARISONS = "Lt_LtE Lt_Gt LtE_Lt LtE_GtE Gt_GtE Gt_Lt GtE_Gt GtE_LtE Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is"
_BINARY = "Add_Sub Sub_Add Mul_Div Div_Mul Pow_Mul FloorDiv_Mul Mod_Mul BitAnd_BitOr BitOr_BitAnd"
_UNARY = "USub_UAdd Delete_Invert Delete_Not"
_LIBRARY = {
    "comparison": [f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS.split()],
    "sign": [
        *(f"ReplaceBinaryOperator_{name}" for name in _BINARY.split()),
        *(f"ReplaceUnaryOperator_{name}" for name in _UNARY.split()),
    ],
    "condition": "AddNot ReplaceAndWithOr ReplaceOrWithAnd ReplaceTrueWithFalse ReplaceFalseWithTrue".split(),
}
OPERATORS = {
    **{kind: [OperatorProvider()[name] for name in names] for kind, names in _LIBRARY.items()},
    "constant": [StepNumber, ScaleNumber],
    "argument": [DropArgument],
    "refusal": [DropRefusal],
}


class _Positions(Visitor):
    """Where an operator can strike, in the order in which its occurrences are counted."""

    def __init__(self, operator):
        self.operator, self.found = operator, []

    def visit(self, node):
        self.found += [start for start, _ in self.operator.mutation_positions(node)]
        return node


def annotation_lines(source):
    """The (line, column) spans of annotations: a fault there changes nothing that runs."""
    trees = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.arg | ast.AnnAssign | ast.FunctionDef)
    ]
    hints = [getattr(node, "annotation", None) or getattr(node, "returns", None) for node in trees]
    return [
        ((hint.lineno, hint.col_offset), (hint.end_lineno, hint.end_col_offset)) for hint in hints if hint
    ]


@dataclass(frozen=True)
class Fault:
    """One change of one exported cell."""

    notebook: str  # path under nbs/
    cell: str  # id of the cell
    kind: str
    operator: type
    occurrence: int

    def strike(self, source):
        """The source with this fault in it."""
        return mutate_code(source, self.operator(), self.occurrence)

    @property
    def name(self):
        """What the record calls it."""
        return f"{self.notebook}#{self.cell} {self.operator.__name__} {self.occurrence}"


def read_cells(path):
    """(id, source) of each code cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["id"], "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]


def is_exported(source):
    """Whether the cell goes into the module."""
    return re.search(r"^#\s*\|\s*exporti?\b", source, re.MULTILINE) is not None


def is_bare_star(source, start):
    """Whether the star at (line, column) only marks the keyword-only parameters of a signature."""
    line, column = start
    return re.match(r"\*\s*,", source.splitlines()[line - 1][column:]) is not None


def compiles(source):
    """Whether Python reads it: what it refuses, no test has to notice."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def cell_faults(notebook, cell, source):
    """The faults that can be made in a cell, by site: (cell, line, column, kind) -> faults."""
    sites, hints, tree = {}, annotation_lines(source), get_ast(source)
    for kind, operators in OPERATORS.items():
        for operator in operators:
            visitor = _Positions(operator())
            visitor.walk(tree)
            for occurrence, start in enumerate(visitor.found):
                hinted = any(low <= start < high for low, high in hints)
                fault = Fault(notebook, cell, kind, operator, occurrence)
                if not hinted and not is_bare_star(source, start):
                    sites.setdefault((cell, *start, kind), []).append(fault)
    return sites


def list_faults(path):
    """The faults that can be made in a notebook, by site."""
    notebook = path.relative_to(ROOT / "nbs").as_posix()
    exported = [(cell, source) for cell, source in read_cells(path) if is_exported(source)]
    return {
        site: faults
        for cell, source in exported
        for site, faults in cell_faults(notebook, cell, source).items()
    }


def sample_faults(paths, size, seed):
    """At most `size` sites of the notebooks, drawn without replacement, and one fault at each."""
    sites = [faults for path in paths for faults in list_faults(path).values()]
    sources = {path.relative_to(ROOT / "nbs").as_posix(): dict(read_cells(path)) for path in paths}
    draw, drawn = random.Random(seed), []
    for faults in draw.sample(sites, len(sites)):
        if len(drawn) == size:
            break
        read = [fault for fault in faults if compiles(fault.strike(sources[fault.notebook][fault.cell]))]
        drawn += [draw.choice(read)] if read else []
    return drawn


def chosen_notebooks(names):
    """The api notebooks of the named modules, a room with its back rooms; KeyError where there is none."""
    notebooks = {notebook_module(path): path for path in sorted((ROOT / "nbs" / "api").rglob("*.ipynb"))}
    chosen = {
        name: [path for module, path in notebooks.items() if f"{module}.".startswith(f"{name}.")]
        for name in names
    }
    if unknown := [name for name, paths in chosen.items() if not paths]:
        raise KeyError(f"no api notebook exports {', '.join(unknown)}")
    return [path for paths in chosen.values() for path in paths]


# What stands above a notebook


@cache
def notebook_module(path):
    """The module that a notebook exports, below the package, or None."""
    for _, source in read_cells(path):
        if found := re.search(r"^#\s*\|\s*default_exp\s+(\S+)", source, re.MULTILINE):
            return found[1].removesuffix(".__init__")
    return None


@cache
def imported_modules(path, exported_only):
    """The package's modules that a notebook imports, below the package."""
    sources = [source for _, source in read_cells(path) if is_exported(source) or not exported_only]
    found = re.findall(r"^\s*from mfoml_course\.([\w.]+) import", "\n".join(sources), re.MULTILINE)
    found += re.findall(r"^\s*import mfoml_course\.([\w.]+)", "\n".join(sources), re.MULTILINE)
    return frozenset(found)


def used_modules(path, with_faces):
    """The package's modules that the module of a notebook imports."""
    found = imported_modules(path, True)
    own = {notebook_module(path)} if with_faces else set()
    return found | {name.rpartition(".")[0] for name in found | own} if with_faces else found


@cache
def modules_above(path, *, with_faces=False):
    """Module -> how many imports it is away from the one that a notebook exports, itself at 0.

    With faces, all that load it: whoever imports a back room imports its face too, needed or not."""
    exporting = {notebook_module(other): other for other in sorted((ROOT / "nbs").rglob("*.ipynb"))}
    exporting.pop(None, None)
    away, newest = {notebook_module(path): 0}, {notebook_module(path)}
    while newest:
        newest = {
            name
            for name, other in exporting.items()
            if name not in away and used_modules(other, with_faces) & newest
        }
        away |= dict.fromkeys(newest, max(away.values()) + 1)
    return away


def notebooks_above(path):
    """The notebooks that import what this one exports, also by way of others: those of its room, then the
    nearest, then the workshop and the start page."""
    away, room = modules_above(path), notebook_module(path).split(".")[0]
    order = {"api": 0, "workshop": 1}
    keys = {}
    for other in sorted((ROOT / "nbs").rglob("*.ipynb")):
        used = imported_modules(other, False) & away.keys()
        if other != path and used and "exercises" not in other.parts:
            same = (notebook_module(other) or "").split(".")[0] == room
            part = order.get(other.relative_to(ROOT / "nbs").parts[0], 2)
            keys[other] = (part, not same, min(away[name] for name in used), other)
    return sorted(keys, key=keys.get)


def tests_above(path):
    """The files of tests/ that name a module above a notebook and look at what the code computes."""
    away, chosen = modules_above(path), []
    for test in sorted((ROOT / "tests").glob("test_*.py")):
        text = test.read_text(encoding="utf-8")
        named = re.findall(r"mfoml_course(?:\.|\s+import\s+)([\w.]+)", text)
        used = any(f"{name}.".startswith(f"{module}.") for name in named for module in away)
        if used and test.stem.removeprefix("test_") not in ABOUT_FILES:
            chosen.append(test)
    return chosen


# One run


def copy_checkout(folder):
    """A copy of what the tests need."""
    for name in ("nbs", "mfoml_course", "tests"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
    for name in COPIED:
        shutil.copy(ROOT / name, folder / name)


def module_file(path):
    """The module's file that a notebook exports, below the checkout."""
    module = ROOT / "mfoml_course" / notebook_module(path).replace(".", "/")
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    return file.relative_to(ROOT)


def faulty_module(fault):
    """Text of the module with the fault."""
    text = (ROOT / module_file(ROOT / "nbs" / fault.notebook)).read_text(encoding="utf-8")
    head, *parts = re.split(r"^(# %% \S+ #\w+\n)", text, flags=re.MULTILINE)
    struck = [
        mark + (fault.strike(part) if mark.endswith(f"#{fault.cell}\n") else part)
        for mark, part in zip(parts[::2], parts[1::2])
    ]
    return head + "".join(struck)


def faulty_files(fault):
    """File below the checkout -> text with the fault, for the notebook and its module."""
    path = ROOT / "nbs" / fault.notebook
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["id"] == fault.cell:
            cell["source"] = fault.strike("".join(cell["source"])).splitlines(True)
    return {path.relative_to(ROOT): json.dumps(notebook), module_file(path): faulty_module(fault)}


def changed_lines(before, after):
    """The lines that differ, as a reader wants to see them."""
    lines = unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def change(fault):
    """The lines that a fault changes."""
    source = dict(read_cells(ROOT / "nbs" / fault.notebook))[fault.cell]
    return changed_lines(source, fault.strike(source))


@dataclass(frozen=True)
class Court:
    """A copy of the checkout in which a fault is judged, with a server for its kernels."""

    folder: Path
    environment: dict

    def run(self, paths):
        """The first failure of pytest on the files, None where all pass."""
        names = [str(path.relative_to(ROOT)) for path in paths]
        command = build_command(self.folder, ["-n0", "-x", "-q", "--color=no", "--no-header", *names])
        code, output = self._run(command, SLOWEST + 60 * len(paths))
        if code not in (None, 0, 1, 2, NO_TESTS):
            raise RuntimeError(f"pytest could not run {names}:\n{output[-3000:]}")
        failed = re.search(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE)
        return None if code in (0, NO_TESTS) else (failed[1] if failed else output)[-200:]

    def _run(self, command, seconds):
        """(exit code or None when time ran out, output) of a command in the copy."""
        options = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, **options)
        try:
            output, _ = process.communicate(timeout=seconds)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            return None, f"no end after {seconds} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._end_kernels()

    def _end_kernels(self):
        """End the kernels that a run left behind: in an endless loop they hear nobody."""
        for server in psutil.Process().children():
            with suppress(psutil.Error):
                if self.environment[ADDRESS] and self.environment[ADDRESS] in " ".join(server.cmdline()):
                    for kernel in server.children(recursive=True):
                        kernel.kill()


def check_imports(court):
    """Raise SystemExit unless a kernel imports the copy's package: another one has no fault."""
    code = f"import mfoml_course\nassert mfoml_course.__file__.startswith({str(court.folder)!r})"
    path = court.folder / "nbs" / "where.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    if failed := court.run([ROOT / "nbs" / "where.ipynb"]):
        raise SystemExit(f"expected kernels with the package of {court.folder}: {failed}")
    path.unlink()


@contextmanager
def opened_court(folder):
    """A court in a folder that is made for it."""
    (folder / "rest").mkdir(parents=True)
    copy_checkout(folder / "copy")
    environment = testing_environment(folder / "rest") | {"OMP_NUM_THREADS": "1"}
    first, *others = environment["PYTHONPATH"].split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join([first, str(folder / "copy"), *others])
    forks = hasattr(os, "fork")
    server = environment | {"PYTHONSAFEPATH": "1"}  # else it imports the package of the folder that we are in
    with running_server(str(folder / "rest"), server) if forks else nullcontext("") as address:
        court = Court(folder / "copy", environment | {ADDRESS: address})
        check_imports(court)
        yield court


def replay(path, faults):
    """Fault -> how the notebook's own tests noticed it, or None."""
    cells = read_cells(path)
    numbers = {cell: number for number, (cell, _) in enumerate(cells)}
    module = notebook_module(path)
    struck = [
        (
            fault.name,
            numbers[fault.cell],
            fault.strike(cells[numbers[fault.cell]][1]),
            faulty_module(fault) if module else "",
        )
        for fault in faults
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as rest:
        task = {
            "cells": [source for _, source in cells],
            "faults": struck,
            "module": f"mfoml_course.{module}",
            "above": [f"mfoml_course.{name}" for name in modules_above(path, with_faces=True)],
            "out": str(Path(rest, "noticed.json")),
        }
        Path(rest, "task.json").write_text(json.dumps(task), encoding="utf-8")
        environment = testing_environment(rest) | {"OMP_NUM_THREADS": "1"}
        command = [
            sys.executable,
            str(Path(__file__).with_name("fault_replay.py")),
            str(Path(rest, "task.json")),
        ]
        done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{path.name} could not be replayed:\n{done.stderr[-3000:]}")
        noticed = json.loads(Path(task["out"]).read_text(encoding="utf-8"))
    if noticed[NOTHING]:
        raise SystemExit(f"{path.name} fails without a fault: {noticed[NOTHING]}")
    return {fault: noticed[fault.name] for fault in faults}


@contextmanager
def struck(fault, court):
    """The copy with the fault in it."""
    files = faulty_files(fault)
    try:
        for file, text in files.items():
            (court.folder / file).write_text(text, encoding="utf-8")
        yield
    finally:
        for file in files:
            shutil.copy(ROOT / file, court.folder / file)


def noticed_by(fault, court, files):
    """The failure of one of the files with the fault, seen twice and not without it; None: there is none."""
    with struck(fault, court):
        failed = court.run(files)
    if failed is None:
        return None
    named = [place for place, file in enumerate(files) if file.relative_to(ROOT).as_posix() in failed]
    for file in files[named[0] if named else 0 :]:
        with struck(fault, court):
            failed = court.run([file])
        if failed:
            if wrong := court.run([file]):
                raise SystemExit(f"{file.relative_to(ROOT)} fails without a fault: {wrong}")
            return failed
    return None


def judge_above(fault, court, record):
    """Try a fault on the next few files of those above that it has not passed: notebooks, then tests/."""
    path, passed = ROOT / "nbs" / fault.notebook, record.passed(fault)
    files = [*notebooks_above(path), *tests_above(path)]
    left = [file for file in files if file.relative_to(ROOT).as_posix() not in passed]
    failed = noticed_by(fault, court, left[:AT_ONCE]) if left else None
    if failed or len(left) <= AT_ONCE:
        record.add(fault, failed, "above")
    else:
        record.note(fault, [file.relative_to(ROOT).as_posix() for file in left[:AT_ONCE]])


# The record


def explained(entry, argued):
    """What is known of a survivor: its entry in faults_argued.json, found by notebook's module and change."""
    module = notebook_module(ROOT / "nbs" / entry["fault"].split("#")[0])
    return next(
        (known for known in argued if known["module"] == module and known["change"] == entry["change"]), None
    )


def why_of(entry, argued):
    """What is known of a fault that no test has noticed."""
    return (explained(entry, argued) or {}).get("why", "not explained yet")


def read_argued():
    """What is known of survivors."""
    return json.loads(ARGUED.read_text(encoding="utf-8")) if ARGUED.exists() else []


def changes_nothing(fault, argued):
    """Whether it is argued that the fault changes nothing."""
    known = explained({"fault": fault.name, "change": change(fault)}, argued)
    return known is not None and known["same"]


def summary(results, n_drawn):
    """Counts and the list of survivors with what is known of them; what is left over counts as not caught."""
    argued = read_argued()
    left = [dict(entry) for entry in results if not entry["caught"]]
    for entry in left:
        known = explained(entry, argued) or {}
        entry.update(same=known.get("same", False), why=why_of(entry, argued))
    same = sum(entry["same"] for entry in left)
    caught = sum(entry["caught"] for entry in results)
    return {
        "faults": n_drawn,
        "left_over": n_drawn - len(results),
        "caught": caught,
        "caught_by_own_tests": sum(entry["caught"] and entry["stage"] == "own" for entry in results),
        "change_nothing": same,
        "survived": len(left) - same,
        "caught_share": round(caught / max(1, n_drawn - same), 3),
        "survivors": left,
    }


def write_record(out, setting, results, n_drawn, under_way=()):
    """Write the record whole."""
    record = {
        **setting,
        **summary(results, n_drawn),
        "by_kind": dict(Counter(entry["kind"] for entry in results)),
        "results": results,
    }
    if under_way:
        argued = read_argued()
        record["under_way"] = [dict(entry, why=why_of(entry, argued)) for entry in under_way]
    fresh = out.with_name(out.name + ".tmp")
    fresh.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(fresh, out)


def read_results(out, setting):
    """The entries of an earlier run with the same settings, and what faults under way have passed."""
    if not out.exists():
        return [], {}
    record = json.loads(out.read_text(encoding="utf-8"))
    if any(record[key] != setting[key] for key in ("command", "code")):
        raise SystemExit(
            f"{out} holds another run ({record['command']}, code {record['code']}): name a new file"
        )
    return record["results"], {entry["fault"]: entry for entry in record.get("under_way", ())}


def code_state():
    """Commit, and whether files differ from it."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "nbs", "mfoml_course"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    return f"{commit}{' with changes' if changed else ''}"


def tell(entry, number, total):
    """Print a fault's result, a survivor with its change."""
    print(
        f"{number:>4}/{total}  {'caught  ' if entry['caught'] else 'SURVIVED'}  {entry['fault']}", flush=True
    )
    for line in entry["change"] if not entry["caught"] else ():
        print(f"           {line}", flush=True)


class Record:
    """The results as they come in, kept in a file after each step, until it is late."""

    def __init__(self, out, setting, total, hours):
        self.out, self.setting, self.total = out, setting, total
        self.results, self.under_way = read_results(out, setting)
        self.end, self.lock = time.monotonic() + 3600 * hours, Lock()

    def stop(self, *_):
        """End what runs: a server and its kernels would outlive this process."""
        self.end = 0
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        sys.exit("ended; the same command goes on")

    def is_late(self):
        """Whether no more may be begun."""
        return time.monotonic() > self.end

    def write(self):
        """Write the file."""
        write_record(self.out, self.setting, self.results, self.total, self.under_way.values())

    def add(self, fault, noticed, stage):
        """Keep one fault's result, without the names of this machine's temporary files."""
        noticed = noticed and re.sub(re.escape(tempfile.gettempdir()) + r"[^\s']*", "...", noticed)
        entry = dict(fault=fault.name, kind=fault.kind, change=change(fault))
        entry |= dict(caught=noticed is not None, stage=stage, by=noticed)
        with self.lock:
            self.under_way.pop(fault.name, None)
            self.results.append(entry)
            self.write()
            tell(entry, len(self.results), self.total)

    def note(self, fault, passed):
        """Keep which files did not notice a fault."""
        with self.lock:
            new = dict(fault=fault.name, kind=fault.kind, change=change(fault), passed=[])
            self.under_way.setdefault(fault.name, new)["passed"].extend(passed)
            self.write()

    def passed(self, fault):
        """The files that did not notice a fault."""
        return self.under_way.get(fault.name, {}).get("passed", ())

    def left(self, faults):
        """The faults without a result."""
        known = {entry["fault"] for entry in self.results}
        return [fault for fault in faults if fault.name not in known]


def by_notebook(faults):
    """Notebook -> its faults."""
    groups = {}
    for fault in faults:
        groups.setdefault(ROOT / "nbs" / fault.notebook, []).append(fault)
    return groups


def run_own(faults, record, *, jobs, last):
    """Try the faults on their own notebooks; those unseen are noted, or kept in the last stage."""
    groups, argued = by_notebook(faults), read_argued()

    def work(path):
        return {} if record.is_late() else replay(path, groups[path])

    with ThreadPoolExecutor(jobs) as pool:
        for noticed in pool.map(work, groups):
            for fault, how in noticed.items():
                if how or last or changes_nothing(fault, argued):
                    record.add(fault, how, "own")
                else:
                    record.note(fault, [f"nbs/{fault.notebook}"])


def run_above(faults, record, *, jobs):
    """Try the faults on the notebooks above and on tests/."""
    if not faults or record.is_late():
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, ExitStack() as opened:
        free = Queue()
        for number in range(min(jobs, len(faults))):
            free.put(opened.enter_context(opened_court(Path(scratch, str(number)))))

        def work(fault):
            court = free.get()
            try:
                if not record.is_late():
                    judge_above(fault, court, record)
            finally:
                free.put(court)

        with ThreadPoolExecutor(jobs) as pool:
            while faults and not record.is_late():  # all by their nearest files, then by the next
                list(pool.map(work, faults))
                faults = record.left(faults)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=150, help="how many faults")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--out", type=Path, required=True, help="the record, a JSON file")
    parser.add_argument(
        "--rooms", nargs="+", default=ROOMS, metavar="MODULE", help="modules to make faults in"
    )
    parser.add_argument(
        "--own", action="store_true", help="run only the notebook's own tests: quick, while writing them"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults tried at once")
    parser.add_argument(
        "--hours", type=float, default=2, help="nothing is begun later; the rest is left over"
    )
    given = parser.parse_args()
    try:
        notebooks = chosen_notebooks(given.rooms)
    except KeyError as error:
        parser.error(error.args[0])
    faults = sample_faults(notebooks, given.sample, given.seed)
    command = f"python tests/faults.py --sample {given.sample} --seed {given.seed}" + (
        " --own" if given.own else ""
    )
    command += f" --rooms {' '.join(given.rooms)}" if given.rooms != ROOMS else ""
    setting = {
        "command": command,
        "code": code_state(),
        "python": platform.python_version(),
        "cosmic_ray": version("cosmic-ray"),
    }
    record = Record(given.out, setting, len(faults), given.hours)
    signal.signal(signal.SIGTERM, record.stop)
    new = [fault for fault in record.left(faults) if not record.passed(fault)]
    run_own(new, record, jobs=given.jobs, last=given.own)
    run_above([fault for fault in record.left(faults) if record.passed(fault)], record, jobs=given.jobs)
    record.write()
    counts = summary(record.results, len(faults))
    names = "faults caught caught_by_own_tests change_nothing survived left_over caught_share".split()
    print({key: counts[key] for key in names})


if __name__ == "__main__":
    sys.exit(main())
