"""A training run killed with SIGKILL, at every kind of moment, goes on bit for bit; the commands survive it.

Run as a script with a folder, it forks one process a moment (torch is imported once), lets it be killed,
resumes it in another process and compares the final weights and records with an uninterrupted run.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MOMENTS = {  # name: (what dies, at which call of it)
    "before the first checkpoint": ("save_checkpoint", 1),
    "in the first epoch's first batch": ("call_model", 1),
    "in a later epoch, half-way through its batches": ("call_model", 17),
    "while the epoch is evaluated": ("evaluate", 4),
    "in the middle of a record's line": ("append_line", 2),
    "between the record and the epoch's weights": ("save_checkpoint", 5),
    "in the middle of writing the checkpoint": ("torch.save", 4),
    "between the flush and the rename": ("os.replace", 7),
    "right after the checkpoint": ("random_states after", 3),
    "while resuming": ("restore_random_states", 1),
}
EPOCHS = 4


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def train_here(folder):
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    from mfoml_course import training

    generator = torch.Generator().manual_seed(0)
    X, y = torch.randn(96, 10, generator=generator), torch.arange(96) % 3
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loaders = (
        DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True),
        DataLoader(TensorDataset(X[:32], y[:32]), batch_size=32),
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3], 0.1)
    training.train(
        model, *loaders, optimizer=optimizer, scheduler=schedule, epochs=EPOCHS, out=folder, save_epochs=True
    )


def arm(moment):
    """Replace one function by one that dies at its n-th call, some of them half-way through their work."""
    import torch
    from mfoml_course import training
    from mfoml_course.training import checkpoints, steps

    what, n = MOMENTS[moment]
    name = what.split()[0].split(".")[-1]
    loop = {"call_model": steps, "evaluate": training, "torch.save": torch, "os.replace": os}
    owner = loop.get(what, checkpoints)
    original, calls = getattr(owner, name), []

    def deadly(*args, **kwargs):
        calls.append(1)
        if len(calls) < n:
            return original(*args, **kwargs)
        if what == "torch.save":
            args[1].write(b"half a checkpoint")
            args[1].flush()
        if what == "append_line":
            Path(args[0]).open("a").write('{"epoch": 2, "train_l')
        if what == "random_states after":
            result, replace = original(*args, **kwargs), os.replace
            os.replace = lambda *paths: (replace(*paths), die())
            return result
        die()

    setattr(owner, name, deadly)


def forked(work, *args):
    """The work in a forked process, which prints its traceback and ends with 1 where an error leaves it."""
    child = multiprocessing.get_context("fork").Process(target=work, args=args)
    child.start()
    return child


def in_child(work, *args):
    """Fork, do the work, return how the child ended: 0, or minus the signal's number."""
    child = forked(work, *args)
    child.join()
    return child.exitcode


def killed_after(seconds, folder):
    """A child that its parent kills from outside after so many seconds, unless it is over: how it ended."""
    child = forked(train_here, folder)
    child.join(seconds)
    child.kill()
    child.join()
    return child.exitcode


def outcome(folder):
    """Final weights of every kept epoch as bytes, and the records without their times."""
    from mfoml_course.training import load_checkpoint, read_records

    states = {p.name: load_checkpoint(p) for p in sorted((Path(folder) / "epochs").glob("*.pt"))}
    states["last"] = load_checkpoint(Path(folder) / "last.pt")["model"]
    weights = {name: b"".join(v.numpy().tobytes() for v in state.values()) for name, state in states.items()}
    return weights, read_records(folder).drop(columns="seconds").to_dict("records")


def warm_up():
    """Import once what torch imports at the first optimizer step, without a backward: no fork after one."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.Adam([weight])
    optimizer.step()
    torch.optim.lr_scheduler.MultiStepLR(optimizer, [1])


def main(root):
    import torch
    from mfoml_course import training  # imported once; the forked children share it

    torch.set_num_threads(1)
    warm_up()
    assert in_child(train_here, root / "straight") == 0
    truth, report = outcome(root / "straight"), {}
    for i, moment in enumerate(MOMENTS):
        folder = root / f"moment{i}"
        if moment == "while resuming":
            assert in_child(lambda: (arm("while the epoch is evaluated"), train_here(folder))) == -9
        ended = in_child(lambda: (arm(moment), train_here(folder)))
        done = (
            training.load_checkpoint(folder / "last.pt")["epoch"] if (folder / "last.pt").exists() else None
        )
        report[moment] = [ended, done, in_child(train_here, folder), outcome(folder) == truth]
    started = time.perf_counter()
    assert in_child(train_here, root / "timed") == 0
    whole = time.perf_counter() - started
    for i in range(4):
        folder, seconds = root / f"clock{i}", whole * (i + 1) / 6
        ended = [killed_after(seconds, folder), killed_after(seconds, folder)]
        report[f"killed twice after {i + 1}/6 of a run"] = [
            min(ended),
            None,
            in_child(train_here, folder),
            outcome(folder) == truth,
        ]
    print(json.dumps(report))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL, which this system lacks")
def test_a_run_killed_at_any_moment_resumes_bit_equal(tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert len(report) == len(MOMENTS) + 4
    for moment, (ended, _, resumed, equal) in report.items():
        if moment in MOMENTS:
            assert ended == -signal.SIGKILL, f"{moment}: the process was not killed"
        assert resumed == 0 and equal, (
            f"{moment}: resumed with {resumed}, equal {equal}\n{done.stderr[-2000:]}"
        )
    lost = {moment: epoch for moment, (_, epoch, _, _) in report.items()}
    assert (
        lost["right after the checkpoint"] == 2
        and lost["in a later epoch, half-way through its batches"] == 1
    )


def mfoml(*arguments, kill_when=None):
    """Exit code and output of the command in its own process; SIGKILL once `kill_when` is true."""
    command = "import sys; from mfoml_course.course.cli import main; main(sys.argv[1:], prog_name='mfoml')"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while kill_when is not None and process.poll() is None:
        if kill_when():
            process.send_signal(signal.SIGKILL)
        time.sleep(0.005)
    said = process.communicate(timeout=240)[0]
    return process.returncode, said


def n_lines(file):
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL, which this system lacks")
@pytest.mark.slow
def test_the_lectures_commands_survive_a_kill(tmp_path):
    from mfoml_course.training import read_records

    run = tmp_path / "run"
    train = [
        "train",
        "mnist-mlp",
        "--budget",
        "smoke",
        "--epochs",
        6,
        "--save-epochs",
        "--lr",
        0.01,
        "--out",
        run,
    ]
    code, said = mfoml(*train, kill_when=lambda: n_lines(run / "records.jsonl") >= 2)
    assert code == -signal.SIGKILL, said
    finished = n_lines(run / "records.jsonl")
    code, said = mfoml(*train)
    assert code == 0 and 2 <= finished < 6, said
    assert (
        read_records(run).epoch.tolist() == [1, 2, 3, 4, 5, 6] and len(list((run / "epochs").iterdir())) == 7
    )

    probe = [
        "probe",
        run,
        "--layers",
        "input,hidden_layers.*,fc",
        "--samples",
        400,
        "--trees",
        3,
        "--no-interval",
    ]

    def first_rows():
        """The rows of the untrained network, once there are some."""
        return [path for path in (run / "probe").rglob("rows.jsonl") if "epoch_0000" in path.as_posix()]

    code, said = mfoml(*probe, kill_when=lambda: any(n_lines(path) for path in first_rows()))
    assert code == -signal.SIGKILL, said
    [rows] = first_rows()
    before = rows.read_text()
    code, said = mfoml(*probe)
    assert code == 0, said
    assert rows.read_text().startswith(before.rpartition("\n")[0])
    layers = [json.loads(line)["layer"] for line in rows.read_text().splitlines()]
    assert layers[0] == "input" and layers[-1] == "fc" and len(layers) == len(set(layers)) == 14


if __name__ == "__main__":
    main(Path(sys.argv[1]))
