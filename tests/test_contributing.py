"""CONTRIBUTING.md's ten steps, followed on a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEPS = TEXT[TEXT.index("in ten steps") : TEXT.index("## What is expected")]


def blocks():
    """(language, code) of the fenced blocks of the ten steps, in order."""
    found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", STEPS, re.MULTILINE | re.DOTALL)
    return [(language, textwrap.dedent(code)) for _, language, code in found]


def test_there_are_ten_steps_with_a_command_each():
    assert re.findall(r"^(\d+)\. ", STEPS, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert [language for language, _ in blocks()] == ["python", *["bash"] * 8]


def run(command, copy):
    """Run a command in the copy, with the copy's package and this environment's programs; what it printed."""
    kept = {key: value for key, value in os.environ.items() if key != "IN_TEST"}
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    before = os.pathsep.join(filter(None, [str(copy), os.environ.get("PYTHONPATH")]))
    environment = kept | {"PATH": programs, "PYTHONPATH": before}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository, which may be changed."""
    kept_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info", "runs", "mfoml-*")
    shutil.copytree(ROOT, tmp_path / "copy", ignore=kept_out)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "copy", check=True)
    return tmp_path / "copy"


@pytest.mark.slow
def test_the_ten_steps_lead_to_a_notebook_and_a_page(copy):
    for language, code in blocks():
        run([sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code], copy)
    assert "def total_energy" in (copy / "mfoml_course" / "wavelets" / "energy.py").read_text(
        encoding="utf-8"
    )
    page = (copy / "pages" / "api" / "03_wavelets" / "energy.html").read_text(encoding="utf-8")
    assert 'id="mfoml_course.wavelets.energy.total_energy"' in page


def test_the_hooks_run_programs_that_are_required():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"].split()[0] for repository in config["repos"] for hook in repository["hooks"]]
    assert entries and all(shutil.which(entry, path=str(Path(sys.executable).parent)) for entry in entries)
    assert all(repository["repo"] == "local" for repository in config["repos"]), "hooks fetch nothing"


def commands_of_the_start():
    """What the workshop's first notebook tells to type when the package has been changed, in order."""
    start = json.loads((ROOT / "nbs" / "workshop" / "00_start.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in start["cells"] if cell["cell_type"] == "markdown"]
    [text] = [text for text in texts if "nbdev-export" in text]
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [re.sub(" +# .*", "", line) for block in blocks[1:] for line in block.splitlines()]


@pytest.mark.slow
def test_a_changed_package_is_exported_tested_built_and_installed_again(copy):
    editor, export, test, everything, build, install = commands_of_the_start()
    assert editor == "jupyter lab nbs/api/05_sparsity.ipynb" and everything == "mfoml test"
    notebook = copy / "nbs" / "api" / "05_sparsity.ipynb"
    before, told = "N_tau(f,F) of the lecture; inf", "N_tau(f,F), changed by a student; inf"
    text = notebook.read_text(encoding="utf-8")
    assert text.count(before) == 1
    notebook.write_text(text.replace(before, told), encoding="utf-8")
    run(["bash", "-ec", export], copy)
    run(["bash", "-ec", f"{test} -n0 -q"], copy)
    run(["bash", "-ec", build.replace("wheel ", "wheel -q --no-build-isolation ")], copy)
    run(["bash", "-ec", install.replace("install ", "install -q --no-index --target site ")], copy)
    shown = "mfoml_course.sparsity as found; print(found.__file__, found.sparsity.__doc__)"
    said = run([sys.executable, "-c", f"import sys; sys.path[0] = 'site'; import {shown}"], copy)
    assert said.startswith(str(copy / "site")) and told in said
