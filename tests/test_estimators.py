"""MetaClassifier and MetaRegressor: scikit-learn's own checks, limits, and what their answers must not depend on."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import metarun
from metarun import MetaClassifier, MetaRegressor, estimators, store
from metarun.errors import MetarunError
from metarun.in_context.network import Network
from metarun.in_context.weights import pack, packaged, unpacked
from metarun.results import SUMMARY

both = pytest.mark.parametrize("face", [MetaClassifier, MetaRegressor])


@both
def test_no_tag_lets_a_check_off(face: Any) -> None:
    tags = face().__sklearn_tags__()
    assert not tags.non_deterministic
    assert not tags.no_validation
    assert not tags._skip_test
    assert not (tags.classifier_tags or tags.regressor_tags).poor_score


def test_the_three_points_of_the_article() -> None:
    x, y = [[0, 0], [1, 1], [2, 2]], [0, 1, 1]
    model = MetaClassifier().fit(x, y)
    assert model.score(x, y) == 1
    assert model.predict([[-1, -1], [3, 3]]).tolist() == [0, 1]


def test_scikit_learn_checks_none_left_out() -> None:
    code = """
import warnings, sklearn, metarun
from sklearn.utils.estimator_checks import check_estimator
warnings.simplefilter("ignore")
for face in (metarun.MetaClassifier, metarun.MetaRegressor):
    print({check["status"] for check in check_estimator(face())})
"""
    # One check runs only where array-API support was asked for before SciPy is imported.
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.split("\n")[:2] == ["{'passed'}"] * 2


def test_importing_metarun_imports_neither_torch_nor_scikit_learn() -> None:
    code = "import sys, metarun; print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="MetaNothing"):
        metarun.MetaNothing  # noqa: B018


def test_few_rows_of_real_tables_are_understood() -> None:
    x, y = load_wine(return_X_y=True)
    support = np.random.default_rng(0).permutation(len(y))[:30]
    query = np.setdiff1d(np.arange(len(y)), support)
    ours = MetaClassifier().fit(x[support], y[support]).score(x[query], y[query])
    theirs = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[support], y[support])
    assert ours > 0.9
    assert ours > theirs.score(x[query], y[query]) - 0.03
    x, y = load_diabetes(return_X_y=True)
    assert MetaRegressor().fit(x[:50], y[:50]).score(x[50:], y[50:]) > 0.3


def test_probabilities_follow_the_classes_whatever_they_are_called() -> None:
    x, y = load_iris(return_X_y=True)
    x, y, query = x[::5], y[::5], x[1::5]
    names = np.array(["b", "c", "a"])  # sorted: class 2 comes first
    plain, named = MetaClassifier().fit(x, y), MetaClassifier().fit(x, names[y])
    np.testing.assert_allclose(named.predict_proba(query), plain.predict_proba(query)[:, [2, 0, 1]], atol=1e-12)
    assert named.predict(query).tolist() == names[plain.predict(query)].tolist()


def test_balanced_probabilities_divide_by_the_frequency_in_fit() -> None:
    x, y = load_iris(return_X_y=True)
    x, y, query = x[40:110], y[40:110], x[::7]
    plain, even = MetaClassifier().fit(x, y), MetaClassifier(balance_probabilities=True).fit(x, y)
    expected = plain.predict_proba(query) / np.bincount(y)
    np.testing.assert_allclose(even.predict_proba(query), expected / expected.sum(1, keepdims=True), atol=1e-12)


@both
def test_units_and_orders_of_features_do_not_matter(face: Any) -> None:
    x, y = load_iris(return_X_y=True)
    order = [2, 0, 3, 1]
    plain = face().fit(x[::4], y[::4])
    moved = face().fit((x[::4] * [1, 1000, 0.01, 5] + [0, 7, 0, -300])[:, order], y[::4])
    query = (x[1::4] * [1, 1000, 0.01, 5] + [0, 7, 0, -300])[:, order]
    np.testing.assert_allclose(moved.predict(query), plain.predict(x[1::4]), atol=1e-6)


def test_a_row_is_answered_alike_in_any_company() -> None:
    x, y = load_diabetes(return_X_y=True)
    model = MetaRegressor().fit(x[:20], y[:20])
    assert len(x) > estimators.ROWS
    np.testing.assert_allclose(model.predict(x)[[3, 400]], model.predict(x[[3, 400]]), rtol=1e-12)


@both
def test_limits_are_told(face: Any) -> None:
    limits = face().fit([[0.0], [1.0]], [0, 1]).limits_
    rng = np.random.default_rng(0)
    for rows, features, given in (
        (limits["rows"] + 1, 1, f"{limits['rows'] + 1} rows"),
        (4, limits["features"] + 1, f"{limits['features'] + 1} features"),
    ):
        with pytest.raises(ValueError, match=f"{face.__name__} was given {given} and is made for at most"):
            face().fit(rng.normal(size=(rows, features)), np.arange(rows) % 2)


def test_the_limit_of_classes_is_told() -> None:
    limit = packaged("classifier")[1]["limits"]["classes"]
    with pytest.raises(ValueError, match=f"{limit + 1} classes and is made for at most {limit}: join some"):
        MetaClassifier().fit(np.eye(limit + 1), np.arange(limit + 1))


def test_up_to_the_limits_answers_are_finite() -> None:
    limits = packaged("classifier")[1]["limits"]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(limits["rows"], limits["features"])), np.arange(limits["rows"]) % limits["classes"]
    assert np.isfinite(MetaClassifier().fit(x, y).predict_proba(x[:3])).all()


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(face: Any, bad: float) -> None:
    with pytest.raises(ValueError, match="Input X contains"):
        face().fit([[0.0], [bad]], [0, 1])


@both
def test_copies_answer_alike(face: Any) -> None:
    x, y = load_iris(return_X_y=True)
    model = face().fit(x[::9], y[::9])
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(x), model.predict(x))
    assert np.array_equal(clone(model).fit(x[::9], y[::9]).predict(x), model.predict(x))


@both
def test_runs_that_cannot_answer_are_refused(face: Any, tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match="no run in"):
        face(run="latest", outputs=tmp_path).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_packaged_weights_are_small_and_plain(kind: str) -> None:
    path = Path(metarun.__file__).parent / "weights" / f"{kind}.npz"
    assert path.stat().st_size < 1_000_000
    card = (Path(__file__).parent.parent / "docs" / "model_card.md").read_text(encoding="utf-8")
    assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {kind}.npz" in card
    network, facts = packaged(kind)
    assert facts["experiment"] == f"prior_{kind}"
    assert facts["steps"] == facts["meta"]["steps"]
    assert all(p.isfinite().all() for p in network.parameters())


def test_packing_keeps_every_weight(tmp_path: Path) -> None:
    network = Network(8, 1, 2, 1, 1, 5)
    pack(tmp_path / "n.npz", network, {"limits": {"rows": 3}})
    again, facts = unpacked((tmp_path / "n.npz").read_bytes())
    assert facts == {"limits": {"rows": 3}}
    assert again.sizes == network.sizes
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name].float(), value)


def finished(folder: Path, network: Network, **changes: Any) -> Path:
    """Write what a finished run of prior_classifier leaves of its network."""
    strategy = {"_target_": "metarun.strategies.meta.in_context.InContext", **network.sizes}
    config = {
        "name": "prior_classifier", "seed": 0, "strategy": {"meta": changes.get("strategy", strategy)},
        "dataset": {"target": changes.get("target", "classes"), "classes": 4}, "pipeline": {"meta": {"steps": 3}},
    }  # fmt: skip
    for stage, own in (("2-meta", Network(**network.sizes).state_dict()), ("10-meta", network.state_dict())):
        rule = {"model.head.weight": torch.zeros(2, 1)} | {f"network.{name}": value for name, value in own.items()}
        store.write(folder / "checkpoints" / stage / store.MODEL, {"config": config, "rule": rule, "steps": 3})
    (folder / "manifest.json").write_text("{}")
    if changes.get("finished", True):
        (folder / SUMMARY).write_text("{}")
    return folder


def test_a_finished_run_gives_its_last_network(tmp_path: Path) -> None:
    network = Network(8, 1, 2, 1, 1, 5)
    model = MetaClassifier(run=finished(tmp_path / "a", network)).fit([[0.0], [1.0]], [0, 1])
    assert torch.equal(model.network_.leave.weight, network.leave.weight.double())
    assert model.limits_["classes"] == 4
    assert MetaClassifier(run="latest", outputs=tmp_path).fit([[0.0], [1.0]], [0, 1]).limits_ == model.limits_


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"finished": False}, "is not finished"),
        ({"target": "number"}, "makes a regressor; give a run of metarun .experiment=prior_classifier"),
        ({"strategy": {"_target_": "metarun.strategies.meta.maml.Maml"}}, "no network that reads plain rows"),
    ],
)
def test_other_runs_are_refused_in_words(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = finished(tmp_path / "a", Network(8, 1, 2, 1, 1, 5), **changes)
    with pytest.raises(MetarunError, match=told):
        MetaClassifier(run=folder).fit([[0.0], [1.0]], [0, 1])


def test_without_scikit_learn_it_is_said_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = sys.modules['sklearn.base'] = None; from metarun import MetaClassifier"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MetarunError: metarun.MetaClassifier needs scikit-learn: pip install" in found.stderr
