"""Make one deliberate fault at a time in the exported code and see whether a test notices.

    python tests/faults.py --sample 150 --seed 1 --out faults.json

A fault changes one comparison, sign, constant, default, index, condition, argument or refusal of an
api notebook. The notebook's own tests run first (all faults of a notebook in one process that
forks), then, in a copy of the checkout with the fault in cell and module, the notebooks above it,
then tests/. The first failure ends the run, since the fault is caught. What survives is listed with
its change. The same command goes on where it stopped, since FILE is written after every fault. A
run without a fault must pass first: in a broken harness everything looks caught.

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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from functools import cache
from importlib.metadata import version
from pathlib import Path
from queue import Queue

import parso
from cosmic_ray.ast import Visitor, get_ast, is_number
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider

from fault_replay import NOTHING
from mfoml_course.course.testing import build_command, testing_environment

ROOT = Path(__file__).resolve().parent.parent
ARGUED = Path(__file__).with_name("faults_argued.json")
COPIED = ("settings.ini", "pyproject.toml", "setup.py", "README.md", "CITATION.cff", "environment.yml")
# The rooms of the mission: what they compute is what the course promises.
ROOMS = "simplex trees wavelets importance sparsity besov forest ncc collapse svsl probe".split()
# These look at files, not at what the code computes: a copy with a fault is not theirs to judge.
ABOUT_FILES = """browser cli contributing export faults imports notebooks offline packaging requirements site
    style""".split()
SLOWEST = 300  # seconds that the tests may take beyond what they take without a fault


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
    sites, hints = {}, annotation_lines(source)
    for kind, operators in OPERATORS.items():
        for operator in operators:
            visitor = _Positions(operator())
            visitor.walk(get_ast(source))
            for occurrence, start in enumerate(visitor.found):
                hinted = any(low <= start < high for low, high in hints)
                fault = Fault(notebook, cell, kind, operator, occurrence)
                if not hinted and not is_bare_star(source, start) and compiles(fault.strike(source)):
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
    draw = random.Random(seed)
    return [draw.choice(faults) for faults in draw.sample(sites, min(size, len(sites)))]


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


def notebooks_above(path):
    """The notebooks that import what this one exports, also by way of others: api, workshop, start page."""
    everything = sorted((ROOT / "nbs").rglob("*.ipynb"))
    exporting = {notebook_module(other): other for other in everything if notebook_module(other)}
    affected, grown = {notebook_module(path)}, True
    while grown:
        more = {
            name for name, other in exporting.items() if imported_modules(other, True) & affected
        } - affected
        affected, grown = affected | more, bool(more)
    above = [other for other in everything if other != path and imported_modules(other, False) & affected]
    order = {"api": 0, "workshop": 1}
    return sorted(above, key=lambda other: (order.get(other.relative_to(ROOT / "nbs").parts[0], 2), other))


def other_tests():
    """The files of tests/ that look at what the code computes."""
    return [
        path
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        if path.stem.removeprefix("test_") not in ABOUT_FILES
    ]


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


def faulty_files(fault):
    """File below the checkout -> text with the fault, for the notebook and its module."""
    path = ROOT / "nbs" / fault.notebook
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["id"] == fault.cell:
            cell["source"] = fault.strike("".join(cell["source"])).splitlines(True)
    file = module_file(path)
    head, *parts = re.split(
        r"^(# %% \S+ #\w+\n)", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    chunks = list(zip(parts[::2], parts[1::2]))
    struck = [
        mark + (fault.strike(text) if mark.endswith(f"#{fault.cell}\n") else text) for mark, text in chunks
    ]
    return {path.relative_to(ROOT): json.dumps(notebook), file: head + "".join(struck)}


def changed_lines(before, after):
    """The lines that differ, as a reader wants to see them."""
    lines = unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def change(fault):
    """The lines that a fault changes."""
    source = dict(read_cells(ROOT / "nbs" / fault.notebook))[fault.cell]
    return changed_lines(source, fault.strike(source))


def run_pytest(folder, paths, seconds):
    """(exit code or None when time ran out, first failure) of pytest on the files of a copy."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as rest:
        environment = testing_environment(rest) | {"OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(folder)])
        names = [str(path.relative_to(ROOT)) for path in paths]
        command = build_command(folder, ["-n0", "-x", "-q", "--color=no", "--no-header", *names])
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, f"no end after {seconds:.0f} s"
    failed = re.search(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE)
    if process.returncode not in (0, 1, 2):
        raise RuntimeError(f"pytest could not run {names}:\n{output[-3000:]}")
    return process.returncode, failed[1][:200] if failed else output[-500:] if process.returncode else ""


def replay(path, faults):
    """Fault -> how the notebook's own tests noticed it, or None."""
    cells = read_cells(path)
    numbers = {cell: number for number, (cell, _) in enumerate(cells)}
    struck = [
        (fault.name, numbers[fault.cell], fault.strike(cells[numbers[fault.cell]][1])) for fault in faults
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as rest:
        task = {
            "cells": [source for _, source in cells],
            "faults": struck,
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


def judge_above(fault, folder):
    """How the notebooks above or tests/ noticed the fault, in a copy of the checkout; None: they did not."""
    files, path = faulty_files(fault), ROOT / "nbs" / fault.notebook
    try:
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        for paths in filter(None, ([path], notebooks_above(path), other_tests())):
            code, failed = run_pytest(folder, paths, SLOWEST + 60 * len(paths))
            if code != 0:
                return failed
    finally:
        for file in files:
            shutil.copy(ROOT / file, folder / file)


def check_without_fault(folders, paths):
    """Raise where the tests fail without a fault."""
    files = sorted({*other_tests(), *(other for path in paths for other in (path, *notebooks_above(path)))})
    shares = [files[start :: len(folders)] for start in range(len(folders))]
    with ThreadPoolExecutor(len(folders)) as pool:
        runs = [
            pool.submit(run_pytest, folder, share, 3600) for folder, share in zip(folders, shares) if share
        ]
    for run in runs:
        code, failed = run.result()
        if code != 0:
            raise SystemExit(f"the tests fail without a fault: {failed}")


# The record


def explained(entry, argued):
    """What is known of a survivor: its entry in faults_argued.json, found by notebook's module and change."""
    module = notebook_module(ROOT / "nbs" / entry["fault"].split("#")[0])
    return next(
        (known for known in argued if known["module"] == module and known["change"] == entry["change"]), None
    )


def read_argued():
    """What is known of survivors."""
    return json.loads(ARGUED.read_text(encoding="utf-8")) if ARGUED.exists() else []


def changes_nothing(fault, argued):
    """Whether it is argued that the fault changes nothing."""
    known = explained({"fault": fault.name, "change": change(fault)}, argued)
    return known is not None and known["same"]


def summary(results):
    """Counts and the list of survivors with what is known of them."""
    argued = read_argued()
    left = [dict(entry) for entry in results if not entry["caught"]]
    for entry in left:
        known = explained(entry, argued) or {}
        entry.update(same=known.get("same", False), why=known.get("why", "not explained yet"))
    same = sum(entry["same"] for entry in left)
    caught = sum(entry["caught"] for entry in results)
    return {
        "faults": len(results),
        "caught": caught,
        "change_nothing": same,
        "survived": len(left) - same,
        "caught_share": round(caught / max(1, len(results) - same), 3),
        "survivors": left,
    }


def write_record(out, setting, results):
    """Write the record whole."""
    record = {
        **setting,
        **summary(results),
        "by_kind": dict(Counter(entry["kind"] for entry in results)),
        "results": results,
    }
    fresh = out.with_name(out.name + ".tmp")
    fresh.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(fresh, out)


def read_results(out, setting):
    """The entries of an earlier run with the same settings."""
    if not out.exists():
        return []
    record = json.loads(out.read_text(encoding="utf-8"))
    if any(record[key] != setting[key] for key in ("command", "code")):
        raise SystemExit(
            f"{out} holds another run ({record['command']}, code {record['code']}): name a new file"
        )
    return record["results"]


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
    """The results as they come in, kept in a file after each."""

    def __init__(self, out, setting, total):
        self.out, self.setting, self.total = out, setting, total
        self.results = read_results(out, setting)

    def add(self, fault, noticed):
        """Keep one fault's result, without the names of this machine's temporary files."""
        noticed = noticed and re.sub(re.escape(tempfile.gettempdir()) + r"[^\s']*", "...", noticed)
        entry = {
            "fault": fault.name,
            "kind": fault.kind,
            "change": change(fault),
            "caught": noticed is not None,
            "by": noticed,
        }
        self.results.append(entry)
        write_record(self.out, self.setting, self.results)
        tell(entry, len(self.results), self.total)

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
    """Try the faults on their own notebooks; gives those unseen, or keeps them in the last stage."""
    groups, survivors, argued = by_notebook(faults), [], read_argued()
    with ThreadPoolExecutor(jobs) as pool:
        for noticed in pool.map(replay, groups, groups.values()):
            for fault, how in noticed.items():
                if how or last or changes_nothing(fault, argued):
                    record.add(fault, how)
                else:
                    survivors.append(fault)
    return survivors


def run_above(faults, record, *, jobs):
    """Try the faults on the notebooks above and on tests/."""
    if not faults:
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        copies, free = [Path(scratch) / str(number) for number in range(jobs)], Queue()
        for folder in copies:
            copy_checkout(folder)
            free.put(folder)
        check_without_fault(copies, list(by_notebook(faults)))

        def work(fault):
            folder = free.get()
            try:
                return judge_above(fault, folder)
            finally:
                free.put(folder)

        with ThreadPoolExecutor(jobs) as pool:
            for fault, noticed in zip(faults, pool.map(work, faults)):
                record.add(fault, noticed)


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
    record = Record(given.out, setting, len(faults))
    survivors = run_own(record.left(faults), record, jobs=given.jobs, last=given.own)
    run_above(survivors, record, jobs=given.jobs)
    write_record(given.out, setting, record.results)
    counts = summary(record.results)
    print({key: counts[key] for key in ("faults", "caught", "change_nothing", "survived", "caught_share")})


if __name__ == "__main__":
    sys.exit(main())
