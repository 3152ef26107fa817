"""Networks under torch's DDP: what two processes measure, or write, together is what one does."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mfoml_course.activations import collect_activations
from mfoml_course.activations.chunks import open_chunks, spill_activations

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


def batches_of(rank):
    """Those of one of two processes: the first has two classes, the second two others."""
    return batches(0, 53, 7) if rank == 0 else batches(53, 90, 10)


def measures(model, rank, failing):
    """Prints what the process finds; where it fails, the second one's labels are no classes."""
    from mfoml_course.collapse import measure_collapse  # takes longest to import, and is not always needed

    own = batches_of(rank)
    if failing and rank == 1:
        own[0] = (own[0][0], own[0][1] + 9)
    print(json.dumps(measure_collapse(model, own, own[:2], LAYERS, n_classes=3, classifier="2")))


def spills(model, rank, folder):
    """Writes its rows; the second is killed after three batches where the folder's name says so."""
    own = batches_of(rank)

    def loader():
        for k, batch in enumerate(own):
            if k == 3 and rank == 1 and folder.endswith("killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    print(spill_activations(model, loader(), LAYERS, folder=folder, chunk_rows=10).name)


def one_of_two(rank, file, work, given):
    """One of two processes of a run."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(network())
    {"measures": measures, "spills": spills}[work](model, rank, given)
    torch.distributed.destroy_process_group()


def both(meeting, work, given=""):
    """Exit codes of two processes, and the last lines of what they print and of their errors."""
    here = {**os.environ, "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command = [sys.executable, __file__]
    pair = [
        subprocess.Popen([*command, str(rank), str(meeting), work, str(given)], env=here, **pipes)
        for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=120) for process in pair]
        lines = [[text.splitlines()[-1] if text else "" for text in both] for both in said]
        return [(process.returncode, *own) for process, own in zip(pair, lines)]
    finally:
        for process in pair:
            process.kill()


def test_two_processes_measure_what_one_does(tmp_path):
    from mfoml_course.collapse import measure_collapse

    first, second = (json.loads(printed) for _, printed, _ in both(tmp_path / "meeting", "measures"))
    train, test = batches(0, 90, 30), batches(0, 14, 14) + batches(53, 73, 20)
    alone = measure_collapse(network(), train, test, LAYERS, n_classes=3, classifier="2")
    for found in (first, second):
        assert found["test"] == pytest.approx(alone["test"], abs=1e-12)
        for layer in LAYERS:
            assert found["train"][layer] == pytest.approx(alone["train"][layer], rel=1e-9, nan_ok=True), layer
    np.testing.assert_equal(first, second)


def test_a_process_that_fails_ends_the_other_by_name(tmp_path):
    (_, _, first), (_, _, second) = both(tmp_path / "meeting", "measures", "failing")
    assert "RuntimeError: process 1 failed" in first and "ValueError: layer '0'" in second  # after [rank0]:


def read(folder):
    """Rows of all layers and labels, in one memory."""
    features, labels = open_chunks(folder)
    return {name: array.compute() for name, array in features.items()}, labels.compute()


def test_two_processes_that_write_at_once_write_what_one_keeps(tmp_path):
    ended = both(tmp_path / "meeting", "spills", tmp_path / "rows")
    assert [end[:2] for end in ended] == [(0, "part-00000.zarr"), (0, "part-00001.zarr")], ended
    kept = collect_activations(network(), batches(0, 90, 30), LAYERS)
    features, labels = read(tmp_path / "rows")
    assert np.array_equal(labels, kept.labels) and list(features) == LAYERS
    for name, rows in features.items():
        np.testing.assert_allclose(rows, kept.features[name], rtol=1e-12, atol=1e-12)
    again = both(tmp_path / "again", "spills", tmp_path / "rows")
    assert all(code and "part-00000.zarr is there already" in error for code, _, error in again), again


def test_one_of_two_that_write_is_killed_and_the_next_run_is_whole(tmp_path):
    folder = tmp_path / "killed"
    ended = both(tmp_path / "meeting", "spills", folder)
    assert [code for code, _, _ in ended] == [0, -signal.SIGKILL], ended
    with pytest.raises(ValueError, match="the parts of 2 processes.*part-00001 was not finished"):
        open_chunks(folder)
    folder = folder.rename(tmp_path / "rows")
    assert [end[:1] for end in both(tmp_path / "again", "spills", folder)] == [(0,), (0,)]
    both(tmp_path / "third", "spills", tmp_path / "undisturbed")
    np.testing.assert_equal(read(folder), read(tmp_path / "undisturbed"))
    assert sorted(path.name for path in folder.iterdir()) == ["part-00000.zarr", "part-00001.zarr"]


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), *sys.argv[2:])
