"""Two users on a hub, configured as the course says but for spawner and login: each opens a notebook."""

import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

sys.path.insert(0, str(Path(__file__).resolve().parent))

from hubs import Hub  # noqa: E402

from mfoml_course.course.image import notebook_links  # noqa: E402

NEEDED = ("jupyterhub", "configurable_http_proxy", "jupyterhub_idle_culler", "nbgitpuller")
USERS = ("ada", "emmy")
TOKEN = uuid.uuid4().hex

# The machine's own spawner wants systemd and root; the rest of the course's file is used as it is.
CONFIG = """
load_subconfig({ours!r})
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_port = {inner}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {users!r}
c.Spawner.args = ["--allow-root"]
c.Spawner.notebook_dir = "{folder}/{{username}}"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/{{username}}"
c.Spawner.environment |= {{"PYTHONPATH": {package!r}}}
c.JupyterHub.services[0]["command"][0] = {python!r}
c.JupyterHub.services += [{{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.load_roles += [
    {{
        "name": "test",
        "services": ["test"],
        "scopes": ["admin:users", "admin:servers", "access:servers", "read:services", "list:services"],
    }}
]
"""


def free_ports(count):
    """Ports on loopback that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def hub(root, tmp_path_factory):
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing or not sys.platform.startswith("linux"):
        pytest.skip(f"needs Linux and {', '.join(missing or NEEDED)}")
    folder = tmp_path_factory.mktemp("hub")
    for user in USERS:
        shutil.copytree(root / "nbs" / "workshop", folder / user / "workshop")
    public, inner, proxy = free_ports(3)
    config = folder / "jupyterhub_config.py"
    values = dict(public=public, inner=inner, proxy=proxy, users=set(USERS), token=TOKEN, folder=folder)
    ours = str(root / ".github" / "image" / "jupyterhub_config.py")
    config.write_text(CONFIG.format(ours=ours, package=str(root), python=sys.executable, **values))
    place = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", config],
            cwd=folder,
            env={**os.environ, "PATH": place},
            stdout=log,
            stderr=log,
        )
        try:
            found = Hub(public, TOKEN)
            found.wait("/hub/api/", lambda answer: "version" in answer)
            yield found
        except TimeoutError as error:
            raise AssertionError((folder / "log").read_text()[-3000:]) from error
        finally:
            running.terminate()
            running.wait(180)


@pytest.fixture(scope="module", params=USERS)
def user(hub, request):
    hub.ask(f"/hub/api/users/{request.param}/server", "post")
    hub.wait(f"/hub/api/users/{request.param}", lambda found: found["servers"].get("", {}).get("ready"))
    return request.param


def run_line(hub, user, kernel, line):
    """What a line of code prints in a user's kernel."""

    async def talk():
        address = f"ws://127.0.0.1:{hub.port}/user/{user}/api/kernels/{kernel}/channels"
        request = HTTPRequest(address, headers={"Authorization": f"token {TOKEN}"})
        channel = await websocket_connect(request)
        content = {"code": line, "silent": False, "store_history": False, "allow_stdin": False}
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"username": user, "session": uuid.uuid4().hex, "date": ""}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await channel.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
        printed, awaited = "", {"execute_reply", "idle"}  # of two channels, so in either order
        while awaited:
            answer = json.loads(await channel.read_message())
            if answer["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            kind, said = answer["msg_type"], answer["content"]
            printed += said["text"] if kind == "stream" else ""
            assert kind != "execute_reply" or said["status"] == "ok", said
            awaited -= {kind, said.get("execution_state")}
        return printed.strip()

    return IOLoop().run_sync(talk, timeout=120)


@pytest.mark.slow
def test_each_user_opens_a_workshop_notebook_and_runs_in_it(hub, user):
    path = "workshop/02_classic_ml.ipynb"
    notebook = hub.ask(f"/user/{user}/api/contents/{path}")
    assert notebook["type"] == "notebook" and notebook["content"]["cells"]
    session = {"path": path, "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    kernel = hub.ask(f"/user/{user}/api/sessions", "post", json=session)["kernel"]["id"]
    line = "import os, mfoml_course; print(mfoml_course.__name__, os.getcwd(), *map(os.environ.get, NAMES))"
    names = "NAMES = ('MEM_LIMIT', 'OMP_NUM_THREADS', 'MFOML_BUDGET', 'MFOML_DATA')\n"
    module, place, memory, *others = run_line(hub, user, kernel, names + line).split()
    assert module == "mfoml_course" and place.endswith(f"/{user}/workshop")
    assert memory == str(2 * 2**30) and others == ["1", "smoke", "/srv/mfoml/data"]


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    """A repository with one notebook of the course, as a link may name it."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copy(root / "nbs" / "workshop" / "02_classic_ml.ipynb", folder)
    author = ["-c", "user.name=course", "-c", "user.email=course@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*author, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.mark.slow
def test_the_course_s_link_pulls_it_and_keeps_what_a_student_changed(hub, user, course):
    link = notebook_links("02_classic_ml.ipynb", hub="http://hub")["hub"]
    asked = {name: value for name, [value] in parse_qs(urlsplit(link).query).items()}
    assert asked["branch"] == "main" and asked["urlpath"].endswith("/02_classic_ml.ipynb")
    pull = {"repo": course.as_uri(), "branch": asked["branch"], "targetpath": "course"}
    file = f"/user/{user}/api/contents/course/02_classic_ml.ipynb"
    for changed in (False, True):
        said = hub.ask(f"/user/{user}/git-pull/api", params=pull, parse=str)
        assert '"phase": "finished"' in said, said
        notebook = hub.ask(file)["content"]
        assert (notebook["cells"][0]["source"] == "mine") == changed
        notebook["cells"][0]["source"] = "mine"
        hub.ask(file, "put", json={"type": "notebook", "content": notebook})


@pytest.mark.slow
def test_servers_that_nobody_uses_end_by_the_culler(hub):
    service = hub.wait("/hub/api/services/idle-culler", lambda found: found["pid"])
    assert service["name"] == "idle-culler" and "--timeout=3600" in service["command"]
