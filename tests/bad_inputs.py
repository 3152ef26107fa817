"""Bad inputs of twelve kinds at the public doors that take arrays, and parameters that are none, as a table.

python tests/bad_inputs.py [--out FILE.md] [--door NAME ...] calls every door with each argument spoilt in
turn, writes the table, and prints what was answered without an error. An answer is right where FINE names
it: nothing else may be silent.
"""

import argparse
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from mfoml_course.besov import smoothness_growth, smoothness_index, smoothness_interval
from mfoml_course.collapse import (
    ClassMeans,
    class_distance_normalized_variance,
    self_duality_error,
    simplex_etf_error,
    variability_collapse,
)
from mfoml_course.datasets import load_mnist1d, load_wine_quality
from mfoml_course.datasets.functions import known_smoothness
from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor
from mfoml_course.importance import wavelet_importance
from mfoml_course.ncc import class_means, ncc_mismatch, nearest_class_center
from mfoml_course.records.tables import write_table
from mfoml_course.simplex import encode_labels, simplex_probabilities, simplex_vertices
from mfoml_course.sparsity import besov_seminorm, log_sparsity, sparsity, sparsity_derivative
from mfoml_course.svsl import SVSLoss, variability_loss
from mfoml_course.trees import forest_nodes
from mfoml_course.wavelets import forest_wavelets, m_term_curve, m_term_sum, wavelet_norms

ADDRESS = r"0x[0-9a-f]{6,}"  # of an object, which is another in every run
RNG = np.random.default_rng(0)
X = RNG.random((60, 3))
Y = X[:, 0] + RNG.normal(size=60) / 9
FOREST = RandomForestRegressor(3, max_depth=3, random_state=0).fit(X, Y)
W = forest_wavelets(FOREST)
H, LABELS = RNG.normal(size=(60, 4)), np.arange(60) % 3
MEANS = class_means(H, LABELS).numpy()
NORMS = wavelet_norms(W)


def fitted(engine: str) -> Callable:
    """A call that fits a regressor."""
    return lambda X, y: WaveletForestRegressor(3, engine=engine, random_state=0).fit(X, y)


DOORS = {  # name: the call, its good arguments
    "class_means": (class_means, dict(features=H, labels=LABELS)),
    "nearest_class_center": (nearest_class_center, dict(features=H, means=MEANS)),
    "ncc_mismatch": (ncc_mismatch, dict(features=H, means=MEANS, predictions=LABELS)),
    "variability_collapse": (variability_collapse, dict(features=H, labels=LABELS)),
    "class_distance_normalized_variance": (
        class_distance_normalized_variance,
        dict(features=H, labels=LABELS),
    ),
    "simplex_etf_error": (simplex_etf_error, dict(means=MEANS)),
    "self_duality_error": (self_duality_error, dict(weight=MEANS, means=MEANS)),
    "variability_loss": (
        variability_loss,
        dict(features=torch.tensor(H), labels=torch.tensor(LABELS)),
    ),
    "sparsity": (lambda norms, tau: sparsity(norms, tau, n_trees=3), dict(norms=NORMS, tau=np.ones(2))),
    "log_sparsity": (lambda norms: log_sparsity(norms, 1.0, n_trees=3), dict(norms=NORMS)),
    "sparsity_derivative": (lambda norms: sparsity_derivative(norms, 1.0, n_trees=3), dict(norms=NORMS)),
    "besov_seminorm": (lambda X, y: besov_seminorm(FOREST, X, y, alpha=0.5, order=1), dict(X=X, y=Y)),
    "wavelet_norms": (wavelet_norms, dict(wavelets=W)),
    "wavelet_importance": (wavelet_importance, dict(wavelets=W)),
    "forest_wavelets, order 2": (lambda X, y: forest_wavelets(FOREST, X, y, order=2), dict(X=X, y=Y)),
    "m_term_sum": (lambda X: m_term_sum(W, FOREST, X, n_terms=3), dict(X=X)),
    "m_term_curve": (lambda X, y: m_term_curve(W, FOREST, X, y), dict(X=X, y=Y)),
    "smoothness_interval": (
        lambda X, y: smoothness_interval(FOREST, X, y, random_state=0),
        dict(X=X, y=Y),
    ),
    "encode_labels": (lambda y: encode_labels(y, [0, 1, 2]), dict(y=LABELS)),
    "WaveletForestRegressor.fit, exact": (fitted("exact"), dict(X=X, y=Y)),
    "WaveletForestRegressor.fit, hist": (fitted("hist"), dict(X=X, y=Y)),
    "WaveletForestClassifier.fit": (
        lambda X, y: WaveletForestClassifier(3, random_state=0).fit(X, y),
        dict(X=X, y=LABELS),
    ),
    "WaveletForestRegressor.predict": (fitted("exact")(X, Y).predict, dict(X=X)),
}


def like(value: object, changed: np.ndarray) -> object:
    """A changed array of the kind that it was."""
    return torch.as_tensor(changed) if isinstance(value, torch.Tensor) else changed


def with_one(a: np.ndarray, number: float) -> np.ndarray:
    """The array with one entry replaced."""
    spoilt = np.asarray(a, float).copy()
    spoilt.flat[1] = number
    return spoilt


# What is answered, and rightly so: a shift of all features or labels, what has no partner to be compared
# with, no sample to answer for, a mean that is nan (its class is absent), any number of exponents, and a loss
# that passes on what the network has made: the training loop stops at it. Forests read NaN in X as missing.
FINE_KINDS = ("range: far below 0",)
FINE = {
    ("nearest_class_center", "features", "empty"),
    ("nearest_class_center", "features", "mismatch: a row less"),
    ("nearest_class_center", "means", "value: nan"),
    ("nearest_class_center", "means", "mismatch: a row less"),
    ("ncc_mismatch", "means", "value: nan"),
    ("simplex_etf_error", "means", "value: nan"),
    ("simplex_etf_error", "means", "empty"),
    ("simplex_etf_error", "means", "mismatch: a row less"),
    ("self_duality_error", "means", "value: nan"),
    ("variability_loss", "features", "value: nan"),
    ("variability_loss", "features", "value: inf"),
    ("sparsity", "norms", "mismatch: a row less"),
    ("sparsity", "tau", "shape: a single number"),
    ("sparsity", "tau", "shape: two axes more"),
    ("sparsity", "tau", "empty"),
    ("sparsity", "tau", "mismatch: a row less"),
    ("log_sparsity", "norms", "mismatch: a row less"),
    ("sparsity_derivative", "norms", "mismatch: a row less"),
    ("m_term_sum", "X", "empty"),
    ("m_term_sum", "X", "mismatch: a row less"),
    ("m_term_sum", "X", "value: nan"),
    ("m_term_curve", "X", "value: nan"),
    ("WaveletForestRegressor.fit, exact", "X", "value: nan"),
    ("WaveletForestRegressor.fit, hist", "X", "value: nan"),
    ("WaveletForestClassifier.fit", "X", "value: nan"),
    ("WaveletForestRegressor.predict", "X", "value: nan"),
    ("encode_labels", "y", "empty"),
    ("encode_labels", "y", "mismatch: a row less"),
    ("WaveletForestClassifier.fit", "y", "dtype: texts"),
    ("WaveletForestRegressor.predict", "X", "mismatch: a row less"),
}

KINDS = {  # what is done to an array
    "type: a text": lambda a: "features",
    "type: None": lambda a: None,
    "foreign object: a dict": lambda a: {"a": 1},
    "foreign object: a class": lambda a: dict,
    "shape: a single number": lambda a: like(a, np.float64(3.0)),
    "shape: two axes more": lambda a: like(a, np.asarray(a)[..., None, None]),
    "dtype: complex": lambda a: like(a, np.asarray(a) + 1j),
    "dtype: texts": lambda a: np.asarray(a).astype(str).astype(object) + "x",
    "value: nan": lambda a: like(a, with_one(a, np.nan)),
    "value: inf": lambda a: like(a, with_one(a, np.inf)),
    "empty": lambda a: like(a, np.asarray(a)[:0]),
    "mismatch: a row less": lambda a: like(a, np.asarray(a)[:-1]),
    "range: far below 0": lambda a: like(a, np.asarray(a) - 1000),
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "masked": lambda a: np.ma.array(
        np.asarray(a), mask=np.arange(np.asarray(a).size).reshape(np.shape(a)) == 1
    ),
}


NAN, INF = float("nan"), float("inf")
COUNT = (0, -1, True, 2.0, "2")  # none is a number of at least 1
LIMITS = dict(
    max_depth=(*COUNT, INF),
    min_samples_leaf=(0, True, 1.0, "1", NAN),
    min_samples_split=(1, True, 2.0, "2"),
    min_weight_fraction_leaf=(-0.1, 0.6, True, "0", NAN),
    min_impurity_decrease=(-1, True, NAN, INF, None),
    max_features=(0, 0.0, 1.5, True, "all", NAN),
    max_leaf_nodes=(1, True, 5.0),
)
TOLD = dict(
    n_estimators=(*COUNT, None),
    max_samples=(0, 1.5, True, 61, "0.8", None, NAN),
    measure=("mass", None, True),
    order=(3, True, 1.0, "1", None),
    bootstrap=(1, "False", None),
    n_terms=(-1, True, 0.0, 1.5, "5", NAN),
    criterion=("absolute_error", "gini", "friedman_mse", None),
    warm_start=(True, "False", None),
    oob_score=("yes", 1, None),
    engine=("fast", None),
    max_bins=(1, 256, True, 64.0, "64"),
    tau=(0, -1, True, "1", NAN, None),
    random_state=(-1, 2**32, 0.5, "0"),
    n_jobs=(0, True, 1.5, "2"),
)
OF_CLASSES = dict(
    class_weight=("balanced_subsample", [1, 2], {0: -1.0, 1: 1.0, 2: 1.0}, {0: "1"}, 1.0),
    criterion=("entropy", "log_loss", "squared_error"),
    y=([None] + ["a", "b"] * 29 + ["a"], [1] + ["a", "b"] * 29 + ["a"], np.zeros((60, 2)), np.zeros(60)),
)
OF_INDEX = dict(
    method=("slope", None),
    cutoff=(1, "no", None),
    leaves=(-1, True, NAN, INF, "3"),
    confidence=(0, 1, True, NAN, "0.9", None, 1 - 1e-16),
)
OF_ANGLE = dict(
    taus=([], "x", [0.1, NAN], [3.0]),
    eps_low=(-1, "x", None),
    eps_high=(NAN, 0.0),
)
WEIGHTS = (
    np.ones(59),
    np.ones(61),
    np.ones((60, 2)),
    np.r_[-1.0, np.ones(59)],
    np.r_[NAN, np.ones(59)],
    np.r_[INF, np.ones(59)],
    np.zeros(60),
    np.full(60, "1"),
    np.ones(60, "m8[s]"),
    np.ones(60) + 1j,
    np.ma.array(np.ones(60), mask=np.arange(60) == 1),
    "balanced",
)
TABLES = (  # of features
    (99 * X).astype("M8[s]"),
    (99 * X).astype("m8[s]"),
    torch.tensor(X, dtype=torch.bfloat16),
    torch.tensor(X, device="meta"),
    csr_matrix(X),
    X.astype(str),
    np.rec.fromarrays(X.T),
)
HOLDERS = (
    make_pipeline(RandomForestRegressor(1)).fit(X, Y),
    GridSearchCV(RandomForestRegressor(1), {"max_depth": [1]}, cv=2).fit(X, Y),
    RandomForestRegressor,
    RandomForestRegressor(),
    [FOREST],
    None,
)
OWN = fitted("exact")(X, Y)
OWN_2 = WaveletForestRegressor(3, order=2, random_state=0).fit(X, Y).set_params(order=1)
HOLED = np.where(X > 0.9, np.nan, X)
H32, LABELS_T = torch.tensor(H, dtype=torch.float32), torch.tensor(LABELS)


def fit_told(made: Callable, y: np.ndarray, **fixed) -> Callable:
    """A call that fits a forest which is told one thing more."""
    return lambda **told: made(**{"n_estimators": 3, **fixed, **told}).fit(X, y)


def of_classes(y=LABELS, **told) -> object:
    """Fits a forest of classes."""
    return WaveletForestClassifier(3, **told).fit(X, y)


PARAMETERS = {  # name: the call, what it may not be given
    "WaveletForestRegressor, exact": (fit_told(WaveletForestRegressor, Y, engine="exact"), LIMITS),
    "WaveletForestRegressor, hist": (fit_told(WaveletForestRegressor, Y, engine="hist"), LIMITS),
    "WaveletForestRegressor": (fit_told(WaveletForestRegressor, Y), TOLD),
    "WaveletForestClassifier": (of_classes, OF_CLASSES),
    "WaveletForestRegressor.fit": (
        lambda X=X, sample_weight=None: WaveletForestRegressor(3).fit(X, Y, sample_weight=sample_weight),
        dict(X=TABLES, sample_weight=WEIGHTS),
    ),
    "WaveletForestRegressor.predict": (OWN.predict, dict(X=TABLES)),
    "WaveletForestRegressor.predict, order 2": (OWN_2.predict, dict(X=(HOLED,))),
    "WaveletForestRegressor.apply": (OWN.apply, dict(X=TABLES)),
    "WaveletForestRegressor.staged_predict": (OWN.staged_predict, dict(X=TABLES)),
    "forest_nodes": (forest_nodes, dict(forest=HOLDERS)),
    "forest_wavelets": (
        lambda forest=FOREST, order=1, measure="samples", sample_weight=None: forest_wavelets(
            forest, X, Y, order=order, measure=measure, sample_weight=sample_weight
        ),
        dict(forest=HOLDERS, order=TOLD["order"], measure=("mass", None), sample_weight=WEIGHTS),
    ),
    "m_term_sum": (
        lambda X=X, n_terms=3: m_term_sum(W, FOREST, X, n_terms=n_terms),
        dict(n_terms=(-1, True, 1.0, "3", None, W.n_wavelets + 1), X=TABLES),
    ),
    "m_term_curve": (
        lambda sample_weight: m_term_curve(W, FOREST, X, Y, sample_weight=sample_weight),
        dict(sample_weight=WEIGHTS),
    ),
    "wavelet_norms": (lambda p: wavelet_norms(W, p=p), dict(p=(0, -1, NAN, "2", None, 2j))),
    "wavelet_importance": (lambda tau: wavelet_importance(W, tau=tau), dict(tau=TOLD["tau"])),
    "log_sparsity": (
        lambda tau=1.0, n_trees=3: log_sparsity(NORMS, tau, n_trees=n_trees),
        dict(tau=(0, True, NAN, INF, "1", None), n_trees=(*COUNT, None)),
    ),
    "besov_seminorm": (
        lambda alpha=0.5, order=1, p=2: besov_seminorm(FOREST, X, Y, alpha=alpha, order=order, p=p),
        dict(alpha=(0, 1, NAN, "x", None), order=(3, True, "1", None), p=(0, NAN, True, "2")),
    ),
    "smoothness_index": (
        lambda **told: smoothness_index(W, **told),
        OF_INDEX | dict(residual=(-1, True, NAN, INF, "x"), bogus=(1,)),
    ),
    "smoothness_index, angle": (lambda **told: smoothness_index(W, method="angle", **told), OF_ANGLE),
    "smoothness_index, norms": (
        lambda alpha: smoothness_index(W, method="norms", alpha=alpha),
        dict(alpha=(-0.5, NAN, INF, "1", None, True)),
    ),
    "smoothness_interval": (
        lambda forest=FOREST, **told: smoothness_interval(forest, X, Y, **told),
        OF_INDEX | dict(forest=HOLDERS, sample_weight=WEIGHTS, residual=(0.1,), random_state=(-1, 1.5, "x")),
    ),
    "smoothness_growth": (
        lambda forest=FOREST, **told: smoothness_growth(forest, X, Y, **told),
        dict(forest=HOLDERS, leaves=OF_INDEX["leaves"], confidence=(0, True), bogus=(1,)),
    ),
    "simplex_vertices": (simplex_vertices, dict(n_classes=(*COUNT, 1, None))),
    "simplex_probabilities": (
        simplex_probabilities,
        dict(Y_hat=(np.zeros(3), [["0"]], [[1j]], [[NAN]], np.ma.array([[1.0]], mask=[[True]]), [[10**400]])),
    ),
    "class_means": (
        lambda features=H, n_classes=3: class_means(features, LABELS, n_classes=n_classes),
        dict(n_classes=(-1, 2, True, 3.0, "3"), features=(1e151 * H, torch.tensor(H, device="meta"))),
    ),
    "ClassMeans": (ClassMeans, dict(n_classes=(-1, True, 3.0, "3", None))),
    "simplex_etf_error": (simplex_etf_error, dict(means=(1e200 * MEANS,))),
    "nearest_class_center": (lambda means: nearest_class_center(H, means), dict(means=(1e200 * MEANS,))),
    "variability_loss": (
        lambda features=H32, balance="sample": variability_loss(features, LABELS_T, balance=balance),
        dict(balance=("batch", None), features=(H32.to_sparse(), H32.numpy(), H32[0, 0])),
    ),
    "SVSLoss": (
        lambda svsl_weight=0.1, gamma=0, features=(H32,), logits=H32: SVSLoss(svsl_weight, gamma=gamma)(
            logits, LABELS_T, list(features)
        ),
        dict(
            svsl_weight=(-1, NAN, INF, "1", None),
            gamma=(1, -1, True, 0.5, "0", None, NAN),
            features=((H32.numpy(),), ("fc",), (None,), (H32[:9],)),
            logits=(H32.long(), H32[0], H32.numpy()),
        ),
    ),
    "KnownFunction.sample": (known_smoothness()[0].sample, dict(n_samples=(*COUNT, None))),
    "load_mnist1d": (load_mnist1d, dict(n_samples=(*COUNT, 3))),
    "load_wine_quality": (load_wine_quality, dict(color=("pink", None, 3))),
}


def shown(value: object) -> str:
    """A value in a few words, the same in every run."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} on {value.device} of shape {tuple(value.shape)}, {value.layout}"
    if isinstance(value, np.ma.MaskedArray):
        return f"masked array of shape {value.shape}"
    if isinstance(value, np.ndarray):
        ends = f" from {value.min()} to {value.max()}" if value.dtype.kind == "f" and value.ndim == 1 else ""
        return f"{value.dtype} of shape {value.shape}{ends}"
    if isinstance(value, float | int | str | None | complex | dict):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {', '.join(shown(one) for one in value[:3])}"
    return value.__name__ if isinstance(value, type) else f"an instance of {type(value).__name__}"


def odd_calls() -> list[tuple[str, str, str, Callable]]:
    """Door, parameter, what it is given, call: each parameter with each value that is none."""
    return [
        (door, name, f"given: {shown(value)}", lambda c=call, n=name, v=value: c(**{n: v}))
        for door, (call, told) in PARAMETERS.items()
        for name, values in told.items()
        for value in values
    ]


def spoilt_calls() -> list[tuple[str, str, str, Callable]]:
    """Door, argument, kind, call: each argument of each door spoilt in each way."""
    rows = []
    for door, (call, good) in DOORS.items():
        for name, value in good.items():
            for kind, spoil in KINDS.items():
                if isinstance(value, np.ndarray | torch.Tensor) or kind.startswith(("type", "foreign")):
                    rows.append(
                        (door, name, kind, lambda c=call, g=good, n=name, s=spoil: c(**{**g, n: s(g[n])}))
                    )
    return rows + odd_calls()


def told(call: Callable) -> str:
    """The error's kind and first line; empty where there was none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        return f"{type(error).__name__}: {first}"
    return ""


def main(arguments=None):
    """Make all calls; print what was silent, and what names neither the argument nor what was expected."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    parser.add_argument(
        "--record", type=Path, help="a JSON file for the same, which the page of the campaign reads"
    )
    parser.add_argument("--door", action="append")
    options = parser.parse_args(arguments)
    rows = [row for row in spoilt_calls() if not options.door or row[0] in options.door]
    lines = ["| door | argument | kind | what is said |", "|:--|:--|:--|:--|"]
    silent, obscure, record, n_doors = [], [], [], len({row[0] for row in rows})
    for door, name, kind, call in rows:
        said = told(call)
        record.append(dict(door=door, argument=name, kind=kind, said=re.sub(ADDRESS, "...", said)))
        lines.append(f"| `{door}` | `{name}` | {kind} | {said.replace('|', '¦') or '(answered)'} |")
        if not said and kind not in FINE_KINDS and (door, name, kind) not in FINE:
            silent.append(f"{door}({name}): {kind}")
        elif said and not any(
            word in said.lower() for word in (name.lower(), "expected", "label", "sample", "class", "array")
        ):
            obscure.append(f"{door}({name}): {kind}: {said[:90]}")
    if options.record:
        command = "python tests/bad_inputs.py --record FILE"
        write_table(options.record, record, command=command, settings={"doors": n_doors})
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*(f"silent: {row}" for row in silent), *(f"obscure: {row}" for row in obscure), sep="\n")
    print(f"{len(rows)} calls at {n_doors} doors: {len(silent)} silent, {len(obscure)} obscure")
    return int(bool(silent))


if __name__ == "__main__":
    sys.exit(main())
