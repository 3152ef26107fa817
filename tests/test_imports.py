"""What an import brings with it, seen in fresh processes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).resolve().parent.parent / "nbs" / "api"


def exported_modules():
    """(number of the notebook, module) of every notebook that exports."""
    for path in sorted(API.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        name = re.search(r"^#\s*\|\s*default_exp\s+(\S+)", source, re.MULTILINE)
        if name:
            yield int(path.name[:2]), name[1]


def loaded_by(modules):
    """The top-level modules that a fresh process has loaded after importing `modules`."""
    code = f"import sys\nfor name in {list(modules)!r}: __import__(name)\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_package_alone_is_light():
    assert not loaded_by(["mfoml_course"]) & {"torch", "numpy", "pandas", "sklearn"}


@pytest.mark.parametrize(
    "numbers, absent",
    [(range(0, 9), {"torch"}), (range(2, 7), {"torch", "sklearn", "pandas", "xgboost", "lightgbm", "scipy"}), (range(29, 33), {"torch"})],
    ids=["00-08", "02-06", "plots"],
)
def test_modules_load_no_more_than_they_may(numbers, absent):
    modules = [f"mfoml_course.{name}" for number, name in exported_modules() if number in numbers]
    assert not loaded_by(modules) & absent


@pytest.mark.parametrize("module", ["cli", "doctor", "course"])
def test_the_command_line_starts_without_heavy_imports(module):
    assert not loaded_by([f"mfoml_course.{module}"]) & {"torch", "numpy", "sklearn", "pandas", "jupyterlab", "nbformat"}
