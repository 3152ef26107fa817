"""What no line may call, where a secret must not show, and names that would leave their folder."""

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from IPython.core.inputtransformer2 import TransformerManager

from mfoml_course.course.cli import main
from mfoml_course.course.exercises import check
from mfoml_course.course.laboratory import lab_settings
from mfoml_course.experiments.settings import preset

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "mfoml_course").rglob("*.py"))
NOTEBOOKS = sorted(path for path in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)

BUILTINS = {"eval", "exec", "compile", "__import__"}  # run a text
MODULES = {
    "pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "shelve",
    "marshal",
    "joblib.load",
    "telnetlib",
    "ftplib",
}
# each runs a shell, unpacks where an archive wants, or makes a file that others guess
CALLS = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "shutil.unpack_archive",
    "tempfile.mktemp",
    "joblib.load",
    "yaml.load",
    "yaml.unsafe_load",
    "pd.read_pickle",
    "pandas.read_pickle",
}


def says(call, name, value):
    """Whether a call is given this keyword with this constant."""
    return any(
        given.arg == name and isinstance(given.value, ast.Constant) and given.value.value is value
        for given in call.keywords
    )


def dangers(tree):
    """What a syntax tree holds that it should not."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found += sorted(name for name in names - {None} if name in MODULES)
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        last = call.rpartition(".")[2]
        unpacks = last == "extractall" or (
            last == "extract" and not call.endswith(".str.extract")
        )  # pandas' own
        if call in BUILTINS or call in CALLS or unpacks:
            found.append(call)
        if says(node, "shell", True):
            found.append(f"{call}(shell=True)")
        if says(node, "allow_pickle", True) or says(node, "trust_remote_code", True):
            found.append(f"{call} of foreign code")
        if call.endswith("torch.load") and not says(node, "weights_only", True):
            found.append("torch.load without weights_only")
        if last in ("get", "urlopen", "request") and says(node, "verify", False):
            found.append(f"{call}(verify=False)")
    return found


@pytest.mark.parametrize(
    "line",
    """import pickle
from cloudpickle import loads
eval('1')
subprocess.run('ls', shell=True)
archive.extractall('x')
archive.extract('x')
torch.load('x')
torch.load('x', weights_only=False)
np.load('x', allow_pickle=True)
yaml.load(text)
os.system('ls')
requests.get(url, verify=False)
AutoModel.from_pretrained(name, trust_remote_code=True)""".splitlines(),
)
def test_what_a_danger_is(line):
    assert dangers(ast.parse(line))


def test_what_is_none():
    lines = """torch.load('x', weights_only=True)
subprocess.run(['ls'])
model.eval()
re.compile('x')
table.str.extract('x')
np.load('x')"""
    assert dangers(ast.parse(lines)) == []


def test_no_exported_line_is_one():
    found = {
        path.relative_to(ROOT).as_posix(): dangers(ast.parse(path.read_text("utf-8"))) for path in PACKAGE
    }
    assert len(found) > 100 and {path: what for path, what in found.items() if what} == {}


def code_of(path):
    """The Python of a notebook's cells, as IPython reads them: its own commands become calls."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield ast.parse(TransformerManager().transform_cell("".join(cell["source"])))


# Cells that show or refuse the very thing: what each may hold.
SHOWN = {"api/00_datasets/images.ipynb": {"pickle"}, "api/40_course/graders.ipynb": {"exec"}}


def test_no_cell_of_a_notebook_is_one():
    found = {}
    for path in NOTEBOOKS:
        name = path.relative_to(ROOT / "nbs").as_posix()
        what = {danger for tree in code_of(path) for danger in dangers(tree)} - SHOWN.get(name, set())
        found |= {name: what} if what else {}
    assert found == {}


SECRETS = {
    name: f"planted-{number}-c0ffee"
    for number, name in enumerate(
        "HF_TOKEN WANDB_API_KEY AWS_SECRET_ACCESS_KEY JUPYTER_TOKEN GITHUB_TOKEN MY_PASSWORD".split()
    )
}


def test_a_secret_of_the_environment_shows_nowhere(tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    run = str(tmp_path / "run")
    said = ""
    for command in (
        ["train", "mnist1d-conv", "--budget", "smoke", "--epochs", "1", "--out", run],
        ["report", run],
    ):
        done = CliRunner().invoke(main, command)
        said += done.output + str(done.exception or "")
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(written) > 3 and any(path.name == "report.html" for path in written)
    for path in written:
        held = path.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in held], path.name
    assert not [name for name, value in SECRETS.items() if value in said]


WAY_OUT = ("../outside", "/etc/passwd", "..", "a/../../b", "a\\..\\b", "", "x\0y")


@pytest.mark.parametrize("name", WAY_OUT)
def test_a_name_never_becomes_a_path(name):
    with pytest.raises(ValueError, match="preset"):
        preset(name)
    assert not check(name, len) and "name" in check(name, len).mistake
    done = CliRunner().invoke(main, ["workshop", "--notebook", name])
    assert done.exit_code != 0 and "Traceback" not in done.output


def test_jupyterlab_listens_on_loopback_and_wants_its_token(tmp_path):
    settings = lab_settings(tmp_path, "start.ipynb")
    assert settings["ServerApp.ip"] == "127.0.0.1"
    assert not [name for name in settings if "token" in name or "password" in name or "disable_check" in name]
    image = ROOT / ".github" / "image"
    text = "\n".join(p.read_text("utf-8") for p in image.rglob("*") if p.is_file() and p.name != "Dockerfile")
    assert "0.0.0.0" not in text and "--NotebookApp.token=" not in text and "ServerApp.token=''" not in text
