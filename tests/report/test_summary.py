import json

import numpy as np
import pytest

from metarun.report.summary import paired_values, ranking_values, support_values
from metarun.results import Score

IDS = np.arange(2)


def score(method, values, metric="mse", support=1, protocol="tasks", cell="user-cold", split="test"):
    return Score(split, protocol, method, cell, support, metric, IDS, np.array(values))


def test_support_values_by_hand():
    scores = [
        score("meta/maml", [1.0, 7.0], support=10),
        score("meta/maml", [4.0, 4.0]),
        score("meta/maml", [0.5, 1.5], "mae"),
        score("meta/maml", [9.0, 9.0], split="validation"),
        score("meta/maml", [9.0, 9.0], support=None, protocol="prequential/chunk=1/delay=0"),
    ]
    found = support_values(scores)
    assert list(found["user-cold"]) == ["1", "10"]
    assert found["user-cold"]["1"]["meta/maml"]["rmse"] == {"value": 2.0, "ci95": 0.0, "n": 2}
    assert found["user-cold"]["1"]["meta/maml"]["mae"]["value"] == 1.0
    assert found["user-cold"]["10"]["meta/maml"]["rmse"]["ci95"] == pytest.approx(12.7062 * 18**0.5 / 2**0.5 / 4)


def test_paired_values_by_hand():
    scores = [score("meta/maml", [0.5, 1.0], "mae"), score("baseline/ridge", [1.0, 2.0], "mae")]
    pair = paired_values(scores, "baseline/ridge", "mae")["user-cold"]["1"]
    assert list(pair) == ["meta/maml"]
    assert pair["meta/maml"]["difference"] == -0.75
    assert pair["meta/maml"]["ci95"] == pytest.approx(12.7062 * (0.125**0.5) / 2**0.5)
    assert paired_values(scores, "baseline/bias", "mae") == {}


def test_lift_of_f1_by_hand():
    values = {"random": 0.5, "meta/maml": 0.6, "oracle": 0.9}
    scores = [
        score(method, [v, v], metric, None, "rated-only/threshold=4", "warm")
        for method, v in values.items()
        for metric in ("precision@20", "recall@20")
    ]
    found = ranking_values(scores)["rated-only/threshold=4"]
    assert found["meta/maml"]["f1@20"]["value"] == pytest.approx(0.6)
    assert [found[m]["lift"]["value"] for m in values] == [0.0, pytest.approx(0.25), 1.0]
    with pytest.raises(ValueError, match="meta/maml is judged twice under rated-only/threshold=4"):
        ranking_values([*scores, score("meta/maml", [1, 1], "recall@20", None, "rated-only/threshold=4", "user-cold")])


def test_a_diverged_method_is_json(summary):
    found = support_values([score("online/sgd", [1.0, np.inf]), score("baseline/ridge", [1.0, 2.0])])
    assert found["user-cold"]["1"]["online/sgd"]["rmse"] == {"value": None, "ci95": None, "n": 2}
    json.dumps(summary, allow_nan=False)
