"""The probe as a process of its own, in little memory."""

import json
import subprocess
import sys

import pytest

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
