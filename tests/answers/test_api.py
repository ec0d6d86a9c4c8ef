"""`metarun.load`: adapt, recommend, predict, save."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import made
import numpy as np
import pandas as pd
import pytest
import torch

import metarun
from metarun.errors import MetarunError

LIKES = {1: 5, 5: 1, "The Matrix": 4.5}


def test_a_run_is_found_as_report_finds_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for ref in (run, str(run), "latest", "made", "0123", "outputs/made/0123abcd", run / "answers.ckpt"):
        assert metarun.load(ref).method == "ridge"
    assert metarun.load("made", outputs=tmp_path / "outputs").path == run / "answers.ckpt"
    with pytest.raises(MetarunError, match="Did you mean 'made'"):
        metarun.load("mode")


def test_unfinished_and_older_runs_are_told(run: Path) -> None:
    (run / "answers.ckpt").unlink()
    with pytest.raises(MetarunError, match="older version of metarun, or its data has no items"):
        metarun.load(run)
    (run / "manifest.json").write_text('{"config": {"dataset": {"tasks": "items"}}}')
    with pytest.raises(MetarunError, match=r"dataset.tasks=items, and only runs whose tasks are users"):
        metarun.load(run)
    (run / "manifest.json").write_text('{"config": {"dataset": {"split": "stream"}}}')
    with pytest.raises(MetarunError, match="keeps no model to answer with"):
        metarun.load(run)
    (run / "summary.json").unlink()
    with pytest.raises(MetarunError, match="is not finished"):
        metarun.load(run)


@pytest.mark.parametrize(
    "support",
    [
        {1: 5, 5: 1, 2: 4.5},
        [(1, 5), ("5", 1), ("The Matrix", 4.5)],
        pd.DataFrame({"item": [1, 5, 2], "rating": [5, 1, 4.5]}),
        pd.DataFrame({"rating": [5, 1, 4.5], "movieId": [1.0, 5.0, 2.0]}),
        zip(np.array([1, 5, 2]), np.array([5, 1, 4.5]), strict=True),
    ],
)
def test_ratings_come_in_many_forms(support: Any) -> None:
    found = made.answers().recommend(support, k=2)
    assert [(one.rank, one.item, one.title) for one in found] == [
        (1, 13, "Blade Runner (1982)"),
        (2, 21, "Heat (1995)"),
    ]


def test_seen_items_are_left_out_and_lists_kept_to() -> None:
    person = made.answers().adapt(LIKES)
    assert {one.item for one in person.recommend(20)} == {8, 13, 21}
    assert [one.item for one in person.recommend(20, candidates=[8, 1, "Heat"])] == [21, 8]
    assert [one.item for one in person.recommend(20, exclude=[13])] == [21, 8]
    assert list(person.recommend(1).frame().columns) == ["rank", "item", "title", "score"]
    for k in (0, 2.5, True, "3"):
        with pytest.raises(MetarunError, match=f"k={k}: give a whole number, at least 1"):
            person.recommend(k)  # type: ignore[arg-type]
    with pytest.raises(MetarunError, match="'77' is not among"):
        person.recommend(candidates=[77])


def test_one_item_may_stand_alone() -> None:
    person = made.answers().adapt(LIKES)
    for one in (21, "Heat", "21", np.int64(21)):
        assert person.predict(one) == person.predict([21])
    assert [one.item for one in person.recommend(5, candidates="Heat")] == [21]
    assert repr(person) == "Predictor(made/0: 3 ratings taken in)"
    assert repr(made.answers(ranks=True).adapt([1])) == "Predictor(made/0: 1 item taken in)"


def test_what_left_nothing_is_known() -> None:
    person = made.answers().adapt(LIKES)
    assert person.emptied([], None, None) == "candidates name no item"
    assert person.emptied(None, None, 200) == "no item has 200 ratings in training (min-ratings)"
    assert person.emptied([8], [8], None) == "exclude leaves out all that candidates and min-ratings left"
    assert person.emptied([1], None, None) == "the person has seen all that candidates, exclude and min-ratings left"


def test_a_repeated_interaction_counts_once() -> None:
    answers = made.answers(ranks=True)
    again = answers.adapt([1, 2, "Alien"])
    assert again.support.seen == [1, 0]
    assert again.predict(13) == answers.predict([2, 1], 13)
    with pytest.raises(MetarunError, match="rated twice"):
        made.answers(ranks=True, positive=4.0).adapt([1, 2, "Alien"])


def test_predictions_keep_to_the_scale_and_order_does_not() -> None:
    vectors = {"model.backbone.item_bias": torch.tensor([0.3, 0.4, 0.1, -9.0, 3.0, 4.0])}
    content = made.content()
    content["rule"].update(vectors)
    person = made.Answers(content, Path("nowhere/answers.ckpt")).adapt({})
    assert person.predict([8, 13, 21]).tolist() == [0.5, 5.0, 5.0]
    assert [one.item for one in person.recommend(2)] == [21, 13]
    assert [one.score for one in person.recommend(2)] == [5.0, 5.0]


def test_reasons_name_the_ratings_that_moved_it_most() -> None:
    first = made.answers().recommend(LIKES, k=1, explain=True)[0]
    assert {one.item for one in first.because} == {1, 2, 5}
    changes = [abs(one.change) for one in first.because]
    assert changes == sorted(changes, reverse=True)
    without = {item: rating for item, rating in LIKES.items() if made.answers().catalogue.find(item) != 0}
    fall = made.answers().predict(LIKES, [13])[0] - made.answers().predict(without, [13])[0]
    assert next(one.change for one in first.because if one.item == 1) == pytest.approx(fall, abs=1e-5)


def test_rare_items_are_left_out_unless_asked_for() -> None:
    answers = made.answers(popularity=torch.tensor([99, 99, 99, 99, 3, 0], dtype=torch.int32))
    assert {one.item for one in answers.recommend({})} == {1, 2, 5, 8}
    assert {one.item for one in answers.recommend({}, min_ratings=3)} == {1, 2, 5, 8, 13}
    assert {one.item for one in answers.recommend({}, candidates=[13, 21])} == {13, 21}


@pytest.mark.parametrize(
    ("support", "told"),
    [
        ({4: 5}, "support, row 1, item: '4' is not among the 6 items"),
        ([(1, 5), ("Alien", 4)], "support, row 2, item: 'Alien' is rated twice, first in support, row 1, item"),
        ({1: 5, 2: 7}, "support, row 2, rating: 7 is not between 0.5 and 5, the scale of this run"),
        ({1: float("nan")}, "support, row 1, rating: nan is not between"),
        ({1: "good"}, "ratings must be numbers"),
        ([1, 2], "give (item, rating), not the items alone"),
        ([(1, 2, 3)], "every row must be a pair"),
        (5, "give a DataFrame, a dict"),
        (pd.DataFrame({"item": [1], "ratng": [5]}), "Did you mean 'rating' where it says 'ratng'?"),
    ],
)
def test_bad_ratings_are_told(support: Any, told: str) -> None:
    with pytest.raises(MetarunError) as error:
        made.answers().adapt(support)
    assert told in str(error.value)


def test_what_is_known_about_a_person_counts() -> None:
    content = made.content()
    content["nodes"]["backbone"] = {"_target_": "metarun.backbones.mf_features.FeatureFactorisation"} | {
        "dim": 2, "bias": True, "side": 1.0,
    }  # fmt: skip
    content["spec"] |= {"tables": {"item": torch.zeros(6, 1)}, "context": 3}
    content["rule"] |= {
        "model.head.side": torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 0]]),
        "model.backbone.table": torch.zeros(6, 1), "model.backbone.to_vector": torch.zeros(1, 2),
        "model.backbone.to_bias": torch.zeros(1),
    }  # fmt: skip
    content |= {"user_feature_names": ["gender=F", "gender=M", "age"], "context": torch.tensor([0.5, 0.5, 0.1])}
    answers = made.Answers(content, Path("nowhere/answers.ckpt"))
    him, her = answers.predict({}, [1], about={"gender": "M"}), answers.predict({}, [1], about={"gender": "F"})
    anybody = answers.predict({}, [1])
    assert him != her
    assert float(anybody[0]) == pytest.approx((float(him[0]) + float(her[0])) / 2, abs=1e-5)
    with pytest.raises(MetarunError, match="gender=X: there is no such feature; Did you mean 'gender=M'"):
        answers.adapt({}, about={"gender": "X"})
    with pytest.raises(MetarunError, match="age=33: age is a number and cannot be told; known are gender=F, gender=M"):
        answers.adapt({}, about={"age": "33"})


def test_a_ranking_needs_no_ratings_and_clips_nothing() -> None:
    answers = made.answers(ranks=True, positive=4.0)
    liked = answers.recommend([1, 2], k=3)
    assert [one.item for one in liked] == [one.item for one in answers.recommend({1: 5, 2: 4}, k=3)]
    disliked = answers.adapt({1: 5, 2: 4, 5: 1})  # seen, and not chosen
    assert len(disliked.support.item) == 2
    assert disliked.note == "1 rating below 4 is no interaction: it counts as seen only"
    assert answers.adapt({1: 5, 2: 4}).note is None
    assert disliked.predict([13]) == answers.predict([1, 2], [13])
    assert 5 not in {one.item for one in disliked.recommend(20)}
    assert made.answers("maml", ranks=True).recommend([1], k=1)[0].item == 13


def test_saved_answers_are_one_file(tmp_path: Path) -> None:
    answers = made.answers("maml")
    path = answers.save(tmp_path / "mine.ckpt")
    again = metarun.load(path)
    assert again.recommend(LIKES) == answers.recommend(LIKES)


CHECK = """
import sys
import metarun
assert "torch" not in sys.modules
found = metarun.load(sys.argv[1]).recommend({1: 5, 2: 4}, k=2, explain=True)
assert len(found) == 2
heavy = [name for name in ("hydra", "omegaconf", "pandas", "pytorch_lightning", "matplotlib") if name in sys.modules]
assert not heavy, heavy
"""


def test_answering_needs_neither_hydra_nor_lightning_nor_data(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(moved)], env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
