"""Every public function and class of the library has an example that is run: a notebook's cell calls it."""

import ast
import json
import re
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# What no cell calls by its name, and why that is so.
KERNEL = "compiled together with the kernel above it, which the cells call: alone it costs a compilation"
PARTS = "its call on dask arrays is that of the forest's own methods, which the cells make"
INSIDE = "what the public function of the notebook calls; the cells look at that one's answer"
FORKS = (
    "turns this process into another, or waits for one: tests and every run of the notebooks go through it"
)
PYTEST = "called by pytest, or once for all cells: every run of the tests goes through it"
WHOLE = "asked for the whole course, for minutes: a test in tests/ does it"
CLUSTER = "starts a cluster of two processes, for minutes: the page's recorded command does it"
SERVER = "asks a server: what it does without one is shown by the notebook that reads folders"
ARGUED = {
    "api/00_datasets/glue.ipynb: fetch_glue": SERVER,
    "api/01_partitions.ipynb: checked_parts": INSIDE,
    "api/03_wavelets/parts.ipynb: sent": PARTS,
    "api/03_wavelets/parts.ipynb: terms_of_parts": PARTS,
    "api/06_besov/growth.ipynb: joined_growth": INSIDE,
    "api/06_besov/profile.ipynb: profile_of": INSIDE,
    "api/06_besov/samples.ipynb: check_enough": INSIDE,
    "api/07_growing/frontier.ipynb: cut_nodes": KERNEL,
    "api/07_growing/frontier.ipynb: enter_level": KERNEL,
    "api/07_growing/levels.ipynb: Growth": INSIDE,
    "api/07_growing/summing.ipynb: weigh": KERNEL,
    "api/07_machines.ipynb: scheme_on": PARTS,
    "api/07_machines.ipynb: units_on": PARTS,
    "api/07_machines/growth.ipynb: Sapling": PARTS,
    "api/07_machines/growth.ipynb: grow_level": PARTS,
    "api/07_machines/histograms.ipynb: nodes_of_rows": PARTS,
    "api/08_forest/fitting.ipynb: fit_forest": INSIDE,
    "api/08_forest/partitioned.ipynb: fit_partitions": PARTS,
    "api/08_forest/partitioned.ipynb: interval_of_partitions": PARTS,
    "api/08_forest/fitting.ipynb: refuse_complex": INSIDE,
    "api/12_ncc/processes.ipynb: of_all_processes": INSIDE,
    "api/15_training/adapters.ipynb: LoopSteps": INSIDE,
    "api/15_training/adapters.ipynb: LossSteps": INSIDE,
    "api/21_text/pretrained.ipynb: fitting_head": INSIDE,
    "api/25_experiments/encoders.ipynb: encoder_study": INSIDE,
    "api/25_experiments/glue_runs.ipynb: measure_layers": INSIDE,
    "api/25_experiments/machines.ipynb: bench_machines": CLUSTER,
    "api/25_experiments/machines.ipynb: row_on_cluster": CLUSTER,
    "api/25_experiments/machines.ipynb: unit_costs": CLUSTER,
    "api/25_experiments/own_networks.ipynb: own_code": INSIDE,
    "api/25_experiments/peers.ipynb: scikit_learn": INSIDE,
    "api/25_experiments/probe_answers.ipynb: unread_share": INSIDE,
    "api/25_experiments/probe_study.ipynb: Subject": INSIDE,
    "api/25_experiments/probe_study.ipynb: collapse_measures": INSIDE,
    "api/25_experiments/ranking.ipynb: hidden_layers": INSIDE,
    "api/25_experiments/run_contents.ipynb: study_file": INSIDE,
    "api/25_experiments/run_costs.ipynb: wait_for": INSIDE,
    "api/40_course/benches.ipynb: show_machines": CLUSTER,
    "api/40_course/forkserver.ipynb: ForkedKernel": FORKS,
    "api/40_course/forkserver.ipynb: ForkedProvisioner": FORKS,
    "api/40_course/forkserver.ipynb: ask_for_kernel": FORKS,
    "api/40_course/forkserver.ipynb: become_kernel": FORKS,
    "api/40_course/forkserver.ipynb: preload": FORKS,
    "api/40_course/forkserver.ipynb: serve_kernels": FORKS,
    "api/40_course/looks.ipynb: show_collapse": INSIDE,
    "api/40_course/readme.ipynb: listed_index": WHOLE,
    "api/40_course/runner.ipynb: run_cell": INSIDE,
    "api/40_course/runner.ipynb: run_cells": INSIDE,
    "api/40_course/site.ipynb: build_site": WHOLE,
    "api/40_course/solutions.ipynb: derived_files": WHOLE,
    "api/40_course/testing.ipynb: pytest_collection_finish": PYTEST,
    "api/40_course/testing.ipynb: pytest_configure": PYTEST,
    "api/40_course/testing.ipynb: refuse_outside_connections": PYTEST,
}


def code_cells():
    """Source and tree of each code cell that is run, and whether it is exported, by its notebook."""
    plain = TransformerManager().transform_cell
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not re.search(r"^#\|\s*eval:\s*false", source, re.M):
                exported = re.search(r"^#\|\s*exports?\b", source, re.M)
                yield path.relative_to(ROOT / "nbs").as_posix(), ast.parse(plain(source)), bool(exported)


def names_in(tree):
    """The names that a piece of code uses: as they are, behind a dot, or as words of a command line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield f"'{node.value}'"


def returned(node):
    """The names in the annotation of what a function, or a method of a class, gives back."""
    functions = [part for part in ast.walk(node) if isinstance(part, FUNCTIONS) and part.returns]
    return {name for part in functions for name in names_in(ast.parse(ast.unparse(part.returns)))}


def command_of(node):
    """The name of a click command as it is typed, in quotes; None for another function."""
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(".command"):
            given = [one.value for one in decorator.args if isinstance(one, ast.Constant)]
            return f"'{(given or [node.name])[0]}'"
    return None


def untried():
    """The public functions and classes that no run cell uses, by name or as what a used one returns."""
    public, used = [], set()
    for notebook, tree, exported in code_cells():
        if not exported:
            used |= set(names_in(tree))
            continue
        found = [node for node in tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))]
        public += [(notebook, node) for node in found if not node.name.startswith("_")]
    for _ in range(2):  # what a used one returns, and what that one's methods return
        for _, node in public:
            if node.name in used or command_of(node) in used:
                used |= {node.name, *returned(node)}
    bases = {ast.unparse(base) for _, node in public if isinstance(node, ast.ClassDef) for base in node.bases}
    return {f"{notebook}: {node.name}" for notebook, node in public if node.name not in used | bases}, len(
        public
    )


def test_every_entry_has_an_example_that_is_run():
    missing, n_public = untried()
    assert n_public > 900
    assert sorted(missing - set(ARGUED)) == []
    assert sorted(set(ARGUED) - missing) == []  # a reason whose case is gone goes too


if __name__ == "__main__":
    print(*sorted(untried()[0]), sep="\n")
