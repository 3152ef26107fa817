"""Bad inputs of twelve kinds at the public doors that take arrays: what each is told, as a table.

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
from sklearn.ensemble import RandomForestRegressor

from mfoml_course.besov import smoothness_interval
from mfoml_course.collapse import (
    class_distance_normalized_variance,
    self_duality_error,
    simplex_etf_error,
    variability_collapse,
)
from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor
from mfoml_course.importance import wavelet_importance
from mfoml_course.ncc import class_means, ncc_mismatch, nearest_class_center
from mfoml_course.records.tables import write_table
from mfoml_course.simplex import encode_labels
from mfoml_course.sparsity import besov_seminorm, log_sparsity, sparsity, sparsity_derivative
from mfoml_course.svsl import variability_loss
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
    return rows


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
    silent, obscure, record = [], [], []
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
        write_table(options.record, record, command=command, settings={"doors": len(DOORS)})
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*(f"silent: {row}" for row in silent), *(f"obscure: {row}" for row in obscure), sep="\n")
    print(f"{len(rows)} calls at {len(DOORS)} doors: {len(silent)} silent, {len(obscure)} obscure")
    return int(bool(silent))


if __name__ == "__main__":
    sys.exit(main())
