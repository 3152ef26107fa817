"""scikit-learn's own tests of its forests, asked of ours: by hand and weekly.

python tests/sklearn_suite.py [--out FILE.json] runs the installed scikit-learn's test_forest.py with ours in
the place of its forests: WaveletForest* with engine="exact" where it says RandomForest*, with engine="hist"
where it says ExtraTrees*. Prints what passed, what does not apply and why, and what failed; leaves with 1 if
a test failed that has no reason. Nothing of that file is copied here.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import sklearn
from sklearn import ensemble

from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor

SUITE = "sklearn.ensemble.tests.test_forest"
USUAL = {"criterion": ("gini", "squared_error", "friedman_mse")}  # what our trees are grown by anyway
OF_ITSELF = ("max_samples", "warm_start")  # where None and False ask for nothing

CRITERION = "criterion: the energies of wavelets are variances, so trees are grown by Gini or squared error"

# A part of a test's name, or of what it said: why it does not apply to ours. The first that fits counts.
REASONS = {
    "no attribute 'estimators_'": "the engine on bins keeps no trees of scikit-learn",
    "engine='hist' has no": "limits that only exact trees have, refused by name on bins",
    "fit one forest an output": "classes of several outputs are refused by name",
    "numpy.int32": "the rows of a bag are numbered in 64 bits",
    "no attribute 'estimator'": "asks whether the splitter reads sparse input, which is refused by name",
    "RandomTreesEmbedding": "an embedding, no forest of ours: it ran with scikit-learn's own",
    "random_hasher": "an embedding, no forest of ours: it ran with scikit-learn's own",
    "random_trees": "an embedding, no forest of ours: it ran with scikit-learn's own",
    "log_loss": CRITERION,
    "absolute_error": CRITERION,
    "poisson": CRITERION,
    "mse_criterion_object": CRITERION,
    "friedman_mse_deprecation": CRITERION,
    "importances": "importance is of wavelets (tau), not of impurities, and its message differs",
    "sparse": "sparse input is refused by name",
    "csr": "sparse input is refused by name",
    "csc": "sparse input is refused by name",
    "warm_start": "warm_start is refused by name: a forest's wavelets are of all its trees at once",
    "oob_not_computed_twice": "warm_start is refused by name",
    "class_weight_errors": "warm_start and balanced_subsample are refused by name",
    "balanced_subsample": "class weights are of all samples, not of a bag",
    "validate_y_class_weight": "asks for a private method of scikit-learn's forests",
    "class_weights_forest": "asks for a private method of scikit-learn's forests",
    "multiclass_multioutput": "classes of several outputs are refused by name, in other words",
    "oob_warning": "says how many samples have no out-of-bag prediction, in other words",
    "oob_score_requires_bootstrap": "bags of 80 % leave samples out without a bootstrap",
    "max_samples": "max_samples is a share of at most 1 or a number, and counts without a bootstrap too",
    "min_samples_leaf": "a row that a bootstrap draws twice counts twice in a leaf",
    "integral_regression_target": "draws the bags again by a private function of scikit-learn",
    "decision_path": "reads the sizes of estimators_, which the engine on bins has not",
}


def stand_in(make, engine):
    """What is called as scikit-learn's class is, and makes ours."""

    def forest(n_estimators=10, **given):
        given = {name: value for name, value in given.items() if value not in USUAL.get(name, ())}
        given = {name: value for name, value in given.items() if name not in OF_ITSELF or value}
        own = dict(engine=engine, max_samples=1.0, bootstrap=True)  # as RandomForest
        return make(n_estimators, **own | given)

    forest.__name__ = f"{make.__name__}-{engine}"
    return forest


def put_ours():
    """Puts ours where the suite finds scikit-learn's; before it is imported."""
    for kind, make in (("Classifier", WaveletForestClassifier), ("Regressor", WaveletForestRegressor)):
        setattr(ensemble, f"RandomForest{kind}", stand_in(make, "exact"))
        setattr(ensemble, f"ExtraTrees{kind}", stand_in(make, "hist"))


class Results:
    """What came of each test."""

    def __init__(self):
        self.rows = []

    def pytest_runtest_logreport(self, report):
        """pytest's hook."""
        if report.when == "call" or report.outcome != "passed":
            said = "" if report.passed else str(report.longrepr).strip().splitlines()[-1]
            self.rows.append((report.nodeid.rpartition("::")[2], report.outcome, said[:160]))


def reason_of(name, said):
    """Why a test does not apply, or None."""
    return next((words for part, words in REASONS.items() if part in name or part in said), None)


def main(arguments=None):
    """Run the suite; counts, reasons and failures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the counts")
    options = parser.parse_args(arguments)
    put_ours()
    results, start = Results(), time.monotonic()
    quiet = ["-q", "--no-header", "--tb=line", "-W", "ignore", "-p", "no:cacheprovider", "-p", "no:xdist"]
    pytest.main([*quiet, "--pyargs", SUITE], plugins=[results])
    failed = [(name, said) for name, outcome, said in results.rows if outcome == "failed"]
    apart = Counter(reason for row in failed if (reason := reason_of(*row)))
    unexplained = [row for row in failed if not reason_of(*row)]
    passed = sum(outcome == "passed" for _, outcome, _ in results.rows)
    record = dict(
        suite=f"{SUITE} of scikit-learn {sklearn.__version__}",
        passed=passed,
        not_applicable=sum(apart.values()),
        reasons=dict(apart.most_common()),
        failed=[": ".join(row) for row in unexplained],
        seconds=round(time.monotonic() - start),
    )
    if options.out:
        options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1, ensure_ascii=False))
    return int(bool(unexplained) or not passed)


if __name__ == "__main__":
    sys.exit(main())
