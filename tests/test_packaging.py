"""One truth about the package: files that repeat settings.ini are held to it, and the wheel is whole."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mfoml_course
from mfoml_course.course import read_requirements, package_settings

TEST_COMMAND = 'python3 -m venv .venv && .venv/bin/pip install -e ".[dev]" && .venv/bin/mfoml test'


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_versions_agree(root):
    versions = {
        mfoml_course.__version__,
        package_settings(root)["version"],
        read_yaml(root / "CITATION.cff")["version"],
    }
    assert len(versions) == 1


def test_environment_lists_the_same_requirements(root):
    *conda, pip = read_yaml(root / "environment.yml")["dependencies"]
    assert conda == [f"python>={package_settings(root)['min_python']}", "pip"]
    *lines, course = pip["pip"]
    assert course == "-e ."
    assert sorted(lines) == sorted({line for listed in read_requirements(root).values() for line in listed})


def test_every_conda_activate_names_the_environment(root):
    name = read_yaml(root / "environment.yml")["name"]
    places = [
        root / "README.md",
        root / "environment.yml",
        root / "CONTRIBUTING.md",
        *(root / "nbs").rglob("*.ipynb"),
    ]
    told = {
        (path.name, found)
        for path in places
        for found in re.findall(r"conda activate ([\w-]+)", path.read_text(encoding="utf-8"))
    }
    assert len(told) > 1 and {found for _, found in told} == {name}


def test_python_bounds_agree(root):
    oldest = package_settings(root)["min_python"]
    assert f'requires-python = ">={oldest}"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    tested = read_yaml(root / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"][
        "python"
    ]
    assert tested[0] == oldest
    declared = re.search(r"for minor in \((.*?)\)", (root / "setup.py").read_text(encoding="utf-8"))[1]
    assert [f"3.{minor}" for minor in declared.split(", ")] == tested


def test_doctor_knows_the_oldest_python(root):
    from mfoml_course.course.installation import OLDEST_PYTHON

    assert ".".join(map(str, OLDEST_PYTHON)) == package_settings(root)["min_python"]


def test_every_import_is_required(root):
    required = {
        canonicalize_name(Requirement(line).name)
        for listed in read_requirements(root).values()
        for line in listed
    }
    owners, unknown = packages_distributions(), set()
    for path in (root / "mfoml_course").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in (
                {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"mfoml_course"}
            ):
                if not required & {canonicalize_name(owner) for owner in owners.get(name, [name])}:
                    unknown.add(f"{path.name}: {name}")
    assert not unknown


def test_ci_runs_the_readmes_command(root):
    assert TEST_COMMAND in (root / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "(CONTRIBUTING.md)" in readme and "(CHANGELOG.md)" in readme
    assert TEST_COMMAND in readme and TEST_COMMAND.replace("mfoml test", "mfoml workshop") in readme


def build(kind, folder):
    """Build the source distribution ("sdist") or the wheel of a folder; the file."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}('.'))"
    built = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def source(root, tmp_path_factory):
    """The unpacked source distribution, built in a copy so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("checkout")
    named = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True).stdout.splitlines()
    tops = {Path(name).name for name in named if "/" not in name} or {path.name for path in root.iterdir()}
    for name in tops:
        if (root / name).is_file():
            shutil.copy(root / name, copy)
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(root / "mfoml_course", copy / "mfoml_course", ignore=unwanted)
    unpacked = tmp_path_factory.mktemp("source")
    shutil.unpack_archive(build("sdist", copy), unpacked)
    [folder] = unpacked.iterdir()
    return folder


@pytest.fixture(scope="module")
def wheel(source):
    """The unpacked wheel, built from the source distribution as pip would."""
    with zipfile.ZipFile(build("wheel", source)) as archive:
        archive.extractall(source / "unpacked")
    return source / "unpacked"


def test_the_source_distribution_holds_what_its_build_reads(source):
    needed = {"settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE"}
    assert needed <= {path.name for path in source.iterdir()}


def test_the_readmes_links_work_on_a_package_index(root, wheel):
    [metadata] = wheel.glob("*.dist-info/METADATA")
    links = re.findall(r"\]\(([^)\s]+)", metadata.read_text(encoding="utf-8"))
    ours = [link for link in links if link.startswith(package_settings(root)["git_url"] + "blob/main/")]
    assert len(ours) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert [
        link for link in ours if not (root / link.partition("/blob/main/")[2].partition("#")[0]).exists()
    ] == []
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)", metadata.read_text(encoding="utf-8"))
    assert pictures and all("raw.githubusercontent.com" in link for link in pictures)


def test_the_wheel_holds_modules_and_data(root, wheel):
    def files(folder):
        return {
            path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"
        }

    assert files(wheel / "mfoml_course") == files(root / "mfoml_course")
    [metadata] = wheel.glob("*.dist-info/METADATA")
    assert metadata.read_text(encoding="utf-8").count("Requires-Dist: numpy>=") == 1
    assert list(wheel.glob("*.dist-info/licenses/LICENSE"))


def run_wheel(wheel, *command):
    """Run Python where the package is the wheel and no checkout is near."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(wheel), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        [sys.executable, *command], cwd=wheel, env=environment, capture_output=True, text=True
    )


def test_the_wheel_reads_its_data(wheel):
    code = (
        "import mfoml_course; from mfoml_course.datasets import load_wine_quality as load; "
        "print(mfoml_course.__file__, len(load()))"
    )
    path, rows = run_wheel(wheel, "-c", code).stdout.split()
    assert path.startswith(str(wheel)) and rows == "6497"


@pytest.mark.parametrize("command", ["workshop", "test", "lab", "docs"])
def test_the_wheel_says_how_to_get_the_notebooks(wheel, command):
    done = run_wheel(wheel, "-c", "from mfoml_course.course.cli import main; main()", command)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "git clone https://github.com/" in done.stderr and "notebooks are not here" in done.stderr
