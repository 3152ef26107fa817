"""Every kind of new project passes its own tests, from outside of the course and in a process of its own."""

import os
import subprocess
import sys

import pytest

from mfoml_course.course.projects import KINDS


def run(folder, *command):
    environment = {key: value for key, value in os.environ.items() if key not in ("IN_TEST", "MFOML_BUDGET")}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_passes_its_own_tests(tmp_path, kind):
    made = run(tmp_path, "mfoml_course", "new-project", "ours", "--kind", kind)
    assert made.returncode == 0, made.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "ours").rglob("*") if path.is_file()}
    again = run(tmp_path, "mfoml_course", "new-project", "ours", "--kind", kind)
    assert again.returncode == 1 and "nothing was written" in again.stderr
    done = run(tmp_path / "ours", "pytest", "-q")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert all(path.read_bytes() == text for path, text in before.items()), "its tests change no file of it"
