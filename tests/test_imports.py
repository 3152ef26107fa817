"""What an import brings with it, seen in fresh processes."""

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

API = Path(__file__).resolve().parent.parent / "nbs" / "api"


def exported_modules():
    """(number of the room, module) of every notebook that exports."""
    for path in sorted(API.rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        name = re.search(r"^#\s*\|\s*default_exp\s+(\S+)", source, re.MULTILINE)
        if name:
            yield int(path.relative_to(API).parts[0][:2]), name[1].removesuffix(".__init__")


COMPILED = {  # rooms that need numba at their top: imported inside functions only
    f"growing.{name}"
    for name in (
        "kernels",
        "votes",
        "cutting",
        "counting",
        "sorting",
        "pairing",
        "summing",
        "frontier",
        "refining",
        "sharpening",
        "missing",
        "levels",
    )
}


def loaded_by(modules):
    """The top-level modules that a fresh process has loaded after importing `modules`."""
    code = (
        f"import sys\nfor name in {list(modules)!r}: __import__(name)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_the_package_alone_is_light():
    assert not loaded_by(["mfoml_course"]) & {"torch", "numpy", "pandas", "sklearn"}


@pytest.mark.parametrize(
    "numbers, absent",
    [
        (range(0, 10), {"torch", "numba"}),
        (range(2, 7), {"torch", "sklearn", "pandas", "xgboost", "lightgbm", "scipy", "numba"}),
        (range(30, 40), {"torch"}),
    ],
    ids=["00-09", "02-06", "plots"],
)
def test_modules_load_no_more_than_they_may(numbers, absent):
    modules = [
        f"mfoml_course.{name}"
        for number, name in exported_modules()
        if number in numbers and name not in COMPILED
    ]
    assert not loaded_by(modules) & absent


@pytest.mark.parametrize("module", ["course.cli", "course.doctor", "course"])
def test_the_command_line_starts_without_heavy_imports(module):
    assert not loaded_by([f"mfoml_course.{module}"]) & {
        "torch",
        "numpy",
        "sklearn",
        "pandas",
        "jupyterlab",
        "nbformat",
    }


def test_what_moved_is_where_the_changelog_says():
    lines = (API.parent.parent / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    moves = [line.strip("|").split(" | ") for line in lines if line.startswith("| `mfoml_course.")]
    modules = {re.search(r"`(mfoml_course[.\w]+)`", now)[1] for _, now in moves}
    assert len(moves) > 30 and modules - {f"mfoml_course.{name}" for _, name in exported_modules()} == set()
    for module in modules:
        import_module(module)
