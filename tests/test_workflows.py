"""The workflows of GitHub: what they may do, what they run, and what a linter says of them."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from jsonschema.validators import validator_for
from packaging.requirements import Requirement

from mfoml_course.course import package_settings, read_requirements

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lowest import lowest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs():
    """(name, job) of every workflow's jobs."""
    return [(f"{path.stem} {name}", job) for path in WORKFLOWS for name, job in read(path)["jobs"].items()]


def test_the_linter_is_content():
    linter = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("zizmor is not installed")
    command = [linter, "--offline", "--quiet", "--no-progress", str(ROOT / ".github")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


SCHEMAS = {  # of those that check-jsonschema brings with it
    **{path: "github-workflows" for path in WORKFLOWS},
    ROOT / ".github" / "dependabot.yml": "dependabot",
    ROOT / "CITATION.cff": "citation-file-format",
}


def objections(content, name):
    """What a schema has against a parsed file."""
    spec = find_spec("check_jsonschema")
    if spec is None:
        pytest.skip("check-jsonschema is not installed")
    path = Path(spec.origin).parent / "builtin_schemas" / "vendor" / f"{name}.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    content = {"on" if key is True else key: value for key, value in content.items()}  # YAML's yes
    plain = json.loads(json.dumps(content, default=str))  # dates as texts
    return [error.message[:200] for error in validator_for(schema)(schema).iter_errors(plain)]


def test_files_obey_their_schemas():
    assert {path.name: objections(read(path), name) for path, name in SCHEMAS.items()} == {
        path.name: [] for path in SCHEMAS
    }
    wrong = {"on": "push", "jobs": {"test": {"run-on": "ubuntu-latest", "steps": []}}}
    assert objections(wrong, "github-workflows")  # and it would notice a mistake


def test_actions_are_named_by_commit_and_say_their_version():
    lines = [
        line
        for path in WORKFLOWS
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses:" in line
    ]
    assert len(lines) > 10
    assert [
        line for line in lines if not re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)
    ] == []


def test_checkouts_keep_no_credentials():
    checkouts = [
        (name, step.get("with", {}).get("persist-credentials"))
        for name, job in jobs()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert len(checkouts) >= 4 and {kept for _, kept in checkouts} == {False}, checkouts


def test_a_workflow_may_read_and_what_may_write_installs_nothing():
    assert {path.stem: read(path)["permissions"] for path in WORKFLOWS} == {
        path.stem: {"contents": "read"} for path in WORKFLOWS
    }
    writing = {name: job for name, job in jobs() if "write" in job.get("permissions", {}).values()}
    assert set(writing) == {"docs deploy", "release draft", "lock propose"}
    commands = [step["run"] for job in writing.values() for step in job["steps"] if "run" in step]
    allowed = ("gh release create ", "gh api ", "gh pr create ")
    assert [command for command in commands if not command.startswith(allowed)] == []


def test_dependencies_are_kept_up_to_date():
    ecosystems = {
        update["package-ecosystem"] for update in read(ROOT / ".github" / "dependabot.yml")["updates"]
    }
    assert ecosystems == {"github-actions", "pip"}


def test_conda_s_environment_is_made_looked_at_and_used():
    [job] = read(ROOT / ".github" / "workflows" / "conda.yml")["jobs"].values()
    [made] = [step["with"] for step in job["steps"] if "setup-miniconda" in step.get("uses", "")]
    assert made["environment-file"] == "environment.yml"
    assert made["activate-environment"] == read(ROOT / "environment.yml")["name"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert {"mfoml doctor", "mfoml workshop"} <= set(commands)


def test_the_lowest_versions_are_tried_on_the_oldest_python():
    job = read(ROOT / ".github" / "workflows" / "latest.yml")["jobs"]["lowest"]
    [python] = [
        step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")
    ]
    assert python == package_settings(ROOT)["min_python"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    *_, written, installed, _, looked, tested = commands
    assert written == 'python tests/lowest.py >"$RUNNER_TEMP/lowest.txt"'
    assert installed == (
        "uv pip install --system --resolution lowest-direct"
        ' --constraint "$RUNNER_TEMP/lowest.txt" -e ".[dev]"'
    )
    assert (looked, tested) == ("mfoml doctor", "mfoml test")


def test_every_requirement_is_held_to_its_lowest_version():
    found = lowest((ROOT / "settings.ini").read_text(encoding="utf-8"))
    held = {Requirement(line).name: Requirement(line) for line in found}
    listed = {line for lines in read_requirements(ROOT).values() for line in lines}
    assert len(held) == len(found) == len({Requirement(line).name for line in listed})
    for wanted in map(Requirement, listed):
        own = held[wanted.name]
        [bound] = [part.version for part in wanted.specifier if part.operator == ">="]
        assert own.specifier.contains(bound) and not own.specifier.contains("9999"), wanted
        assert own.marker == wanted.marker
    assert lowest("[DEFAULT]\nx_requirements =\n    a>=1.2,<4\n    b>=3; python_version < '4'\n") == [
        "a==1.2.*,<4",
        "b==3.*; python_version < '4'",
    ]
