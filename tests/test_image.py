"""The image's script in a scratch root: the doctor finds what it made, and a second run changes nothing."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mfoml_course.course.image import UNITS, check_image, machine_files


def provision(root, folder, *options):
    command = ["bash", str(root / ".github" / "image" / "provision.sh"), "--root", str(folder)]
    command += ["--environment", sys.executable, *options]
    return subprocess.run(command, capture_output=True, text=True)


def state(folder):
    return {
        path.relative_to(folder): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the image is Ubuntu's")


@pytest.fixture(scope="module")
def machine(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    done = provision(root, folder, "--user", "ada", "--user", "emmy")
    assert done.returncode == 0, done.stderr
    return folder


@needs_linux
def test_the_doctor_finds_what_the_script_made(machine):
    assert {check.name: check.status for check in check_image(machine) if check.status != "ok"} == {}


@needs_linux
def test_a_second_run_changes_nothing(root, machine):
    before = state(machine)
    done = provision(root, machine, "--user", "ada", "--user", "emmy")
    assert done.stdout == "0 changes\n" and state(machine) == before


@needs_linux
def test_what_was_damaged_is_mended_and_nothing_else(root, machine):
    before = state(machine)
    (machine / "etc/systemd/system/mfoml-idle.timer").write_text("")
    done = provision(root, machine, "--user", "ada", "--user", "emmy")
    assert done.stdout == "changed  /etc/systemd/system/mfoml-idle.timer\n1 changes\n"
    assert state(machine) == before


@needs_linux
def test_tokens_are_secret_and_each_user_s_own(machine):
    tokens = [machine / "etc/mfoml/tokens" / f"{user}.env" for user in ("ada", "emmy")]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tokens)
    ada, emmy = (path.read_text().strip() for path in tokens)
    assert ada != emmy and len(ada) == len("JUPYTER_TOKEN=") + 48


@needs_linux
def test_a_strange_user_is_refused(root, tmp_path):
    done = provision(root, tmp_path, "--user", "../root")
    assert done.returncode == 2 and "no user's name" in done.stderr and not list(tmp_path.iterdir())


SYSTEM_UNITS = Path("/usr/lib/systemd/system")  # what ours build on


def verified(root, unit):
    """What systemd says of a unit in a scratch root: its exit code and words."""
    command = ["systemd-analyze", "verify", "--root", str(root), str(root / "etc/systemd/system" / unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


@needs_linux
@pytest.mark.skipif(
    not shutil.which("systemd-analyze") or not SYSTEM_UNITS.is_dir(), reason="systemd is not here"
)
def test_systemd_accepts_the_units(machine, tmp_path):
    root = shutil.copytree(machine, tmp_path / "root", symlinks=True)
    shutil.copytree(SYSTEM_UNITS, root / "usr/lib/systemd/system", symlinks=True)
    assert {unit: verified(root, unit) for unit in UNITS} == dict.fromkeys(UNITS, (0, ""))

    unit = root / "etc/systemd/system" / UNITS[0]  # and it would notice a mistake
    unit.write_text(unit.read_text().replace("ExecStart=", "ExecStart=/no/such/"))
    code, words = verified(root, UNITS[0])
    assert code and "/no/such/" in words


@needs_linux
def test_shellcheck_is_content_with_the_scripts(root, machine):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not here")
    scripts = [root / ".github/image/provision.sh", root / ".ci/run", root / ".binder/postBuild"]
    scripts += [machine / "usr/local/bin/mfoml-lab", machine / "usr/local/bin/mfoml-idle"]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_machine_files_are_made_from_settings(root):
    for name, text in machine_files(root).items():
        assert (root / name).read_text(encoding="utf-8") == text, "run: mfoml docs --readme"


def test_templates_call_the_one_script(root):
    folder = root / ".github" / "image"
    cloud = yaml.safe_load((folder / "cloud-init.yml").read_text(encoding="utf-8"))
    assert any("provision.sh" in line for line in cloud["runcmd"])
    for name in ("Dockerfile", "course.pkr.hcl"):
        assert "/.github/image/provision.sh" in (folder / name).read_text(encoding="utf-8")
    ast.parse((folder / "jupyterhub_config.py").read_text(encoding="utf-8"))


def test_nobody_asks_for_all_processors(root):
    texts = [*(root / "nbs").rglob("*.ipynb"), *(root / "mfoml_course").rglob("*.py")]
    texts += [*(root / "mfoml_course" / "data").rglob("*.j2"), *(root / ".github" / "image").iterdir()]
    assert len(texts) > 100 and not [
        path.name for path in texts if "n_jobs=-1" in path.read_text(encoding="utf-8")
    ]
