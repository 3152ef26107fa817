"""First downloads from a server that lies, stops halfway or sends nothing, and by four processes at once."""

import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

import pytest

pytestmark = pytest.mark.slow
N_SAMPLES = {"train": 20, "t10k": 10}
PATIENCE = 3  # seconds without a byte, in place of the package's
CHILD = """
import sys, json
from pathlib import Path
from torchvision import datasets
from mfoml_course.datasets import images, load_images

url, root, resources = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
datasets.MNIST.mirrors, datasets.MNIST.resources = [url], resources
images._STALLED = {patience}
try:
    X, y = load_images("mnist", root, download=True)
    print("read", X.shape, int(X.sum()), y.tolist())
except Exception as error:
    print(type(error).__name__, error)
""".format(patience=PATIENCE)


def idx(shape, start):
    """A file of bytes in the IDX format."""
    size = 1
    for n in shape:
        size *= n
    head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return gzip.compress(head + bytes((start + k) % 10 for k in range(size)), mtime=0)


FILES = {
    f"{part}-{kind}.gz": idx(shape, n)
    for part, n in N_SAMPLES.items()
    for kind, shape in (("images-idx3-ubyte", (n, 28, 28)), ("labels-idx1-ubyte", (n,)))
}
RESOURCES = json.dumps([(name, hashlib.md5(content).hexdigest()) for name, content in FILES.items()])


class Server(BaseHTTPRequestHandler):
    """Serves the files as the first part of the address says."""

    asked = 0

    def do_GET(self):
        _, manner, name = unquote(self.path).split("/")
        content = FILES[name]
        type(self).asked += 1
        if manner in ODD:
            return self.answer_oddly(manner)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if manner == "slow":
            time.sleep(0.5)
        if manner == "lying":
            content = b"x" * len(content)
        if manner == "stalled":
            self.wfile.write(content[:20])
            self.wfile.flush()
            return time.sleep(4 * PATIENCE)
        self.wfile.write(content[: len(content) // 2] if manner == "truncated" else content)

    def answer_oddly(self, manner):
        """A code, a place to look instead, and a body that does not say how long it is."""
        code, place, body = ODD[manner]
        self.send_response(code)
        if place:
            self.send_header("Location", place.format(path=self.path))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


ODD = {  # manner: the code, where to look instead, the body
    "nowhere": (404, "", b"not here"),
    "broken": (500, "", b""),
    "a loop": (302, "{path}", b""),
    "your own disk": (302, "file:///etc/passwd", b""),
    "a page": (200, "", b"<html>Sign in to the network of this hotel</html>"),
    "a bomb": (200, "", gzip.compress(bytes(2**26))),
    "nothing": (200, "", b""),
}


@pytest.fixture
def address():
    Server.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def begun(url, root):
    """A process that downloads and reads."""
    environment = {**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", CHILD, f"{url}/", str(root), RESOURCES]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def said(process):
    """Its last line."""
    return process.communicate(timeout=200)[0].strip().splitlines()[-1]


@pytest.mark.parametrize("manner", ["lying", "truncated", "stalled"])
def test_what_a_bad_server_sends_is_never_read_and_a_good_one_mends_it(address, tmp_path, manner):
    assert said(begun(f"{address}/{manner}", tmp_path)).startswith("ConnectionError could not download MNIST")
    assert said(begun(f"{address}/good", tmp_path)).startswith("read (20, 1, 28, 28)")


def test_what_odd_servers_answer_is_never_read_and_leaves_nothing_large(address, tmp_path):
    places = {manner: tmp_path / manner.replace(" ", "_") for manner in ODD}
    asked = {manner: begun(f"{address}/{quote(manner)}", place) for manner, place in places.items()}
    words = {manner: said(process) for manner, process in asked.items()}
    wrong = {
        k: line for k, line in words.items() if not line.startswith("ConnectionError could not download")
    }
    assert wrong == {}
    left = [path for place in places.values() for path in place.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) < 2**20
    assert said(begun(f"{address}/good", places["a page"])).startswith("read (20, 1, 28, 28)")


def test_four_first_downloads_at_once_read_the_same(address, tmp_path):
    assert said(begun(f"{address}/slow", tmp_path / "one")).startswith("read (20, 1, 28, 28)")
    alone, Server.asked = Server.asked, 0  # torchvision asks twice for a file: it looks for redirects first
    lines = {said(process) for process in [begun(f"{address}/slow", tmp_path / "four") for _ in range(4)]}
    assert len(lines) == 1 and lines.pop().startswith("read (20, 1, 28, 28)")
    assert Server.asked == alone


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(address, tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in said(begun(f"{address}/good", tmp_path / "data"))
