"""Forests on dask arrays and a real cluster of two worker processes, of which one is killed in the middle."""

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytest.importorskip("numba")

import dask.array as da  # noqa: E402

from mfoml_course import machines  # noqa: E402
from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor  # noqa: E402
from mfoml_course.forest.partitioned import in_one_memory  # noqa: E402
from mfoml_course.machines import growth  # noqa: E402
from mfoml_course.importance import wavelet_importance  # noqa: E402
from mfoml_course.partitions import cluster as clusters  # noqa: E402
from mfoml_course.wavelets import forest_wavelets, m_term_curve, m_term_sum, wavelet_norms  # noqa: E402

TREES = dict(n_estimators=2, max_depth=6, random_state=0)


@pytest.fixture(scope="module")
def cluster():
    quiet = {"distributed.scheduler.allowed-failures": 3, "distributed.worker.memory.terminate": False}
    with dask.config.set(quiet):
        two = dict(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
        with distributed.LocalCluster(**two) as local:
            yield local


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as ours:
        ours.wait_for_workers(2, timeout=240)
        yield ours


@pytest.fixture
def near(monkeypatch):
    """Nodes are gathered from 400 rows down, so that levels are grown by histograms."""
    monkeypatch.setattr(machines, "near_rows", lambda n_blocks: 400)


def some_rows(first, n_rows, n_features=6):
    """Rows that a task makes from their numbers."""
    return np.random.default_rng(first).normal(size=(n_rows, n_features))


def made(n_rows=3000, chunk=750):
    """X and classes as dask arrays whose partitions are made by tasks."""
    parts = [dask.delayed(some_rows)(first, chunk) for first in range(0, n_rows, chunk)]
    X = da.concatenate([da.from_delayed(part, (chunk, 6), float) for part in parts])
    return X, (X[:, 0] + X[:, 1] ** 2 > 1).astype(int) + (X[:, 2] > 1)


def killed_once(cluster, monkeypatch, at):
    """Kills a worker before the level with this number."""
    level, calls = growth.grow_level, []

    def counted(*given):
        calls.append(1)
        if len(calls) == at:
            kill_one(cluster)
        return level(*given)

    monkeypatch.setattr(growth, "grow_level", counted)
    return calls


def kill_one(cluster):
    worker = next(iter(cluster.workers.values()))
    os.kill(worker.process.process.pid, signal.SIGKILL)


def same(one, other):
    """Whether the trees are equal node for node, and the rest to 1e-9."""
    for a, b in zip(one.nodes_, other.nodes_, strict=True):
        for name in ("left", "right", "feature", "threshold", "n_samples"):
            assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
        assert np.allclose(a.value, b.value, rtol=0, atol=1e-9)
    for name in vars(one.wavelets_.honest):
        first, second = (getattr(f.wavelets_.honest, name) for f in (one, other))
        assert np.allclose(first, second, rtol=0, atol=1e-9, equal_nan=True), name
    ends = [(i.alpha, i.low, i.high) for i in (one.smoothness_index(), other.smoothness_index())]
    assert np.allclose(*ends, rtol=0, atol=1e-9, equal_nan=True)


KILLS = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")


@KILLS
def test_a_killed_worker_leaves_the_same_trees(cluster, client, near, monkeypatch):
    X, y = made()
    calls = killed_once(cluster, monkeypatch, at=2)
    forest = WaveletForestClassifier(**TREES).fit(X, y)
    assert len(calls) > 2
    same(forest, in_one_memory(forest, X.compute(), y.compute()))
    assert np.allclose(forest.predict_proba(X).compute(), forest.predict_proba(X.compute()))


def trained(kind, client, X, y):
    """A model that two workers have trained together, and its labels as a dask array."""
    if "LGBM" in kind:
        pytest.importorskip("lightgbm")
    else:
        pytest.importorskip("xgboost", "3.0")  # before it, it reads dask of 2024 only
    pytest.importorskip("pyarrow", reason="both libraries want dask[dataframe]")
    small = dict(n_estimators=3, max_depth=4)
    if kind == "Booster":
        from xgboost import dask as library

        given = {"max_depth": 4, "objective": "reg:squarederror"}
        rows = library.DaskDMatrix(client, X, y)
        return library.train(client, given, rows, num_boost_round=3)["booster"]
    if "XGB" in kind:
        from xgboost import dask as library
    else:
        import lightgbm as library

        small |= dict(verbose=-1, min_child_samples=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM names parameters that it replaces
        return getattr(library, kind)(**small, client=client if "LGBM" in kind else None).fit(X, y)


SLOW = pytest.mark.slow
MODELS = ["Booster"]  # each library is imported by three processes
MORE = [
    "DaskLGBMClassifier",
    "DaskXGBClassifier",
    "DaskXGBRegressor",
    "DaskXGBRFRegressor",
    "DaskLGBMRegressor",
]


@pytest.mark.parametrize("kind", [*MODELS, *(pytest.param(name, marks=SLOW) for name in MORE)])
def test_models_that_others_train_on_a_cluster(client, kind):
    X, y = made()
    X = X.astype(np.float32)
    if kind == "DaskXGBClassifier":  # LightGBM's own workers die where one of them lacks a class
        y = da.where(da.arange(3000, chunks=750) > 2900, 3, y)  # a class of one partition
    model = trained(kind, client, X, y)
    rows, labels = X.compute(), y.compute()
    for measure in ("samples", "volume"):
        far, near = (forest_wavelets(model, *given, measure=measure) for given in ((X, y), (rows, labels)))
        for ask in (wavelet_norms, wavelet_importance):
            assert np.allclose(ask(far), ask(near), rtol=1e-9, atol=0)
    curve = m_term_curve(far, model, X, y)
    assert np.allclose(curve, m_term_curve(near, model, rows, labels), rtol=1e-9, atol=0)
    assert curve[-1] < 0.9 * curve[0]
    some = m_term_sum(far, model, X, n_terms=7).compute()
    assert np.allclose(some, m_term_sum(near, model, rows, n_terms=7), rtol=1e-9, atol=1e-12)


def rows_of_two(n_rows=600):
    """X and classes in one memory."""
    X = some_rows(0, n_rows)
    return X, (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)


def deadly_once(number, path):
    """Kills its worker when it is called first; the file remembers that it has."""
    if number == 1 and not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
@KILLS
@pytest.mark.parametrize("engine", ["hist", "exact"])
def test_trees_side_by_side_are_the_local_ones_also_when_a_worker_dies(client, engine, tmp_path):
    X, y = rows_of_two()
    forest = WaveletForestClassifier(n_estimators=6, engine=engine, random_state=0)
    local = forest.fit(X, y).wavelets_
    with joblib.parallel_config(backend="dask"):
        assert forest.fit(X, y).wavelets_.fingerprint == local.fingerprint
        numbers = [(number, str(tmp_path / "fallen")) for number in (1, 2, 3)]
        assert clusters.side_by_side(deadly_once, numbers) == [1, 2, 3]
    assert (tmp_path / "fallen").exists()


@pytest.mark.slow
@KILLS
def test_a_task_that_kills_its_workers_is_given_up_by_name(cluster, client, monkeypatch):
    def deadly(part):
        if len(part) and part.shape[0] == 100:
            os.kill(os.getpid(), 9)
        return part

    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    X = da.ones((300, 3), chunks=100).map_blocks(deadly, dtype=float, meta=np.empty((0, 3)))
    with pytest.raises(RuntimeError, match="died again and again.*smaller chunks"):
        WaveletForestRegressor(**TREES).fit(X, da.arange(300, chunks=100))
    client.wait_for_workers(2, timeout=240)
    deadline = time.monotonic() + 60  # what is given up is taken from the workers a moment later
    while any(client.processing().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(client.processing().values())


@pytest.mark.slow
def test_nobody_waits_for_workers_that_are_not_there(cluster, client, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 1.0)
    X, y = made()
    cluster.scale(0)
    try:
        while client.nthreads():
            time.sleep(0.1)
        with pytest.raises(ConnectionError, match="no worker has been there for 1 s"):
            WaveletForestClassifier(**TREES).fit(X, y)
    finally:
        cluster.scale(2)


MINE = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
x = torch.randn(600, 3)


def loader():
    return [(x, (x[:, 0] + x[:, 1] ** 2 > 1).long())]
"""


@pytest.mark.slow
def test_a_probe_with_its_trees_on_a_cluster_has_the_same_rows(cluster, tmp_path):
    from click.testing import CliRunner

    from mfoml_course.course.looks import command_probe
    from mfoml_course.probe import read_rows

    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    tables = []
    for name, more in (("here", []), ("there", ["--cluster", cluster.scheduler_address])):
        asked = [f"{mine}:model", "--data", f"{mine}:loader", "--out", str(tmp_path / name), *more]
        result = CliRunner().invoke(command_probe, asked)
        assert result.exit_code == 0, result
        rows = read_rows(tmp_path / name)
        tables.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    assert len(tables[0]) == 3
    np.testing.assert_equal(*tables)


@pytest.mark.slow
def test_a_scheduler_without_workers_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(clusters, "ANSWER", "3s")
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as local:
        with pytest.raises(ConnectionError, match="has no workers: start some by 'dask worker tcp://"):
            with clusters.connected(local.scheduler_address):
                pass


def house(folder, kind):
    """A folder that a worker's Python finds first: this package in another version or code, another NumPy."""
    import mfoml_course

    own = Path(mfoml_course.__file__).parent
    if kind == "another NumPy":
        (folder / "sitecustomize.py").write_text("import numpy\nnumpy.__version__ = '1.0'\n")
        return folder
    (folder / "mfoml_course").mkdir()
    for path in own.iterdir() if kind != "an empty one" else ():
        if path.name not in ("__init__.py", "_modidx.py", "__pycache__"):
            (folder / "mfoml_course" / path.name).symlink_to(path)
    words = (own / "__init__.py").read_text()
    if kind == "another version":
        words = re.sub('__version__ = ".*"', '__version__ = "9.9"', words)
    (folder / "mfoml_course" / "__init__.py").write_text(words + "\n# of another checkout\n")
    return folder


def worker_in(folder, scheduler, log):
    """A worker process of dask that imports from a folder first."""
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-nanny", "--nthreads=1"]
    command += ["--no-dashboard", f"--local-directory={folder}"]
    there = dict(env={**os.environ, "PYTHONPATH": paths}, cwd=folder)  # -m looks there first
    return subprocess.Popen(command, **there, stdout=log, stderr=log)


FOREIGN = {
    "another version": r"mfoml_course 9\.9 \(code .{8}\) at worker tcp",
    "another code": r"mfoml_course [0-9.]+ \(code .{8}\) at worker tcp",
    "another NumPy": r"numpy 1\.0 at worker tcp",
    "an empty one": r"none at tcp.*No module named|mfoml_course 0.* at worker tcp",  # or an editable one's
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links to folders")
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_worker_of_another_house_is_named_and_nothing_is_left_running(kind, tmp_path):
    X, y = made()
    rows, labels = rows_of_two()
    near = WaveletForestClassifier(**TREES).fit(rows, labels)
    nobody = dict(n_workers=0, dashboard_address=None, silence_logs=50)
    with open(tmp_path / "log", "w") as log, distributed.LocalCluster(**nobody) as local:
        worker = worker_in(house(tmp_path, kind), local.scheduler_address, log)
        try:
            with distributed.Client(local) as client:
                client.wait_for_workers(1, timeout=240)
                for ask in (
                    lambda: WaveletForestClassifier(**TREES).fit(X, y),
                    lambda: m_term_curve(near.wavelets_, near, X, y),
                    lambda: near.predict(X),
                    lambda: beside(rows, labels),
                ):
                    with pytest.raises(ImportError, match="(?s)on every worker.*" + FOREIGN[kind]):
                        ask()
                assert not any(client.processing().values()) and not any(client.has_what().values())
            with pytest.raises(ImportError, match="(?s)on every worker.*" + FOREIGN[kind]):
                with clusters.connected(local.scheduler_address):
                    pass
        finally:
            worker.kill()
            worker.wait()


def beside(X, y):
    """A forest whose trees are grown side by side on the cluster."""
    with joblib.parallel_config(backend="dask"):
        return WaveletForestClassifier(**TREES).fit(X, y)


def wide_rows(first, n_rows):
    """250 features of doubles."""
    return np.random.default_rng(first).random((n_rows, 250), dtype=np.float32).astype(float)


def largest_size():
    """The most memory that this process has held, in bytes (`ru_maxrss` begins with its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the most memory is read from /proc")
def test_data_of_four_times_a_workers_limit_fit_and_no_worker_passes_it():
    limit, chunk, n_parts = 600 * 2**20, 12_500, 100
    pieces = [dask.delayed(wide_rows)(k, chunk) for k in range(n_parts)]
    X = da.concatenate([da.from_delayed(piece, (chunk, 250), float) for piece in pieces])
    assert X.nbytes > 3.97 * limit
    y = (X[:, 0] + X[:, 1] > 1).astype(int)
    two = dict(n_workers=2, threads_per_worker=1, memory_limit=limit, dashboard_address=None, silence_logs=50)
    with distributed.LocalCluster(**two) as local, distributed.Client(local) as client:
        pids = client.run(os.getpid)
        forest = WaveletForestClassifier(n_estimators=1, max_depth=5, random_state=0).fit(X, y)
        sizes = client.run(largest_size)
        assert client.run(os.getpid) == pids, "a worker was started again"
    assert max(sizes.values()) < limit, sizes
    assert forest.nodes_[0].n_nodes > 30 and set(forest.nodes_[0].feature[:3]) <= {0, 1}
    print({worker: f"{size / 2**20:.0f} of {limit / 2**20:.0f} MiB" for worker, size in sizes.items()})
