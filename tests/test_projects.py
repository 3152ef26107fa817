"""Every kind of new project passes its own tests, from outside of the course and in a process of its own."""

import os
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from mfoml_course.course.projects import KINDS, new_project


def run(folder, *command):
    environment = {key: value for key, value in os.environ.items() if key not in ("IN_TEST", "MFOML_BUDGET")}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_passes_its_own_tests(tmp_path, kind):
    made = run(tmp_path, "mfoml_course", "new-project", "ours", "--kind", kind)
    assert made.returncode == 0, made.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "ours").rglob("*") if path.is_file()}
    again = run(tmp_path, "mfoml_course", "new-project", "ours", "--kind", kind)
    assert again.returncode == 1 and "nothing was written" in again.stderr
    done = run(tmp_path / "ours", "pytest", "-q")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert all(path.read_bytes() == text for path, text in before.items()), "its tests change no file of it"


@pytest.mark.parametrize("kind", KINDS)
def test_ruff_has_nothing_to_say_about_a_new_project(tmp_path, kind):
    new_project(tmp_path / "ours", kind)
    wanted = ["--no-cache", "--line-length", "110"]
    checked = run(tmp_path, "ruff", "check", *wanted, "--select", "E,F,W,B", "--ignore", "B905", "ours")
    assert checked.returncode == 0, checked.stdout
    formatted = run(tmp_path, "ruff", "format", *wanted, "--check", "ours")
    assert formatted.returncode == 0, formatted.stdout


class Recordings(torch.utils.data.Dataset):
    """Tones of one second in two pitches."""

    def __init__(self, folder):
        noise = torch.Generator().manual_seed(len(folder))
        self.pitch = torch.arange(240) % 2
        times = torch.linspace(0, 1, 100)
        self.tones = torch.sin(
            30 * (1 + self.pitch[:, None]) * times + 6 * torch.rand(240, 1, generator=noise)
        )

    def __len__(self):
        return len(self.pitch)

    def __getitem__(self, number):
        return self.tones[number], int(self.pitch[number])


class Network(nn.Module):
    """Two blocks and a head."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(100, 16), nn.ReLU())
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.blocks(x))


def test_the_readmes_ten_lines_probe_a_modality_of_one_s_own(tmp_path):
    new_project(tmp_path / "ours", "signal")
    [code] = re.findall(r"```python\n(.*?)```", (tmp_path / "ours" / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    names = {"MyRecordings": Recordings, "MyNetwork": Network}
    exec(code, names)
    table = names["table"].set_index("layer")
    assert list(table.index) == ["input", "blocks.0", "blocks.1", "head"]
    assert set(table["n_samples"]) == {240} and table["verdict"].notna().all()
