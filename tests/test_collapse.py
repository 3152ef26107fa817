"""Neural-collapse metrics across two processes: a notebook holds one process only."""

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mfoml_course.collapse import ClassMeans, NeuralCollapse


def samples():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 90)
    return torch.tensor(rng.normal(size=(90, 6)) + 1e5 + y[:, None] * np.eye(4, 6)[y]), torch.tensor(y)


def two_passes(features, labels):
    first = ClassMeans(4, 6)
    first.update(features, labels)
    means = first.compute()
    second = NeuralCollapse(means, weight=means - means.mean(0))
    second.update(features, labels, predictions=labels)
    return means, second.compute()


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    features, labels = samples()
    mine = slice(0, 25) if rank == 0 else slice(25, None)  # unequal shares; rank 0 alone would know other means
    means, measures = two_passes(features[mine], labels[mine])
    torch.save({"means": means, **measures}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_measure_what_one_does(tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    means, measures = two_passes(*samples())
    for rank in range(2):
        theirs = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(theirs.pop("means"), means, rtol=0, atol=1e-10)
        assert theirs.keys() == measures.keys()
        for name, value in measures.items():
            torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-10, msg=name)
