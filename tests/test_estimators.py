"""scikit-learn's own checks of an estimator; they cannot run in a notebook."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mfoml_course.forest import WaveletForestClassifier, WaveletForestRegressor

# Growing on a part of the samples makes weights and repeated rows differ, as in scikit-learn's own forests.
REASON = "sample weights and repeated rows draw different subsamples, as in scikit-learn's own forests"
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}

ON_BINS = {"check_class_weight_classifiers": "sets min_weight_fraction_leaf, which only exact trees have"}


@parametrize_with_checks(
    [
        WaveletForestRegressor(n_estimators=5, random_state=0),
        WaveletForestClassifier(n_estimators=5, random_state=0),
    ],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_estimator(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        WaveletForestRegressor(n_estimators=5, random_state=0, engine="hist"),
        WaveletForestClassifier(n_estimators=5, random_state=0, engine="hist"),
    ],
    expected_failed_checks=lambda estimator: EXPECTED | ON_BINS,
)
def test_estimator_on_bins(estimator, check):
    check(estimator)
