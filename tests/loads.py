"""Large loads, each once, with what it cost: by hand.

python tests/loads.py --row FILE.json [--load kernels,samples,log,layer] [--kernels 20]
writes a row a load for the page of the campaign (`python tests/campaign.py --add FILE.json`):

kernels  a class on one machine: so many kernels run the first four notebooks at once
samples  1e6 samples through a forest, its wavelets, importance, curve and index
log      a training log of 1e6 lines, to which one more is added
layer    probes of two layers of 916 MiB, in processes that may take 600 and 800 MiB more than they start with
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from campaign import ROOT, row, write_rows

GB, MIB = 1e9, 2**20
FIRST = "00_start", "01_tools", "02_classic_ml", "03_forests"
N_SAMPLES = N_LINES = 10**6
LAYERS = ((40_000, 6_000, 600), (3_000, 80_000, 800))  # samples, features of 4 bytes, MiB that are allowed


class LowestMemory:
    """The least memory that the machine had left during a block, against before."""

    def __enter__(self):
        self.before = self.lowest = psutil.virtual_memory().available
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        """Look four times a second."""
        while not self.done.wait(0.25):
            self.lowest = min(self.lowest, psutil.virtual_memory().available)

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()

    @property
    def taken(self):
        """Bytes."""
        return self.before - self.lowest


def kernels(n):
    """Kernels at once, each with one of the first notebooks."""
    from mfoml_course.course.runner import run_notebook, workshop_environment

    async def all_at_once(out):
        paths = [ROOT / "nbs" / "workshop" / f"{FIRST[i % len(FIRST)]}.ipynb" for i in range(n)]
        env = workshop_environment("smoke") | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        runs = [run_notebook(path, Path(out, str(i)), env=env) for i, path in enumerate(paths)]
        return await asyncio.gather(*runs)

    with tempfile.TemporaryDirectory() as out, LowestMemory() as memory:
        for i in range(n):
            Path(out, str(i)).mkdir()
        results = asyncio.run(all_at_once(out))
    failed = [f"{one.name}: {one.error}" for one in results if one.result != "ok"]
    print(*failed, sep="\n")
    cells = sum(one.n_done for one in results)
    each = f"{memory.taken / n / GB:.2f} GB each"
    figure = (
        f"{n - len(failed)} of {n} notebooks ok, {cells} cells; {memory.taken / GB:.1f} GB at most, {each}"
    )
    return n, len(failed), figure


def samples(n):
    """A forest of three trees without a limit of depth on twenty features."""
    from mfoml_course.forest import WaveletForestRegressor
    from mfoml_course.importance import wavelet_importance

    rng = np.random.default_rng(7)
    X = rng.random((N_SAMPLES, 20), dtype=np.float32)
    y = np.sin(6 * X[:, 0]) + (X[:, 1] > X[:, 2]) * X[:, 3]
    began = time.process_time()
    forest = WaveletForestRegressor(3, random_state=0).fit(X, y)
    fitted, index = time.process_time() - began, forest.smoothness_index()
    shares = wavelet_importance(forest.wavelets_, tau=2)
    curve = forest.m_term_curve(X[::100], y[::100])
    seconds, n_wavelets = time.process_time() - began, forest.wavelets_.n_wavelets
    means = abs(forest.predict(X[::100]) - y[::100]).mean()
    wrong = [curve[-1] > curve[0] / 20, set(np.argsort(shares)[-4:]) != {0, 1, 2, 3}, not np.isfinite(means)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
    said = f"alpha {index.alpha:.3f} [{index.low:.3f}, {index.high:.3f}], {index.verdict}"
    cost = f"fit {fitted:.0f} CPU s, with all the rest {seconds:.0f}, peak {peak:.2f} GB"
    return 1, int(sum(wrong)), f"{n_wavelets} wavelets, {cost}; {said}"


def log(n):
    """A log that is written as training writes it, then one more line, then read."""
    from mfoml_course.records import append_line
    from mfoml_course.training import read_records

    def record(epoch):
        return {"epoch": epoch, "train_loss": 1 / (epoch + 1), "train_accuracy": 0.5, "layer": "block 1"}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "records.jsonl")
        append_line(path, record(0))
        line = path.read_text()
        with open(path, "a") as file:
            file.writelines(line.replace('"epoch": 0', f'"epoch": {i}') for i in range(1, N_LINES - 1))
        began = time.perf_counter()
        append_line(path, record(N_LINES - 1))
        added, began = time.perf_counter() - began, time.process_time()
        table = read_records(path)
        read = time.process_time() - began
        size = path.stat().st_size / 1e6
    whole = len(table) == N_LINES and (table["epoch"] == np.arange(N_LINES)).all()
    cost = f"a line is added in {1e3 * added:.1f} ms, all {len(table)} rows are read in {read:.1f} CPU s"
    return 1, int(not whole), f"{size:.2g} MB; {cost}"


PROBE = """
import resource, sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from mfoml_course.probe import SparsityProbe

torch.manual_seed(0)
torch.set_num_threads(1)
n_samples, n_features, allowed = map(int, sys.argv[1:])
x = torch.rand(n_samples, 20)
y = (x[:, 0] + x[:, 1] > 1).long()
model = nn.Sequential(nn.Linear(20, n_features), nn.ReLU(), nn.Linear(n_features, 2))
data = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + allowed * 2**20,) * 2)
probe = SparsityProbe(["1"], n_trees=2, baselines=False, engine="hist")
row = probe.fit(model, DataLoader(TensorDataset(x, y), 200)).smoothness_.iloc[0]
print(f"alpha {row.alpha:.3f} [{row.low:.3f}, {row.high:.3f}], {row.verdict}")
"""


def layer(n):
    """Processes of their own, whose private memory is limited."""
    told, faults = [], 0
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(PROBE)
        file.flush()
        for sizes in LAYERS:
            command = [sys.executable, file.name, *map(str, sizes)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            said = (done.stdout or done.stderr).strip().splitlines()[-1]
            samples, features, allowed = sizes
            size = f"{samples} x {features} ({4 * samples * features / MIB:.0f} MiB) within {allowed} MiB"
            told.append(f"{size}: {said}")
            faults += done.returncode != 0 or "alpha" not in said
    return len(LAYERS), faults, "of private memory, " + "; ".join(told)


LOADS = {
    "kernels": ("kernels that run the first notebooks at once", kernels),
    "samples": ("1e6 samples through wavelets and index", samples),
    "log": ("a training log of 1e6 lines", log),
    "layer": ("a probe of a layer larger than memory", layer),
}


def main():
    """Load by load into the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load", default=",".join(LOADS), help="names, with commas")
    parser.add_argument("--kernels", type=int, default=20)
    parser.add_argument("--row", type=Path, required=True, help="a JSON file, made or added to")
    asked, n_faults = parser.parse_args(), 0
    for name in asked.load.split(","):
        line, load = LOADS[name]
        began = time.monotonic()
        runs, faults, figure = load(asked.kernels)
        words = ["tests/loads.py", "--load", name, "--row", "FILE"]
        words += ["--kernels", str(asked.kernels)] if name == "kernels" else []
        write_rows(asked.row, [row(line, words, runs, faults, figure, round(time.monotonic() - began))])
        n_faults += faults
        print(f"{name}: {figure}", flush=True)
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
