"""The laws of the mathematics over drawn shapes, number types and degenerate inputs: by hand and weekly.

python tests/laws.py --minutes 30 [--seed 7] [--law NAME ...] tries the laws in turn until the time is up,
prints the smallest case of each failure, keeps it in laws_kept.json, and leaves with 1 if there was any.
test_laws.py tries every kept case, and a few new ones.
"""

import argparse
import inspect
import json
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as some
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from mfoml_course.besov import VERDICTS, smoothness_index, smoothness_interval
from mfoml_course.collapse import (
    ClassMeans,
    NeuralCollapse,
    class_distance_normalized_variance,
    simplex_etf_error,
    variability_collapse,
)
from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor
from mfoml_course.ncc import class_means, ncc_mismatch, nearest_class_center
from mfoml_course.sparsity import besov_seminorm, log_sparsity, sparsity, sparsity_derivative
from mfoml_course.svsl import variability_loss
from mfoml_course.trees import forest_nodes
from mfoml_course.wavelets import forest_wavelets, m_term_curve, m_term_sum, wavelet_norms

KEPT = Path(__file__).with_name("laws_kept.json")

# How features can be: what a table from outside may hold.
FEATURES = (
    "normal",
    "few values",
    "constant",
    "repeated rows",
    "huge",
    "tiny",
    "far off",
    "boolean",
    "heavy",
)
LABELS = ("noise", "step", "constant", "spike", "far off", "tiny", "huge", "linear", "two outputs")
TYPES = ("float64", "float32", "int32", "fortran", "strided", "read-only")
FORESTS = ("ours", "ours hist", "ours r=2", "bagged", "random", "extra", "tree", "boosted")
SEEDS = some.integers(0, 2**31 - 1)


def draw_features(rng, n_samples, n_features, kind):
    """A table of features of one kind."""
    X = rng.normal(size=(n_samples, n_features))
    changes = {
        "few values": lambda: rng.integers(0, 3, X.shape).astype(float),
        "constant": lambda: np.where(np.arange(n_features) % 2 == 0, 4.25, X),
        "repeated rows": lambda: X[rng.integers(0, max(1, n_samples // 4), n_samples)],
        "huge": lambda: X * 1e30,
        "tiny": lambda: X * 1e-30,
        "far off": lambda: X + 1e6,
        "boolean": lambda: (X > 0).astype(float),
        "heavy": lambda: np.clip(rng.standard_cauchy(X.shape), -1e30, 1e30),
    }
    return changes.get(kind, lambda: X)()


def draw_labels(rng, X, kind):
    """Labels of one kind: numbers."""
    noise = rng.normal(size=len(X))
    spike = np.zeros(len(X))
    spike[rng.integers(len(X))] = 1.0
    drawn = {
        "noise": noise,
        "step": (X[:, 0] > np.median(X[:, 0])) * 2.0 - 1,
        "constant": np.full(len(X), -3.5),
        "spike": spike,
        "far off": noise + 1e8,
        "tiny": noise * 1e-200,
        "huge": noise * 1e120,
        "linear": X @ np.arange(1.0, X.shape[1] + 1),
        "two outputs": np.stack([noise, X[:, -1] > np.mean(X[:, -1])], axis=1),
    }
    return drawn[kind]


def as_type(X, kind):
    """The same numbers in another array."""
    if kind in ("float64", "float32"):
        return X.astype(kind)
    if kind == "int32":
        return np.clip(np.rint(X * 8), -(2**30), 2**30).astype(np.int32)
    if kind == "strided":
        return np.repeat(X, 2, axis=0)[::2]
    X = np.asfortranarray(X) if kind == "fortran" else X.copy()
    X.flags.writeable = kind != "read-only"
    return X


def grown(kind, X, y, random_state):
    """A fitted forest of one kind, with few trees."""
    ours = dict(n_estimators=3, random_state=random_state)
    made = {
        "ours": lambda: WaveletForestRegressor(**ours, engine="exact"),
        "ours hist": lambda: WaveletForestRegressor(**ours, engine="hist"),
        "ours r=2": lambda: WaveletForestRegressor(**ours, order=2, engine="exact"),
        "bagged": lambda: BaggingRegressor(
            DecisionTreeRegressor(),
            n_estimators=3,
            max_samples=0.8,
            bootstrap=False,
            random_state=random_state,
        ),
        "random": lambda: RandomForestRegressor(3, random_state=random_state),
        "extra": lambda: ExtraTreesRegressor(3, random_state=random_state),
        "tree": lambda: DecisionTreeRegressor(max_depth=4, random_state=random_state),
        "boosted": lambda: GradientBoostingRegressor(n_estimators=4, random_state=random_state),
    }
    return made[kind]().fit(X, y)


def table(case):
    """Features and labels of a case."""
    rng = np.random.default_rng(case["draw"])
    X = draw_features(rng, case["n"], case["d"], case["features"])
    X = as_type(X, case["type"])
    y = draw_labels(rng, np.asarray(X, float), case["labels"])
    if case.get("forest") == "boosted" and y.ndim == 2:
        y = y[:, 0]
    return X, y


def size_of(y):
    """The size that differences of labels are compared with."""
    return float(np.abs(y).max()) or 1.0


TABLE = dict(
    draw=SEEDS,
    n=some.integers(1, 60),
    d=some.integers(1, 6),
    features=some.sampled_from(FEATURES),
    labels=some.sampled_from(LABELS),
    type=some.sampled_from(TYPES),
)
FOREST = dict(TABLE, forest=some.sampled_from(FORESTS))


def law_all_terms_are_the_prediction(**case):
    """Root mean and all wavelets give the forest's own prediction, also where it has not learnt."""
    X, y = table(case)
    forest = grown(case["forest"], X, y, 0)
    w = forest_wavelets(forest, X, y) if not case["forest"].startswith("ours") else forest.wavelets_
    fresh = np.random.default_rng(1).normal(size=X.shape)
    for Z in (X, as_type(fresh, case["type"])):
        direct = forest.predict(Z)
        Y = m_term_sum(w, forest, Z, n_terms=w.n_wavelets)
        np.testing.assert_allclose(Y.reshape(direct.shape), direct, rtol=1e-7, atol=1e-9 * size_of(y))


def law_curve_is_the_error(**case):
    """The curve's entry M is the error of the M-term sum, from 0 to all, and is finite."""
    X, y = table(case)
    forest = grown(case["forest"], X, y, 0)
    w = forest_wavelets(forest, X, y) if not case["forest"].startswith("ours") else forest.wavelets_
    curve = m_term_curve(w, forest, X, y)
    assert curve.shape == (w.n_wavelets + 1,) and np.isfinite(curve).all()
    scale = max(
        float(np.square(np.asarray(y, float) - np.mean(y, axis=0)).max()),
        curve.max(),
        1e-12 * size_of(y) ** 2,
    )
    for M in {0, w.n_wavelets // 3, w.n_wavelets}:
        Y = m_term_sum(w, forest, X, n_terms=M).reshape(len(X), -1)
        direct = np.square(Y - np.reshape(y, (len(X), -1))).sum(1).mean()
        np.testing.assert_allclose(curve[M], direct, rtol=1e-6, atol=1e-6 * scale)


def law_parseval(**case):
    """The squared norms of a tree sum to what it explains of its own labels."""
    X, y = table(case)
    tree = DecisionTreeRegressor(random_state=0).fit(X, y)
    norms = wavelet_norms(forest_wavelets(tree))
    Y = np.reshape(y, (len(X), -1)).astype(float)
    left = np.square(Y - np.reshape(tree.predict(X), Y.shape)).sum(1).mean()
    total = np.square(Y - Y.mean(0)).sum(1).mean()
    assert np.isfinite(norms).all() and (norms >= 0).all()
    np.testing.assert_allclose(np.square(norms).sum(), total - left, rtol=1e-6, atol=1e-12 * size_of(y) ** 2)


def law_norms_scale_with_labels(**case):
    """y -> c y with c a power of two: the same cuts, norms times c; the index stays."""
    X, y = table(case)
    c = 2.0 ** case["power"]
    y = np.asarray(y, float)
    one, two = (grown("ours", X, labels, 0).wavelets_ for labels in (y, c * y))
    assert np.array_equal(one.node, two.node) and np.array_equal(one.feature, two.feature)
    a, b = wavelet_norms(one), wavelet_norms(two)
    np.testing.assert_allclose(b, c * a, rtol=1e-7, atol=1e-10 * c * size_of(y))


def law_order_of_samples_of_a_tree(**case):
    """Norms of a tree are those of the table with its columns twice: a tie goes to the first."""
    X, y = table(case)
    one = grown("ours hist", X, y, 0)
    again = grown("ours hist", X, y, 0)
    assert np.array_equal(one.predict(X), again.predict(X))
    value = np.reshape(y, (len(X), -1)).astype(float)
    Y_hat = np.reshape(one.predict(X), value.shape)
    room = 1e-9 * size_of(y)
    assert (Y_hat >= value.min(0) - room).all() and (Y_hat <= value.max(0) + room).all()


def law_affine_labels_have_no_wavelets_of_order_two(**case):
    """An affine function has no wavelets of order 2, whatever the trees are."""
    rng = np.random.default_rng(case["draw"])
    X = draw_features(rng, case["n"], case["d"], case["features"])
    if case["features"] in ("huge", "tiny", "heavy"):
        X = X / (np.abs(X).max() or 1)
    y = X @ rng.integers(-3, 4, case["d"]) + 2.0
    forest = grown("random", X, y, 0)
    w = forest_wavelets(forest, X, y, order=2)
    # a bag's affine fit is the function itself where the bag determines it on the samples
    if case["n"] >= 8 * (case["d"] + 1) and case["features"] in ("normal", "far off"):
        assert wavelet_norms(w).max(initial=0) <= 1e-6 * size_of(y - y.mean())
    Y = m_term_sum(w, forest, X, n_terms=w.n_wavelets)
    assert np.isfinite(Y).all()


def law_limits_are_kept(**case):
    """Depth, leaves and their samples stay within what was asked, on both engines."""
    X, y = table(case)
    limits = dict(max_depth=case["depth"], min_samples_leaf=case["leaf"], max_leaf_nodes=case["leaves"])
    for engine in ("exact", "hist"):
        forest = WaveletForestRegressor(2, engine=engine, random_state=0, **limits).fit(X, y)
        for nodes in forest_nodes(forest):
            leaves = nodes.left < 0
            assert leaves.sum() <= (limits["max_leaf_nodes"] or np.inf)
            assert nodes.n_samples[leaves].min() >= min(limits["min_samples_leaf"], nodes.n_samples[0])
            depth = np.zeros(nodes.n_nodes, int)
            for node in np.flatnonzero(~leaves):
                depth[[nodes.left[node], nodes.right[node]]] = depth[node] + 1
            assert depth.max() <= (limits["max_depth"] or np.inf)


def law_weights_are_repetitions(**case):
    """Whole weights on a whole bag say the same as repeated rows: norms and predictions."""
    X, y = table(case)
    weight = np.random.default_rng(case["draw"]).integers(1, 4, len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    settings_ = dict(n_estimators=1, max_samples=1.0, random_state=0, max_depth=3)
    for engine in ("exact", "hist"):
        forest = WaveletForestRegressor(engine=engine, **settings_)
        weighed = forest.fit(X, y, sample_weight=weight).predict(X)
        repeated = forest.fit(X[rows], y[rows]).predict(X)
        explained = [np.square(np.reshape(p - y, (len(X), -1))).sum(1) @ weight for p in (weighed, repeated)]
        # ties may fall either way, what is explained at the root may not differ by more than they allow
        total = np.square(np.reshape(y - np.average(y, axis=0, weights=weight), (len(X), -1))).sum(1) @ weight
        assert max(explained) <= total * (1 + 1e-9) + 1e-12 * size_of(y) ** 2


def has_unseen(n_samples):
    """Whether bags of four fifths leave a sample out; where they do not, there is a refusal that says so."""
    return round(0.8 * n_samples) < n_samples


def law_honest_terms(**case):
    """Out of bag: energies are finite, a kept number of terms lies in its range, predictions too."""
    X, y = table(case)
    forest = WaveletForestRegressor(4, engine=case["engine"], n_terms="oob", random_state=0)
    if not has_unseen(case["n"]):
        return
    forest.fit(X, y)
    assert 0 <= forest.n_terms_ <= forest.wavelets_.n_wavelets
    assert np.isfinite(forest.predict(X)).all()
    honest = forest_wavelets(forest, X, y).honest
    if honest is not None:
        for name in ("claimed", "energy", "variance"):
            values = getattr(honest, name)
            assert not np.isnan(values).any(), name
        assert (honest.claimed >= 0).all() and (honest.variance >= 0).all()


def assert_whole(index):
    """A verdict of the list with its sentence; an index lies in its interval (starved: a bound)."""
    assert index.verdict in VERDICTS and index.reason
    assert not np.isnan([index.low, index.high]).any() and index.low <= index.high, index
    is_bound = index.verdict == "starved" or np.isnan(index.alpha)
    assert is_bound or index.low <= index.alpha <= index.high, index


def law_index_is_whole(**case):
    """The index: a verdict of the list, low <= alpha <= high, alpha = 1/tau - 1/2, a sentence; scale-free."""
    X, y = table(case)
    y = np.asarray(y if np.ndim(y) == 1 else y[:, 0], float)
    forest = grown(case["forest"], X, y, 0)
    w = forest_wavelets(forest, X, y)
    try:
        index = smoothness_index(w, method=case["method"])
    except ValueError as error:
        assert any(word in str(error) for word in ("constant", "wavelet", "another unit")), error
        return
    assert_whole(index)
    if np.isfinite(index.tau) and index.tau > 0 and np.isfinite(index.alpha):
        assert abs(index.alpha - (1 / index.tau - 0.5)) <= 1e-9 * (1 + abs(index.alpha))


def law_interval_or_reason(**case):
    """The interval of a forest: whole, or a ValueError that says why."""
    X, y = table(case)
    forest = grown(case["forest"], X, y, 0)
    try:
        index = smoothness_interval(forest, X, y, random_state=0)
    except ValueError as error:
        assert len(str(error)) > 20
        return
    assert_whole(index)


def draw_norms(case):
    """Norms from flat to steep, with zeros and repetitions, over many scales."""
    rng = np.random.default_rng(case["draw"])
    norms = 10.0 ** (case["scale"] + case["spread"] * rng.standard_normal(case["n"]))
    norms[rng.random(case["n"]) < case["zeros"]] = 0
    return np.clip(norms, 0, 1e150)


NORMS = dict(
    draw=SEEDS,
    n=some.integers(1, 300),
    scale=some.integers(-120, 120),
    spread=some.sampled_from((0.0, 0.1, 1.0, 8.0)),
    zeros=some.sampled_from((0.0, 0.3, 1.0)),
    tau=some.floats(1e-3, 20.0),
    trees=some.integers(1, 50),
)


def law_sparsity(**case):
    """N is homogeneous, falls with tau, has the slope of its formula, and its logarithm is finite."""
    norms, tau, J = draw_norms(case), case["tau"], case["trees"]
    value = log_sparsity(norms, tau, n_trees=J)
    if not norms.any():
        assert value == -np.inf and sparsity(norms, tau, n_trees=J) == 0
        return
    assert np.isfinite(value)
    assert np.isclose(
        log_sparsity(norms * 2.0**-7, tau, n_trees=J), value - 7 * np.log(2), rtol=1e-12, atol=1e-9
    )
    assert np.isclose(log_sparsity(norms, tau, n_trees=2 * J), value - np.log(2), rtol=1e-12, atol=1e-9)
    assert log_sparsity(norms, tau * 1.01, n_trees=J) <= value + 1e-9 * abs(value)
    assert value >= np.log(norms.max()) - np.log(J) - 1e-9 * abs(value)
    slope = sparsity_derivative(norms, tau, n_trees=J)
    assert slope <= 0 and not np.isnan(slope)
    shuffled = np.random.default_rng(0).permutation(norms)
    assert np.isclose(log_sparsity(shuffled, tau, n_trees=J), value, rtol=1e-12, atol=1e-12)
    step = 1e-5 * tau
    difference = log_sparsity(norms, tau + step, n_trees=J) - log_sparsity(norms, tau - step, n_trees=J)
    size = sparsity(norms, tau, n_trees=J)
    if np.isfinite([size, slope]).all() and size > 0:
        rounding = 4e-16 * (1 + abs(value)) / step
        assert np.isclose(slope / size, difference / (2 * step), rtol=1e-4, atol=10 * rounding + 1e-9)


def law_seminorm(**case):
    """The seminorm scales with the labels, is finite or inf, never nan, and 0 for a constant."""
    X, y = table(case)
    y = np.asarray(y if np.ndim(y) == 1 else y[:, 0], float)
    tree = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, y)
    value = besov_seminorm(tree, X, y, alpha=case["alpha"], order=1)
    assert value >= 0 and not np.isnan(value)
    if np.ptp(y) == 0:
        assert value <= 1e-9 * size_of(y)
    twice = besov_seminorm(tree, X, 2.0 * y, alpha=case["alpha"], order=1)
    assert np.isclose(twice, 2 * value, rtol=1e-7) or not np.isfinite(twice)


CLASSES = dict(
    draw=SEEDS,
    n=some.integers(1, 80),
    d=some.integers(1, 12),
    C=some.integers(2, 9),
    offset=some.sampled_from((0.0, 1.0, 1e4)),
    scale=some.sampled_from((1e-6, 1.0, 1e6)),
    spread=some.sampled_from((0.0, 0.1, 3.0)),
    type=some.sampled_from(("float32", "float64", "float16")),
    absent=some.booleans(),
)


def draw_classes(case):
    """Features around class means, some classes absent; and whole labels."""
    rng = np.random.default_rng(case["draw"])
    labels = rng.integers(0, case["C"] - 1 if case["absent"] else case["C"], case["n"])
    centres = rng.integers(-4, 5, (case["C"], case["d"]))
    noise = case["spread"] * np.rint(16 * rng.normal(size=(case["n"], case["d"]))) / 16
    kind = getattr(torch, case["type"])
    scale = 1.0 if kind == torch.float16 else case["scale"]
    offset = min(case["offset"], 1.0) if kind == torch.float16 else case["offset"]
    features = torch.tensor(scale * (centres[labels] + noise + offset)).to(kind)
    return features, torch.tensor(labels), rng


def law_class_means(**case):
    """Means are those of a plain loop; absent classes are nan; the order of samples does not matter."""
    h, labels, rng = draw_classes(case)
    means = class_means(h, labels, n_classes=case["C"])
    for c in range(case["C"]):
        if not (labels == c).any():
            assert means[c].isnan().all()
            continue
        plain = h[labels == c].double().mean(0)
        assert torch.allclose(
            means[c].double(), plain, rtol=1e-5, atol=1e-6 * float(h.double().abs().max() + 1e-30)
        )
    turn = torch.tensor(rng.permutation(case["n"]))
    again = class_means(h[turn], labels[turn], n_classes=case["C"])
    size = float(h.double().abs().max()) or 1.0
    assert torch.allclose(again.double(), means.double(), rtol=1e-5, atol=1e-6 * size, equal_nan=True)


def law_nearest_center(**case):
    """The nearest center is nearest by a plain distance, never absent; the mismatch is in [0, 1]."""
    h, labels, _ = draw_classes(case)
    means = class_means(h, labels, n_classes=case["C"])
    nearest = nearest_class_center(h, means)
    distance = (h.double()[:, None] - means.double()).square().sum(-1).nan_to_num(torch.inf)
    chosen = distance.gather(1, nearest[:, None])[:, 0]
    size = float(h.double().square().sum(1).max())
    eps = torch.finfo(torch.float32 if h.dtype == torch.float16 else h.dtype).eps
    assert (chosen <= distance.min(1).values * (1 + 1e-4) + 64 * eps * size).all()
    mismatch = float(ncc_mismatch(h, means, labels))
    assert 0 <= mismatch <= 1
    assert np.isclose(mismatch, float((nearest != labels).double().mean()))


def law_collapse(**case):
    """A stream in batches is the whole; NC1 knows neither scale nor place; all are at least 0."""
    h, labels, _ = draw_classes(case)
    h = h.double()
    means = class_means(h, labels, n_classes=case["C"])
    if len(labels.unique()) < case["C"]:
        return
    whole, stream, found = NeuralCollapse(means), NeuralCollapse(means), ClassMeans(case["C"], case["d"])
    whole.update(h, labels, labels)
    for start in range(0, case["n"], 7):
        stream.update(h[start : start + 7], labels[start : start + 7], labels[start : start + 7])
        found.update(h[start : start + 7], labels[start : start + 7])
    size = float(h.abs().max()) or 1.0
    assert torch.allclose(found.compute().double(), means.double(), rtol=1e-9, atol=1e-10 * size)
    one, two = whole.compute(), stream.compute()
    for name in one:
        assert torch.allclose(
            one[name].double(), two[name].double(), rtol=1e-6, atol=1e-12, equal_nan=True
        ), name
        assert not one[name] < 0, name
    nc1 = variability_collapse(h, labels, means=means)
    assert torch.allclose(nc1.double(), one["nc1"].double(), rtol=1e-6, atol=1e-12, equal_nan=True)
    moved = variability_collapse(2.0 * h + 4.0 * size, labels, n_classes=case["C"])
    if float(nc1) > 1e-9:
        assert torch.allclose(moved.double(), nc1.double(), rtol=1e-3)


def law_measures_know_no_order(**case):
    """Classes renamed: NC2 and CDNV stay."""
    h, labels, rng = draw_classes(case)
    h = h.double()
    if len(labels.unique()) < case["C"]:
        return
    turn = torch.tensor(rng.permutation(case["C"]))
    one, two = (class_means(h, labels_, n_classes=case["C"]) for labels_ in (labels, turn[labels]))
    a, b = simplex_etf_error(one), simplex_etf_error(two)
    assert torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-9, equal_nan=True)
    a, b = (class_distance_normalized_variance(h, l_, n_classes=case["C"]) for l_ in (labels, turn[labels]))
    assert torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-9, equal_nan=True)


def law_variability(**case):
    """SVSL is the loop of its formula in both balances, knows no shift, and its gradients sum to zero."""
    h, labels, _ = draw_classes(case)
    h = h.float().requires_grad_()
    size = float(h.detach().abs().max()) or 1.0
    plain = h.detach().double()
    parts = {int(c): plain[labels == c] for c in labels.unique()}
    spread = {c: (rows - rows.mean(0)).square().sum(1) for c, rows in parts.items()}
    wanted = {
        "sample": torch.cat(list(spread.values())).mean(),
        "class": torch.stack([part.mean() for part in spread.values()]).mean(),
    }
    room = 1e-12 * case["d"] * size**2
    for balance, value in wanted.items():
        loss = variability_loss(h, labels, balance=balance)
        assert torch.allclose(loss.double(), value, rtol=1e-3, atol=room), balance
        (slope,) = torch.autograd.grad(loss, h)
        assert slope.isfinite().all()
        assert float(slope.sum(0).abs().max()) <= 1e-4 * size


def law_classifier(**case):
    """Probabilities are at least 0 and sum to 1; all terms give the vote; labels are of the kind given."""
    X, y = table({**case, "labels": "noise"})
    rng = np.random.default_rng(case["draw"])
    names = {
        "text": np.array(list("abcdefgh")),
        "boolean": np.array([False, True]),
        "number": np.arange(-3, 5),
    }
    classes = names[case["names"]]
    labels = classes[rng.integers(0, min(case["C"], len(classes)), len(X))]
    if len(np.unique(labels)) < 2 or (case["terms"] == "oob" and not has_unseen(len(X))):
        return
    forest = WaveletForestClassifier(3, engine=case["engine"], n_terms=case["terms"], random_state=0)
    forest.fit(X, labels)
    proba = forest.predict_proba(X)
    assert (proba >= 0).all() and np.allclose(proba.sum(1), 1)
    assert set(forest.predict(X)) <= set(labels) and forest.predict(X).dtype.kind == labels.dtype.kind


def law_foreign_classifiers(**case):
    """Of scikit-learn's forest: all terms are the simplex image of its probabilities."""
    X, _ = table({**case, "labels": "noise"})
    labels = np.random.default_rng(case["draw"]).integers(0, case["C"], len(X))
    if len(np.unique(labels)) < 2:
        return
    forest = RandomForestClassifier(3, random_state=0).fit(X, labels)
    w = forest_wavelets(forest)
    Y = m_term_sum(w, forest, X, n_terms=w.n_wavelets)
    L = len(forest.classes_)
    assert Y.shape == (len(X), L - 1)
    length = np.square(Y).sum(1)
    proba = forest.predict_proba(X)
    assert np.allclose(length, (L * np.square(proba).sum(1) - 1) / (L - 1), atol=1e-9)


KINDS = dict(
    law_all_terms_are_the_prediction=FOREST,
    law_curve_is_the_error=FOREST,
    law_parseval=TABLE,
    law_norms_scale_with_labels=dict(TABLE, power=some.integers(-40, 40)),
    law_order_of_samples_of_a_tree=TABLE,
    law_affine_labels_have_no_wavelets_of_order_two=TABLE,
    law_limits_are_kept=dict(
        TABLE,
        depth=some.none() | some.integers(1, 5),
        leaf=some.integers(1, 9),
        leaves=some.none() | some.integers(2, 9),
    ),
    law_weights_are_repetitions=TABLE,
    law_honest_terms=dict(TABLE, engine=some.sampled_from(("exact", "hist"))),
    law_index_is_whole=dict(
        FOREST, method=some.sampled_from(("consensus", "tail", "zipf", "scale", "angle"))
    ),
    law_interval_or_reason=FOREST,
    law_sparsity=NORMS,
    law_seminorm=dict(TABLE, alpha=some.floats(0.05, 0.95)),
    law_class_means=CLASSES,
    law_nearest_center=CLASSES,
    law_collapse=CLASSES,
    law_measures_know_no_order=CLASSES,
    law_variability=CLASSES,
    law_classifier=dict(
        TABLE,
        C=some.integers(2, 8),
        names=some.sampled_from(("text", "boolean", "number")),
        engine=some.sampled_from(("exact", "hist")),
        terms=some.sampled_from((None, "oob", 2, 0.5)),
    ),
    law_foreign_classifiers=dict(TABLE, C=some.integers(2, 6)),
)
LAWS = {name: globals()[name] for name in KINDS}


def try_case(name, case):
    """One law on one case; warnings of numpy's and scikit-learn's are not asked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        LAWS[name](**case)


def falsify(name, number, n_cases):
    """The smallest case that breaks a law, with its error; None where none was found."""
    last = []

    def law(**case):
        try:
            try_case(name, case)
        except Exception as error:
            last[:] = [case, error]
            raise

    parameters = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in KINDS[name]]
    law.__signature__ = inspect.Signature(parameters)
    law.__name__ = law.__qualname__ = name
    silent = settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    try:
        silent(seed(number)(given(**KINDS[name])(law)))()
    except Exception:
        if not last:
            raise
        return tuple(last)
    return None


def kept_cases():
    """The kept failures of former runs: law, case."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else []


def keep(name, case):
    """Add a case to the kept ones, unless it is there."""
    cases = kept_cases()
    row = {"law": name, "case": case}
    if row not in cases:
        lines = ",\n".join(" " + json.dumps(one) for one in [*cases, row])
        KEPT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def told(name, case, error):
    """A failure in words: the case, the error's first line and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return (
        f"{name} fails on {json.dumps(case)}\n"
        f"  {type(error).__name__}: {first} ({Path(where.filename).name}:{where.lineno})"
    )


def main(arguments=None):
    """Try the laws in turn until the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=60, help="of a law in one turn")
    parser.add_argument("--law", action="append", choices=list(LAWS))
    parser.add_argument("--row", type=Path, help="a JSON file with rows of the campaign, made or added to")
    options = parser.parse_args(arguments)
    end, number, failed, tried = time.monotonic() + 60 * options.minutes, options.seed, {}, 0
    names = options.law or list(LAWS)
    for row in kept_cases():
        if row["law"] in names:
            try_case(row["law"], row["case"])
    while time.monotonic() < end and len(failed) < len(names):
        for name in names:
            if name in failed or time.monotonic() > end:
                continue
            tried += options.cases
            if found := falsify(name, number, options.cases):
                failed[name] = found
                print(told(name, *found), flush=True)
                keep(name, found[0])
        number += 1
        print(f"seeds {options.seed} to {number - 1}: {tried} cases, {len(failed)} laws fail", flush=True)
    if options.row:
        from campaign import row, write_rows

        words = ["tests/laws.py", "--minutes", f"{options.minutes:g}", "--seed", str(options.seed)]
        figure = f"{len(names)} laws, seeds {options.seed} to {number - 1}: {len(failed)} laws fail"
        line, seconds = "laws over drawn shapes, types and degenerate inputs", round(60 * options.minutes)
        write_rows(options.row, [row(line, words, tried, len(failed), figure, seconds)])
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
