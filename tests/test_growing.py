"""Forests on bins: the trees of scikit-learn and plain laws, on drawn data; and their memory."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor
from mfoml_course.growing import bin_features, engines, grow_forest
from mfoml_course.trees import forest_nodes
from mfoml_course.wavelets import m_term_sum

pytest.importorskip("numba")
LIMITS = (
    {},
    {"max_depth": 3},
    {"min_samples_leaf": 4},
    {"max_leaf_nodes": 9},
    {"max_depth": 6, "min_samples_leaf": 2},
)


def draw_data(seed, n_samples, n_features, n_values):
    """Features of few values, of which every third table misses some, and what depends on them a little."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, n_values, (n_samples, n_features)) * 0.37 - 3
    if seed % 3 == 0:
        holes = (rng.random(X.shape) < 0.3) & (rng.random(n_features) < 0.5)
        return np.where(holes, np.nan, X), X[:, 0] + 2 * holes[:, -1] + rng.normal(size=n_samples), rng
    return X, X[:, 0] + X[:, -1] * rng.random(n_samples) + rng.normal(size=n_samples), rng


def class_codes(signal, n_classes):
    """Classes 0, 1, ... of about equal size."""
    edges = np.quantile(signal, np.linspace(0, 1, n_classes + 1)[1:-1])
    return np.unique(np.digitize(signal, edges), return_inverse=True)[1]


def parts_of(t, node, X, rows):
    """The rows on both sides of a node's cut."""
    x = X[rows, t.feature[node]].astype(np.float32)
    goes = (x <= t.threshold[node]) | (np.isnan(x) & t.missing_left[node])
    return rows[goes], rows[~goes]


def squares_left(targets, parts):
    """The sum of squares within the parts."""
    return sum(((targets[rows] - targets[rows].mean(axis=0)) ** 2).sum() for rows in parts)


def cuts_of(t, X, targets, rows):
    """The rows of every node that is cut, and what its cut explains."""
    stack, cuts = [(0, rows)], []
    while stack:
        node, rows = stack.pop()
        if t.left[node] >= 0:
            parts = parts_of(t, node, X, rows)
            cuts.append((set(rows), squares_left(targets, [rows]) - squares_left(targets, parts)))
            stack += [(t.left[node], parts[0]), (t.right[node], parts[1])]
    return cuts


def one_of_equals(ours, theirs, X, targets, rows):
    """Whether best first had a choice: a node cut in one tree alone explains as much as another one."""
    first, second = (cuts_of(t, X, targets, rows) for t in (ours, theirs))
    pairs = [(a, b) for a in first for b in second if a[0] != b[0]]
    alone = [
        (a, b) for a, b in pairs if all(a[0] != c for c, _ in second) or all(b[0] != c for c, _ in first)
    ]
    return any(np.isclose(a, b, rtol=1e-9, atol=1e-9) for (_, a), (_, b) in alone)


def assert_same_until_ties(ours, theirs, X, targets, rows):
    """Each node is cut as scikit-learn cuts it, or by a cut that explains as much."""
    stack, root = [(0, 0, rows)], rows
    while stack:
        a, b, rows = stack.pop()
        if (ours.left[a] < 0) != (theirs.left[b] < 0) and one_of_equals(ours, theirs, X, targets, root):
            continue  # the nodes that were left over differ
        assert (ours.left[a] < 0) == (theirs.left[b] < 0)
        np.testing.assert_allclose(ours.value[a], theirs.value[b], atol=1e-12)
        if ours.left[a] < 0:
            continue
        parts, others = parts_of(ours, a, X, rows), parts_of(theirs, b, X, rows)
        if np.array_equal(parts[0], others[0]):
            assert ours.feature[a] != theirs.feature[b] or ours.missing_left[a] == theirs.missing_left[b]
            assert ours.feature[a] != theirs.feature[b] or ours.threshold[a] == theirs.threshold[b]
            stack += [(ours.left[a], theirs.left[b], parts[0]), (ours.right[a], theirs.right[b], parts[1])]
        else:  # cuts of equal gain
            left = squares_left(targets, parts), squares_left(targets, others)
            np.testing.assert_allclose(*left, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@example(2218, 22, 2, 5, 2, {"max_leaf_nodes": 9})  # two nodes of equal gain
@given(
    some.integers(0, 10**6),
    some.integers(5, 400),
    some.integers(1, 70),
    some.integers(2, 60),
    some.integers(2, 12),
    some.sampled_from(LIMITS),
)
def test_few_values_give_the_trees_of_scikit_learn(seed, n_samples, n_features, n_values, n_classes, limits):
    X, signal, rng = draw_data(seed, n_samples, n_features, n_values)
    codes = class_codes(signal, n_classes)
    bag = np.sort(rng.permutation(n_samples)[: max(2, n_samples * 4 // 5)])
    ours = grow_forest(bin_features(X, random_state=0), codes, bags=[bag], seeds=[seed], **limits)[0]
    theirs = forest_nodes(DecisionTreeClassifier(random_state=0, **limits).fit(X[bag], codes[bag]))[0]
    if ours.value.shape == theirs.value.shape:  # every class in the bag
        assert_same_until_ties(ours, theirs, X, np.eye(codes.max() + 1)[codes], bag)


@settings(max_examples=30, deadline=None)
@given(
    some.integers(0, 10**6),
    some.integers(5, 300),
    some.integers(1, 40),
    some.integers(2, 60),
    some.integers(1, 5),
    some.sampled_from(LIMITS),
)
def test_few_values_give_the_regression_trees_of_scikit_learn(
    seed, n_samples, n_features, n_values, n_outputs, limits
):
    X, signal, rng = draw_data(seed, n_samples, n_features, n_values)
    Y = np.round(signal[:, None] * rng.random(n_outputs) + rng.normal(size=(n_samples, n_outputs)), 3)
    bag = np.sort(rng.permutation(n_samples)[: max(2, n_samples * 4 // 5)])
    ours = grow_forest(bin_features(X, random_state=0), Y, Y, bags=[bag], seeds=[seed], **limits)[0]
    theirs = forest_nodes(DecisionTreeRegressor(random_state=0, **limits).fit(X[bag], Y[bag]))[0]
    assert_same_until_ties(ours, theirs, X, Y, bag)


def nodes_of(forest):
    """All arrays of a forest's trees, side by side."""
    names = ("feature", "threshold", "left", "right", "value", "measure")
    return {name: np.concatenate([getattr(t, name) for t in forest.nodes_]) for name in names}


@settings(max_examples=15, deadline=None)
@given(some.integers(0, 10**6), some.integers(60, 300), some.integers(1, 40), some.booleans())
def test_a_weight_of_two_is_a_row_twice_and_none_is_no_row(seed, n_samples, n_features, by_class):
    X, signal, rng = draw_data(seed, n_samples, n_features, 9)
    y = class_codes(signal, 3) if by_class else np.round(signal, 2)
    weight = rng.choice([0.0, 1.0, 2.0], n_samples)
    kept = np.repeat(np.arange(n_samples), weight.astype(int))
    make = WaveletForestClassifier if by_class else WaveletForestRegressor
    shape = dict(n_estimators=2, max_samples=1.0, engine="hist", max_depth=5, random_state=seed)
    weighted = nodes_of(make(**shape).fit(X, y, sample_weight=weight))
    repeated = nodes_of(make(**shape).fit(X[kept], y[kept]))
    np.testing.assert_array_equal(weighted["feature"], repeated["feature"])
    for name in ("threshold", "value", "measure"):
        np.testing.assert_allclose(weighted[name], repeated[name], atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(some.integers(0, 10**6), some.integers(30, 500), some.integers(1, 40), some.booleans())
def test_wavelets_add_up_whatever_the_threads(seed, n_samples, n_features, by_class):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    signal = np.sin(3 * X[:, 0]) + rng.normal(size=n_samples)
    make = WaveletForestClassifier if by_class else WaveletForestRegressor
    shape = dict(n_estimators=3, engine="hist", max_bins=int(rng.integers(2, 256)), random_state=seed)
    shape |= dict(max_features=float(rng.choice([0.5, 1.0])), bootstrap=bool(rng.integers(2)))
    y = class_codes(signal, 4) if by_class else signal
    forest = make(**shape).fit(X, y)
    leaves = forest.apply(X)
    mean = np.mean([t.value[leaf] for t, leaf in zip(forest.nodes_, leaves.T)], axis=0)
    summed = m_term_sum(forest.wavelets_, forest, X, n_terms=forest.wavelets_.n_wavelets)
    np.testing.assert_allclose(np.reshape(summed, mean.shape), mean, atol=1e-12)
    threaded = nodes_of(make(**shape, n_jobs=2).fit(X, y))
    for name, array in nodes_of(forest).items():
        np.testing.assert_array_equal(array, threaded[name])


@pytest.fixture(scope="module")
def halves():
    """A matrix whose numbers 16 bits hold: 12,000 x 1,000, its bins 12 MB."""
    rng = np.random.default_rng(0)
    X = (rng.integers(-500, 500, (12_000, 1000)) / 8).astype(np.float16)
    return X, (X[:, 3] > X[:, 7]).astype(int)


def kinds(X: np.ndarray, folder: Path):
    """The same numbers in other types, orders and places."""
    np.save(folder / "X.npy", X.astype(np.float32))
    yield X
    yield X.astype(np.float32)
    yield np.asfortranarray(X, dtype=np.float32)
    yield X.astype(np.float64)
    yield np.load(folder / "X.npy", mmap_mode="r")


def test_no_copy_of_the_matrix_whatever_its_type_order_and_place(halves, tmp_path):
    X, y = halves
    shape = dict(n_estimators=2, max_depth=3, engine="hist", random_state=0)
    expected = nodes_of(
        WaveletForestClassifier(**shape).fit(X, y)
    )  # compiled and imported before memory is counted
    allowed = 1.2 * X.size + 2**24  # bytes: the bins, a fifth more and 16 MiB; these trees have 15 nodes
    for given_X in kinds(X, tmp_path):
        tracemalloc.start()
        forest = WaveletForestClassifier(**shape).fit(given_X, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < allowed, f"{given_X.dtype}: {peak / 1e6:.1f} MB over X, allowed {allowed / 1e6:.1f}"
        for name, array in nodes_of(forest).items():
            np.testing.assert_array_equal(array, expected[name])
        assert forest.score(given_X[:500], y[:500]) > 0.8


def test_without_numba_forests_are_exact_and_it_is_said_once(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 9))  # up to 8 features are grown exactly anyway
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(engines, "has_numba", lambda: False)
    monkeypatch.setattr(engines, "WORTH_IT", 100)
    monkeypatch.setattr(engines, "_TOLD", [])
    with pytest.warns(UserWarning, match="numba is not installed") as told:
        forests = [WaveletForestRegressor(2, random_state=0).fit(X, X[:, 0]) for _ in range(2)]
    assert [forest.engine_ for forest in forests] == ["exact"] * 2 and len(told) == 1
    with pytest.raises(ImportError, match="engine='hist' needs numba: pip install numba"):
        WaveletForestRegressor(2, engine="hist").fit(X, X[:, 0])
