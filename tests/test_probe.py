"""The probe as a process of its own: in little memory, and killed at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-c", "from mfoml_course.course.cli import main; main()"]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")

# a network whose layer "wide" is 188 MB, and four classes that it can know
OWN = """
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(6000, 16)
y = 2 * (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
model = nn.Sequential()
model.add_module("wide", nn.Linear(16, 8192))
model.add_module("fc", nn.Linear(8192, 4))
loader = [(x[i : i + 200], y[i : i + 200]) for i in range(0, 6000, 200)]  # of unknown length
"""

IN_LITTLE_MEMORY = """
import json, resource, sys
import psutil
from mfoml_course.experiments.own_networks import own_loader, own_model
from mfoml_course.growing import warm_up
from mfoml_course.probe import SparsityProbe

warm_up()
model, loader = own_model(sys.argv[1] + ":model"), own_loader(sys.argv[1] + ":loader")
if len(sys.argv) > 2:
    most = psutil.Process().memory_info().data + int(sys.argv[2]) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
table = SparsityProbe(["wide"], n_trees=2, interval=False).fit(model, loader).smoothness_
print(table.drop(columns="seconds").to_json())
"""


@linux
@pytest.mark.slow
def test_a_layer_larger_than_the_memory_has_the_same_row(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    rows = []
    for limit in ([], ["170"]):  # MB beyond what is taken before; the layer alone has 188
        done = subprocess.run(
            [sys.executable, "-c", IN_LITTLE_MEMORY, str(tmp_path / "own.py"), *limit],
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr
        rows.append(json.loads(done.stdout))
    assert rows[0] == rows[1] and rows[0]["n_samples"]["0"] == 6000


PROBED = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(3000, 12)
y = (x[:, 0] * x[:, 1] > 0).long()
model = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 2))
loader = {part: DataLoader(TensorDataset(x[k::2], y[k::2]), 250) for k, part in enumerate(["train", "fresh"])}
"""


def table_of(folder):
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills otherwise")
def test_a_probe_killed_at_any_moment_resumes(tmp_path):
    (tmp_path / "net.py").write_text(PROBED)
    given = [*COMMAND, "probe", "net.py:model", "--data", "net.py:loader", "--out"]

    def begun(out):
        return subprocess.Popen(
            [*given, out], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    started = time.monotonic()
    whole = begun("whole")
    assert not whole.wait(300), whole.stderr.read()
    lasts, rng, kills, done = time.monotonic() - started, random.Random(18), 0, None
    while done is None and kills < 40:
        killed = begun("killed")
        ends = time.monotonic() + rng.uniform(0.3, 0.9) * lasts
        while (done := killed.poll()) is None and time.monotonic() < ends:
            time.sleep(0.01)
        if done is None:
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
            kills += 1
        assert not done, killed.stderr.read()
    assert kills > 1 and not done and table_of(tmp_path / "killed") == table_of(tmp_path / "whole")
    left = sorted(path.name for path in (tmp_path / "killed").iterdir())
    assert left == sorted(path.name for path in (tmp_path / "whole").iterdir())
