"""The image's script in a scratch root: the doctor finds what it made, and a second run changes nothing."""

import ast
import json
import re
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


def linter(name):
    """A program of the test extra, beside Python or on the path; without it the test is skipped."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return found or pytest.skip(f"{name} is not here")


def complaints(command):
    """What a linter says; empty where it is content."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@needs_linux
def test_shellcheck_is_content_with_the_scripts(root, machine):
    scripts = [root / ".github/image/provision.sh", root / ".ci/run", root / ".binder/postBuild"]
    scripts += [machine / "usr/local/bin/mfoml-lab", machine / "usr/local/bin/mfoml-idle"]
    assert complaints([linter("shellcheck"), *scripts]) == ""


UNPINNED = "DL3008"  # versions of Ubuntu's packages are those of the release; its old ones go away


@needs_linux
def test_hadolint_is_content_with_the_dockerfile(root, tmp_path):
    command = [linter("hadolint"), "--failure-threshold", "warning", "--ignore", UNPINNED]
    assert complaints([*command, root / ".github/image/Dockerfile"]) == ""
    (tmp_path / "Dockerfile").write_text("FROM ubuntu\nRUN sudo cd /tmp\n")  # and it would notice a mistake
    assert "DL3004" in complaints([*command, tmp_path / "Dockerfile"])


def unquoted(tree):
    """A parsed template without the quotes of its texts and the parser's own marks."""
    if isinstance(tree, dict):
        return {str(key).strip('"'): unquoted(value) for key, value in tree.items() if key[:2] != "__"}
    if isinstance(tree, list):
        return [unquoted(item) for item in tree]
    return tree.strip('"') if isinstance(tree, str) else tree


def test_the_packer_template_is_read_by_a_parser_and_asks_for_what_it_declares(root):
    hcl2 = pytest.importorskip("hcl2")
    text = (root / ".github/image/course.pkr.hcl").read_text(encoding="utf-8")
    tree = unquoted(hcl2.loads(text))
    declared = {name for variable in tree["variable"] for name in variable}
    sources = {f"source.{kind}.{name}" for s in tree["source"] for kind in s for name in s[kind]}
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared
    [build] = tree["build"]
    assert set(build["sources"]) == sources
    [machine] = [each["course"] for source in tree["source"] for each in source.values()]
    assert machine["metadata_options"] == [{"http_tokens": "required"}]
    [steps] = [each["shell"]["inline"] for each in build["provisioner"]]
    assert steps[-2].endswith("provision.sh --user ubuntu") and steps[-1].startswith("sudo rm -f /etc/mfoml/")
    with pytest.raises(Exception, match="(?i)unexpected|token"):  # and it would notice a mistake
        hcl2.loads(text.replace("build {", "build "))


def test_cloud_init_accepts_its_user_data(root, tmp_path):
    command = [linter("cloud-init"), "schema", "--config-file"]
    assert complaints([*command, root / ".github/image/cloud-init.yml"]) == ""
    (tmp_path / "wrong.yml").write_text("#cloud-config\npackages: 3\n")
    assert "packages" in complaints([*command, tmp_path / "wrong.yml"])


def test_cloud_init_s_commands_are_lists_or_texts(root):
    data = yaml.safe_load((root / ".github/image/cloud-init.yml").read_text(encoding="utf-8"))
    text = (root / ".github/image/cloud-init.yml").read_text(encoding="utf-8")
    assert text.startswith("#cloud-config\n") and set(data) <= {"package_update", "packages", "runcmd"}
    assert data["package_update"] is True and all(isinstance(name, str) for name in data["packages"])
    assert all(isinstance(line, str) for line in data["runcmd"])


DEVCONTAINER = {  # of containers.dev's reference: the keys that we use, and their types
    "name": str,
    "image": str,
    "postCreateCommand": str,
    "forwardPorts": list,
    "customizations": dict,
}


def test_devcontainer_and_binder_files_are_of_their_forms(root):
    settings = json.loads((root / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert {key: type(value) for key, value in settings.items()} == DEVCONTAINER
    assert all(isinstance(port, int) and 0 < port < 65536 for port in settings["forwardPorts"])
    runtime = (root / ".binder/runtime.txt").read_text(encoding="utf-8")
    assert re.fullmatch(r"python-3\.\d+\n", runtime)


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
