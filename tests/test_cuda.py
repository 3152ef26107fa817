"""What stands on a GPU is what stands on the processor; skipped where torch sees none.

`mfoml test tests/test_cuda.py` on a machine that has one; `python tests/test_cuda.py` prints what it gains.
"""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mfoml_course.activations import collect_activations
from mfoml_course.collapse import measure_collapse
from mfoml_course.course.cli import main
from mfoml_course.experiments.run_costs import seconds_a_sample
from mfoml_course.experiments.timing import benchmark_step_cost
from mfoml_course.models import small_image_resnet
from mfoml_course.ncc import class_means, nearest_class_center
from mfoml_course.probe import SparsityProbe
from mfoml_course.svsl import SVSLoss, variability_loss
from mfoml_course.training import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
N, D, C = 600, 12, 3


def samples(n=N):
    """Three classes that a small network can tell apart."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % C
    return torch.randn(n, D, generator=generator) + 2 * nn.functional.one_hot(y, D), y


def network(device, dtype=None):
    torch.manual_seed(3)
    layers = nn.Linear(D, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, C)
    return nn.Sequential(*layers).to(device, dtype)


def loaders():
    X, y = samples()
    return DataLoader(TensorDataset(X, y), 50, shuffle=True), DataLoader(TensorDataset(X[:200], y[:200]), 50)


def trained(device, folder=None, epochs=4, **options):
    """A network after some epochs, and its records."""
    model = network(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    torch.manual_seed(1)
    options = {"loss": SVSLoss(1e-3, ["0", "4"]), **options}
    records = train(model, *loaders(), optimizer=optimizer, epochs=epochs, out=folder, **options)
    return model, records


def weights(model):
    return torch.cat([p.detach().double().flatten().cpu() for p in model.parameters()])


def test_measures_are_equal():
    X, y = samples()
    X, Y = X.double(), y.cuda()
    on = X.cuda()
    torch.testing.assert_close(variability_loss(on, Y).cpu(), variability_loss(X, y))
    means = class_means(X, y, n_classes=C)
    torch.testing.assert_close(class_means(on, Y, n_classes=C).cpu(), means)
    assert (nearest_class_center(on, means.cuda()).cpu() == nearest_class_center(X, means)).all()


def test_collapse_of_a_network_is_equal():
    found = []
    for device in ("cpu", "cuda"):
        model = network(device, torch.float64).eval()
        X, y = samples()
        batches = [
            (x.double().to(device), labels.to(device)) for x, labels in zip(X.split(100), y.split(100))
        ]
        found.append(measure_collapse(model, batches, batches, ["0", "2", "4"], n_classes=C, classifier="4"))
    assert found[0].keys() == found[1].keys()
    for layer, measures in found[0]["train"].items():
        assert found[1]["train"][layer] == pytest.approx(measures, rel=1e-9, nan_ok=True)
    assert found[1]["test"] == found[0]["test"]


@pytest.mark.parametrize("precision", [None, "bfloat16", "float16"])
def test_training_learns_in_every_precision(precision):
    _, records = trained("cuda", precision=precision, clip_norm=1.0, accumulate=2, epochs=8)
    assert records["test_accuracy"].iloc[-1] > 0.8
    assert np.isfinite(records["train_loss"]).all()


def test_a_run_goes_on_bit_for_bit_on_its_device(tmp_path):
    plain = {"loss": nn.CrossEntropyLoss()}
    whole, records = trained("cuda", tmp_path / "whole", **plain)
    trained("cuda", tmp_path / "halves", epochs=2, **plain)
    again, resumed = trained("cuda", tmp_path / "halves", **plain)
    assert torch.equal(weights(whole), weights(again))
    assert records.drop(columns="seconds").equals(resumed.drop(columns="seconds"))


def test_a_run_with_svsl_goes_on_up_to_rounding(tmp_path):
    """Class means add rows in whatever order the GPU's threads come, so bits are not promised there."""
    whole, _ = trained("cuda", tmp_path / "whole")
    trained("cuda", tmp_path / "halves", epochs=2)
    again, _ = trained("cuda", tmp_path / "halves")
    torch.testing.assert_close(weights(whole), weights(again), rtol=1e-3, atol=1e-4)


def test_a_run_of_the_gpu_is_read_and_goes_on_without_one(tmp_path):
    model, _ = trained("cuda", tmp_path / "run", epochs=2)
    read, _ = trained("cpu", tmp_path / "run", epochs=2)
    assert torch.equal(weights(model), weights(read))
    _, records = trained("cpu", tmp_path / "run")
    assert len(records) == 4 and records["test_accuracy"].iloc[-1] > 0.8


def test_activations_leave_the_gpu_and_the_probe_says_the_same():
    model = network("cuda").eval()
    X, y = samples(4000)
    loader = DataLoader(TensorDataset(X, y), 500)
    before = torch.cuda.memory_allocated()
    found = collect_activations(model, loader, ["input", "2", "4"])
    assert torch.cuda.memory_allocated() <= before
    there = SparsityProbe(["2", "4"], n_trees=2).fit(model, loader).smoothness_
    model.cpu()
    here = SparsityProbe(["2", "4"], n_trees=2).fit(model, loader).smoothness_
    for name, features in collect_activations(model, loader, ["input", "2", "4"]).features.items():
        np.testing.assert_allclose(found.features[name], features, atol=1e-4)
    for on, off in zip(there.to_dict("records"), here.to_dict("records")):
        assert on["verdict"] == off["verdict"] and on["layer"] == off["layer"]
        assert on["verdict"] != "measured" or off["low"] <= on["alpha"] <= off["high"]


def test_commands_compute_there(tmp_path):
    run = str(tmp_path / "run")
    asked = [
        ["train", "mnist1d-conv", "--budget", "smoke", "--epochs", "3", "--save-epochs", "--out", run],
        ["probe", run, "--samples", "500"],
        ["collapse", "mnist1d-collapse", "--budget", "smoke", "--out", run + "-collapse"],
    ]
    for command in asked:
        result = CliRunner().invoke(main, [*command, "--device", "cuda"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert "network on cuda" in result.output
    assert CliRunner().invoke(main, ["report", run]).exit_code == 0


def test_a_step_is_timed_to_its_end():
    """Nothing is left in the queue when the clock is read: a kernel that only waits is no step."""
    model = small_image_resnet("resnet18", 10, input_channel_number=3, width=64).cuda()
    batch = torch.randn(256, 3, 32, 32, device="cuda"), torch.randint(10, (256,), device="cuda")
    assert seconds_a_sample(model, batch, n_steps=1) > 0
    assert torch.cuda.current_stream().query()
    assert benchmark_step_cost(model, batch=(64, 3, 32, 32), n_steps=1)["ratio"] > 0
    assert torch.cuda.current_stream().query()


def gains():
    """What a GPU gains here: seconds of a training step, a sample, on both devices."""
    torch.manual_seed(0)
    found = {"device": torch.cuda.get_device_name(0), "torch": torch.__version__}
    batch = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
    for device in ("cpu", "cuda"):
        model = small_image_resnet("resnet18", 10, input_channel_number=3, width=64).to(device)
        given = tuple(part.to(device) for part in batch)
        found[f"ResNet18, {device}"] = seconds_a_sample(model, given, n_steps=10)
    found["SVSL, cuda"] = benchmark_step_cost(model, batch=(128, 3, 32, 32), n_steps=15)
    return found


if __name__ == "__main__":
    print(json.dumps(gains(), indent=1))
