"""Rules that hold for every notebook and for the code that they export."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path for path in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PACKAGE = ROOT / "mfoml_course"
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path not in (PACKAGE / "__init__.py", PACKAGE / "_modidx.py")
)
OF_A_MACHINE = re.compile(r"/home/\w|/Users/\w|/root/|/work/|/tmp/\w|[A-Z]:\\\\Users")


def text(cell):
    return "".join(cell["source"])


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "nbs").as_posix())
def notebook(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_notebook_is_clean(notebook):
    assert "widgets" not in notebook["metadata"], "GitHub shows such a notebook as invalid"
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert cell.get("execution_count") is None and not cell["metadata"]
        outputs = cell.get("outputs", [])
        assert all(output.get("execution_count") is None for output in outputs)
        assert len(json.dumps(outputs)) < 1e6, f"outputs of more than 1 MB: {text(cell)[:80]}"
        assert not OF_A_MACHINE.search(text(cell) + json.dumps(outputs)), (
            f"a path of one machine: {text(cell)[:80]}"
        )


def test_notebook_opens_with_title_and_summary(notebook):
    opening = "\n\n".join(text(cell) for cell in notebook["cells"][:2])
    assert re.match(r"# \S.*\n+> \S", opening), "expected '# Title' and '> what it does'"
    titles = [
        cell for cell in notebook["cells"] if cell["cell_type"] == "markdown" and re.match(r"# ", text(cell))
    ]
    assert len(titles) == 1, "one H1 a notebook"


def test_notebook_links_lead_somewhere(request, notebook):
    folder = request.node.callspec.params["notebook"].parent
    for cell in notebook["cells"]:
        for target in (
            re.findall(r"\]\((?![a-z]+:|#|/)([^)#\s]+)", text(cell))
            if cell["cell_type"] == "markdown"
            else []
        ):
            assert (folder / target).exists(), f"dead link {target}"


def code_of_tests(path):
    """Source texts of what tests: a file of tests/, or the cells of a notebook that are not exported."""
    if path.suffix == ".py":
        return [path.read_text(encoding="utf-8")]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [text(cell) for cell in cells if cell["cell_type"] == "code"]
    plain = TransformerManager().transform_cell  # `!command` and `%magic` as Python
    return [plain(cell) for cell in code if not re.search(r"^#\s*\|\s*exporti?\b", cell, re.MULTILINE)]


def raises(statements):
    return any(isinstance(node, ast.Raise) for statement in statements for node in ast.walk(statement))


def hides_a_missing_error(node):
    """Whether the statement goes on both with an error and without; a missing library may be made up for."""
    if isinstance(node, ast.With):
        return any("suppress(" in ast.unparse(item) for item in node.items)
    if not isinstance(node, ast.Try) or raises(node.orelse):
        return False
    return any(
        not raises(handler.body) and ast.unparse(handler.type or node) != "ImportError"
        for handler in node.handlers
    )


@pytest.mark.parametrize(
    "code, hides",
    [
        ("try: f()\nexcept ValueError as error: print(error)", True),
        ("try: f()\nexcept KeyboardInterrupt: pass", True),
        ("try: f()\nexcept ValueError: pass\nelse: print('well')", True),
        ("with contextlib.suppress(ValueError): f()", True),
        ("try: f()\nexcept ValueError: pass\nelse: raise AssertionError", False),
        ("try: f()\nexcept ValueError as error: raise TypeError from error", False),
        ("try: import umap\nexcept ImportError: umap = None", False),
        ("try: f()\nfinally: g()", False),
    ],
)
def test_what_hides_a_missing_error(code, hides):
    assert hides_a_missing_error(ast.parse(code).body[0]) is hides


@pytest.mark.parametrize(
    "path",
    [*NOTEBOOKS, *sorted((ROOT / "tests").glob("test_*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_an_error_that_is_expected_must_come(path):
    for code in code_of_tests(path):
        hidden = [ast.unparse(node) for node in ast.walk(ast.parse(code)) if hides_a_missing_error(node)]
        assert not hidden, (
            "this passes when nothing is raised, use mfoml_course.course.testing.refusal:\n"
            + "\n".join(hidden)
        )


def exported_module(path):
    """The module that a notebook exports, as in wavelets or wavelets.curves; None without one."""
    code = [
        text(cell)
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    name = re.search(r"^#\s*\|\s*default_exp\s+(\S+)", "\n".join(code), re.MULTILINE)
    return name and name[1].removesuffix(".__init__")


API = {
    exported_module(path): path
    for path in (ROOT / "nbs" / "api").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
}
ROOMS = {name: int(path.name.split("_")[0]) for name, path in API.items() if name and "." not in name}


def module_name(path):
    """As in wavelets or wavelets.curves."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def test_a_notebook_stands_where_its_module_does():
    for name, path in API.items():
        room, _, back = name.partition(".")
        expected = f"{ROOMS[room]:02d}_{room}" + (f"/{back}" if back else "")
        assert path.relative_to(ROOT / "nbs" / "api").with_suffix("").as_posix() == expected
    assert sorted(map(module_name, MODULES)) == sorted(API)


def imported(path, tree):
    """The modules of this package that a module's tree imports, by their names below the package."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            if module == "mfoml_course":
                yield from (alias.name for alias in node.names)
            elif module.startswith("mfoml_course."):
                yield module.removeprefix("mfoml_course.")
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("mfoml_course.")
                for alias in node.names
                if alias.name.startswith("mfoml_course.")
            )


@cache
def parsed(path):
    """A module's tree; nobody changes it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(params=MODULES, ids=module_name)
def module(request):
    return request.param, parsed(request.param)


def test_imports_point_to_lower_rooms(module):
    path, tree = module
    room = module_name(path).split(".")[0]
    others = [other.split(".")[0] for other in imported(path, tree)]
    assert [other for other in others if ROOMS.get(other, 0) > ROOMS[room]] == []


def import_graph(modules):
    """Module: the modules that it imports, each by its full name below the package."""
    names = {module_name(path) for path in modules}
    graph = {}
    for path in modules:
        found = set(imported(path, parsed(path)))
        graph[module_name(path)] = (found & names) - {module_name(path)}
    return graph


@cache
def package_graph():
    """The graph of the package."""
    return import_graph(MODULES)


def circle(graph):
    """A list of modules that import each other in a circle, the first again at its end; empty without one."""
    done = set()

    def search(name, way):
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (search(other, [*way, name]) for other in sorted(graph[name]))), [])
        done.add(name)
        return found

    return next(filter(None, (search(name, []) for name in sorted(graph))), [])


@pytest.mark.parametrize(
    "graph, expected",
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a.b"}, "a.b": {"a"}}, ["a", "a.b", "a"]),
    ],
)
def test_what_a_circle_is(graph, expected):
    assert circle(graph) == expected


def test_no_modules_import_each_other_in_a_circle():
    assert circle(package_graph()) == []


def test_a_back_room_that_imports_its_face_is_not_imported_by_it():
    graph = package_graph()
    backs = [name for name in graph if "." in name and name.split(".")[0] in graph[name]]
    assert [name for name in backs if name in graph[name.split(".")[0]]] == []


FORBIDDEN_CALLS = {"eval", "exec", "exit", "quit", "print", "input"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal"}


def seeded_apart(tree):
    """The nodes inside `with torch.random.fork_rng()`, which gives torch's random state back."""
    blocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and "fork_rng" in ast.unparse(node.items[0])
    ]
    return {inner for block in blocks for inner in ast.walk(block)}


def test_exported_code_keeps_the_rules(module):
    path, tree = module
    name, apart = module_name(path), seeded_apart(tree)
    for node in ast.walk(tree):
        where = f"{name}.py line {getattr(node, 'lineno', 0)}: "
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, where + node.func.id
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            call = ast.unparse(node.func)
            assert call != "sys.exit" or name == "course.cli", where + call
            assert not re.fullmatch(
                r"(np|numpy)\.random\.(seed|rand|randn|randint|normal|uniform|choice|shuffle|permutation)",
                call,
            ), where + call
            assert node in apart or call not in ("torch.manual_seed", "random.seed"), where + call
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not modules & (FORBIDDEN_MODULES | {"*"}), where + ast.unparse(node)
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), where + "bare except"
        assert not isinstance(node, ast.Global), where + "global"
