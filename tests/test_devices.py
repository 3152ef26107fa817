"""Devices: every command names one that there is not, and what the probe keeps lies with the processor."""

import gc
import weakref

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mfoml_course.probe
from mfoml_course.course.cli import main
from mfoml_course.course.projects import project_files
from mfoml_course.experiments.settings import chosen_device
from mfoml_course.probe import SparsityProbe


COMMANDS = ["train mnist1d-conv", "probe .", "collapse mnist1d-collapse", "glue", "bench encoders"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_of_another_name_is_refused_by_name(tmp_path, command):
    out = ["--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(main, [*command.split(), "--device", "gpu", *out])
    assert refused.exit_code == 1 and not (tmp_path / "run").exists()
    assert "on device 'gpu': use 'cpu', 'cuda' or 'cuda:1'" in refused.output


def test_a_project_s_preset_falls_back_with_a_word(tmp_path, monkeypatch):
    preset = {}
    exec(project_files(tmp_path / "ours", "vision")["preset.py"], preset)
    assert preset["SMOKE"].device is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="'cuda' was asked for, but torch sees no GPU here: the processor"):
        assert chosen_device(preset["Preset"](100, 1, 1, 50, device="cuda").device) == "cpu"


class Watched(nn.Module):
    """A layer that remembers which of its outputs are still held by somebody."""

    def __init__(self):
        super().__init__()
        self.outputs, self.held = [], []

    def forward(self, x):
        gc.collect()
        self.held.append(sum(output() is not None for output in self.outputs))
        y = torch.relu(x)
        self.outputs.append(weakref.ref(y))
        return y


def test_no_tensor_of_a_batch_outlives_it_and_forests_see_arrays(monkeypatch):
    seen = {}

    def row(probe, name, features, labels, **options):
        seen[name] = (type(features), type(labels), features.shape)
        return {"layer": name}

    monkeypatch.setattr(mfoml_course.probe, "layer_row", row)
    watched = Watched()
    model = nn.Sequential(nn.Linear(4, 8), watched, nn.Linear(8, 2))
    data = TensorDataset(torch.randn(60, 4), torch.arange(60) % 2)
    SparsityProbe(["0", "1", "2"]).fit(model, DataLoader(data, batch_size=10))
    gc.collect()
    assert len(watched.held) == 6 and max(watched.held) <= 1, watched.held  # at most the batch before
    assert not [output for output in watched.outputs if output() is not None]
    assert seen == {name: (np.ndarray, np.ndarray, (60, width)) for name, width in zip("012", (8, 8, 2))}
