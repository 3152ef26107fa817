"""Commands that are killed at any moment, started twice at once, or find the end of a file torn off."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "killpg"), reason="needs groups of processes, which this system lacks"
    ),
]
PATIENCE = 600  # seconds for one command


def started(*arguments):
    """The command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mfoml_course", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(process):
    """What it printed, and that it went well."""
    said = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, said
    return said


def killed(process, seconds):
    """Whether it was killed with all its children after that time; False where it had ended before."""
    time.sleep(seconds)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    return alive


def killed_somewhere(arguments, place, seconds):
    """Kill a run that takes `seconds` in a new folder, earlier and earlier, until it is killed at work."""
    for share in (0.8, 0.6, 0.4, 0.2, 0.1):
        shutil.rmtree(place, ignore_errors=True)
        if killed(started(*arguments, place), share * seconds):
            return
    raise AssertionError(f"ended within a tenth of {seconds:.1f} s, five times")


def rows_of(folder):
    """All rows that were written, without their seconds."""

    def read(path):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: value for name, value in row.items() if "second" not in name} for row in rows]

    return {path.relative_to(folder).as_posix(): read(path) for path in sorted(folder.rglob("*.jsonl"))}


def test_a_probe_that_is_killed_doubled_or_torn_gives_the_same_rows(tmp_path):
    run = tmp_path / "run"
    train = ("train", "mnist1d-conv", "--budget", "smoke", "--epochs", 2, "--save-epochs")
    finished(started(*train, "--out", run))
    options = ("--samples", 300, "--trees", 2, "--no-interval", "--layers", "input,fc")
    probe = ("probe", run, *options)
    began = time.monotonic()
    finished(started(*probe, "--out", tmp_path / "whole"))
    seconds, expected = time.monotonic() - began, rows_of(tmp_path / "whole")
    assert expected

    again = tmp_path / "again"
    killed_somewhere((*probe, "--out"), again, seconds)
    killed(started(*probe, "--out", again), random.Random(5).uniform(0.1, 0.9) * seconds)
    finished(started(*probe, "--out", again))
    assert rows_of(again) == expected

    for file in again.rglob("rows.jsonl"):
        file.write_bytes(file.read_bytes()[:-9])
    finished(started(*probe, "--out", again))
    assert rows_of(again) == expected

    both = [started(*probe, "--out", tmp_path / "both") for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[0] for process in both]
    for process, words in zip(both, said):
        assert process.returncode == 0 or "is in use by process" in words, words
    assert any(process.returncode == 0 for process in both)
    assert rows_of(tmp_path / "both") == expected


OWN_NETWORK = """
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


def test_a_probe_of_ones_own_network_is_killed_until_it_ends(tmp_path):
    (tmp_path / "net.py").write_text(OWN_NETWORK)
    probe = ("probe", f"{tmp_path / 'net.py'}:model", "--data", f"{tmp_path / 'net.py'}:loader", "--out")
    began = time.monotonic()
    finished(started(*probe, tmp_path / "whole"))
    seconds, kills, rng = time.monotonic() - began, 1, random.Random(18)
    killed_somewhere(probe, tmp_path / "again", seconds)
    while kills < 40 and killed(started(*probe, tmp_path / "again"), rng.uniform(0.3, 0.9) * seconds):
        kills += 1
    finished(started(*probe, tmp_path / "again"))
    assert kills < 40 and rows_of(tmp_path / "again") == rows_of(tmp_path / "whole")
    left, expected = (sorted(p.name for p in (tmp_path / name).iterdir()) for name in ("again", "whole"))
    assert left == expected


def test_a_workshop_that_is_killed_runs_again(tmp_path):
    workshop = ("workshop", "--notebook", "01_tools", "--out")
    began = time.monotonic()
    finished(started(*workshop, tmp_path / "whole"))
    seconds, again = time.monotonic() - began, tmp_path / "again"
    killed_somewhere(workshop, again, seconds)
    said = finished(started(*workshop, again))
    assert (again / "report" / "index.html").is_file() and "report" in said

    both = [started(*workshop, tmp_path / "both") for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[0] for process in both]
    ended = sorted(process.returncode for process in both)
    assert ended == [0, 1] and any("is in use by process" in words for words in said), said


def test_commands_that_are_killed_at_random_moments_end_as_if_undisturbed(tmp_path):
    found = tmp_path / "found.json"
    asked = ["--only", "train,collapse,bench svsl", "--n", "27", "--seed", "17", "--out", found]
    script = Path(__file__).parent / "kills.py"
    subprocess.run([sys.executable, script, *map(str, asked), "--folder", tmp_path / "in"], check=True)
    rows = json.loads(found.read_text())
    assert [row["differs"] for row in rows] == [[], [], []] and sum(len(row["kills"]) for row in rows) > 3
