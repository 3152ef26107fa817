"""Networks under torch's DDP: what two processes measure together is what one measures."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mfoml_course.collapse import measure_collapse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo's files are not shared there"),
]
LAYERS = ["0", "2"]


def network():
    """A small network whose weights are the same everywhere."""
    rng = np.random.default_rng(3)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        for values in net.parameters():
            values.copy_(torch.as_tensor(rng.normal(size=tuple(values.shape))))
    return net


def batches(first, last, size):
    """Samples of three classes, in their order, cut into batches."""
    rng = np.random.default_rng(5)
    x, y = torch.as_tensor(rng.normal(size=(90, 4)) + 30), torch.arange(3).repeat_interleave(30)
    return [(x[i : min(i + size, last)], y[i : min(i + size, last)]) for i in range(first, last, size)]


def one_of_two(rank, file, failing):
    """What one of two processes finds: the first has two classes, the second two others."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(network())
    own = batches(0, 53, 7) if rank == 0 else batches(53, 90, 10)
    if failing and rank == 1:
        own[0] = (own[0][0], own[0][1] + 9)
    print(json.dumps(measure_collapse(model, own, own[:2], LAYERS, n_classes=3, classifier="2")))
    torch.distributed.destroy_process_group()


def both(tmp_path, failing=False):
    """The last lines of two processes: of what they print, or of their errors."""
    here = {**os.environ, "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    given = [(str(rank), str(tmp_path / "meeting"), "failing" * failing) for rank in (0, 1)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pair = [subprocess.Popen([sys.executable, __file__, *own], env=here, **pipes) for own in given]
    try:
        return [process.communicate(timeout=120)[failing].splitlines()[-1] for process in pair]
    finally:
        for process in pair:
            process.kill()


def test_two_processes_measure_what_one_does(tmp_path):
    first, second = map(json.loads, both(tmp_path))
    train, test = batches(0, 90, 30), batches(0, 14, 14) + batches(53, 73, 20)
    alone = measure_collapse(network(), train, test, LAYERS, n_classes=3, classifier="2")
    for found in (first, second):
        assert found["test"] == pytest.approx(alone["test"], abs=1e-12)
        for layer in LAYERS:
            assert found["train"][layer] == pytest.approx(alone["train"][layer], rel=1e-9, nan_ok=True), layer
    np.testing.assert_equal(first, second)


def test_a_process_that_fails_ends_the_other_by_name(tmp_path):
    first, second = both(tmp_path, failing=True)
    assert "RuntimeError: process 1 failed" in first and "ValueError: layer '0'" in second  # after [rank0]:


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), sys.argv[2], bool(sys.argv[3]))
