"""The names that users and tests from outside call stay importable at their paths, with their parameters."""

import ast
import inspect
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest

# module: names, each with the parameters that callers rely on
PUBLIC = {
    "datasets": {
        "load_wine_quality": "color",
        "load_mnist_5k": "",
        "load_mnist1d": "n_samples random_state",
        "known_smoothness": "",
    },
    "simplex": {"simplex_vertices": "n_classes", "encode_labels": "y classes"},
    "trees": {"tree_nodes": "tree", "forest_nodes": "forest"},
    "wavelets": {
        "forest_wavelets": "forest X y measure order",
        "wavelet_norms": "wavelets p",
        "m_term_sum": "wavelets forest X n_terms",
        "m_term_curve": "wavelets forest X y",
        "Wavelets": "tree node parent feature measure n_samples coef root_mean tree_weight "
        "offset n_trees n_features",
    },
    "importance": {"wavelet_importance": "wavelets tau"},
    "sparsity": {
        "sparsity": "norms tau n_trees",
        "log_sparsity": "norms tau n_trees",
        "sparsity_derivative": "norms tau n_trees",
        "besov_seminorm": "forest_or_nodes X y alpha order p",
    },
    "besov": {
        "smoothness_index": "wavelets method cutoff",
        "smoothness_interval": "forest X y confidence random_state",
        "SmoothnessIndex": "alpha tau low high method saturated details",
    },
    "forest": {
        name: "n_estimators max_depth min_samples_leaf max_features max_samples measure order "
        "max_leaf_nodes bootstrap n_terms engine max_bins tau random_state n_jobs"
        for name in ("WaveletForestRegressor", "WaveletForestClassifier")
    },
    "activations": {"collect_activations": "model loader layers"},
    "probe": {"SparsityProbe": "layers out random_state"},
    "ncc": {
        "class_means": "",
        "nearest_class_center": "",
        "ncc_mismatch": "features means predictions",
    },
    "collapse": {
        "NeuralCollapse": "",
        "variability_collapse": "features labels",
        "simplex_etf_error": "means",
        "self_duality_error": "weight means",
        "class_distance_normalized_variance": "",
    },
    "svsl": {"variability_loss": "features labels balance", "SVSLoss": ""},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_stand_where_they_stood(module):
    found = import_module(f"mfoml_course.{module}")
    for name, parameters in PUBLIC[module].items():
        known = inspect.signature(getattr(found, name)).parameters
        assert set(parameters.split()) <= set(known), name


def test_one_name_is_one_thing():
    package = Path(__file__).resolve().parent.parent / "mfoml_course"
    homes = defaultdict(list)
    for path in package.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name[0] != "_"
            ):
                homes[node.name].append(path.relative_to(package).as_posix())
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}
