"""`metarun.load(RUN)`: a finished run as an object that answers.

answers = metarun.load("latest")
me = answers.adapt({"Alien (1979)": 5, 1196: 4})
me.recommend(10)
answers.recommend({"Alien (1979)": 5}, k=3, explain=True)[0].because
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun import store
from metarun.answers import people as peoples
from metarun.answers import rebuild
from metarun.answers.catalogue import Catalogue, listed, number_of, text
from metarun.answers.engine import Engine
from metarun.answers.locate import locate
from metarun.answers.support import Meaning, Support, of_pairs
from metarun.errors import MetarunError, did_you_mean

REASONS = 3
LEAST = 10
"""Ratings below which an item's prediction says little: one rating of 5 would put it above every classic."""


class Because(NamedTuple):
    """A rated item, and by how much the score would fall without it."""

    item: Any
    title: str
    rating: float
    change: float


class Recommendation(NamedTuple):
    """One line of an answer; `score` is a rating on the run's scale, or a score without a unit for a ranking."""

    rank: int
    item: Any
    title: str
    score: float
    because: tuple[Because, ...] = ()


class Recommendations(list[Recommendation]):
    """Recommendations, the best first."""

    columns = Recommendation._fields[:4]

    def frame(self) -> Any:
        """Return them as a pandas DataFrame with the columns rank, item, title, score."""
        import pandas as pd

        return pd.DataFrame([one[:4] for one in self], columns=list(self.columns))


class Answers:
    """What a run has learned, ready to answer for anybody."""

    def __init__(self, content: dict[str, Any], path: Path, beside: bool = True) -> None:
        rule = rebuild.rule(content, path)
        self.content, self.path, self.method, self.dataset = content, path, content["method"], content["dataset"]
        try:
            ids, titles, context, chosen = (content[name] for name in ("item_ids", "titles", "context", "chosen"))
            scale, positive = tuple(content["scale"]), content["positive"]
            self.popularity: NDArray[np.int32] = content["popularity"].numpy()
        except KeyError as error:
            raise MetarunError(f"{path} lacks {error}: run the experiment again with resume=never") from None
        self.people = peoples.load(path, content) if beside else peoples.nobody()
        new, people = self.people.new, self.people
        if new is not None and people.fingerprint != content["fingerprint"]:
            raise MetarunError(
                f"{peoples.beside(path)} goes with other answers than {path}: update again with the same ratings, "
                "or remove it"
            )
        fresh: list[Any] = [int(one) if isinstance(ids[0], int) else one for one in people.new_ids]
        self.catalogue = Catalogue([*ids, *fresh], [*titles, *(people.titles.get(one, "") for one in people.new_ids)])
        self.meaning = Meaning(scale, hasattr(rule.model.objective, "unobserved"), positive)
        self.engine = Engine(rule, len(ids), chosen, context, new)

    def __repr__(self) -> str:
        """Return what it is in one line."""
        return f"Answers({self.content['run']}: {self.method} on {self.dataset}, {len(self.catalogue):,} items)"

    @property
    def items(self) -> list[Any]:
        """External ids of all items."""
        return list(self.catalogue.ids)

    def adapt(self, support: Any, about: Mapping[str, str] | None = None) -> Predictor:
        """Return the predictor of a person from what they rated, and what else is known about them.

        support: a DataFrame (item, rating), a dict {item: rating}, or a list of (item, rating); items by id or title.
        about: e.g. {"gender": "F", "age": "25-34"}, where the run had such features; else the average is taken.

        Raises:
            MetarunError: an item is not there, or twice; a rating is off the scale; `about` names no feature.
        """
        return self.predictor(of_pairs(support, self.catalogue, self.meaning), about)

    def recommend(
        self, support: Any, k: int = 20, candidates: Iterable[Any] | None = None, exclude: Iterable[Any] | None = None,
        explain: bool = False, min_ratings: int | None = None, about: Mapping[str, str] | None = None,
    ) -> Recommendations:  # fmt: skip
        """Return the k best items that the person has not rated; see `Predictor.recommend`."""
        return self.adapt(support, about).recommend(k, candidates, exclude, explain, min_ratings)

    def predict(self, support: Any, items: Any, about: Mapping[str, str] | None = None) -> NDArray[np.float32]:
        """Return what the person would rate items, (items,); see `Predictor.predict`."""
        return self.adapt(support, about).predict(items)

    def least(self, min_ratings: int | None, chosen: bool) -> int:
        """Return the training ratings that an item needs; by default none where candidates were chosen by hand."""
        if min_ratings is not None:
            return min_ratings
        return 0 if self.meaning.ranks or chosen else LEAST

    def allowed(
        self, candidates: Iterable[Any] | None, exclude: Iterable[Any] | None, min_ratings: int | None
    ) -> NDArray[np.bool_]:
        """Return which items (M,) may be recommended; new ones had enough ratings when they were taken in."""
        catalogue = self.catalogue
        found = np.ones(len(catalogue), bool)
        found[: len(self.popularity)] = self.popularity >= self.least(min_ratings, candidates is not None)
        if candidates is not None:
            among = np.zeros_like(found)
            among[catalogue.numbers(candidates)] = True
            found &= among
        if exclude is not None:
            found[catalogue.numbers(exclude)] = False
        return found

    def person(self, user: Any, about: Mapping[str, str] | None = None) -> Predictor:
        """Return the predictor of a person known through `metarun update`. Raises MetarunError for anybody else."""
        rows = self.people.of(text(user))
        if not len(rows):
            known = np.unique(self.people.user).tolist()
            if not known:
                how = f"nobody is known yet: metarun update {self.path.parent} --ratings FILE takes people in"
            else:
                how = f"{number_of(len(known), 'person is', 'people are')} known.{did_you_mean(text(user), known)}"
            raise MetarunError(f"user '{user}' is not known through metarun update; {how}")
        kept = [(self.catalogue.place.get(self.people.item[row]), row) for row in rows]
        seen = [number for number, _ in kept if number is not None]
        values = self.people.value[[row for number, row in kept if number is not None]]
        return self.predictor(self.meaning.support(seen, values), about)

    def predictor(self, support: Support, about: Mapping[str, str] | None = None) -> Predictor:
        """Return the predictor of a checked support."""
        return Predictor(self, support, self.described(about))

    def described(self, about: Mapping[str, str] | None) -> Tensor | None:
        """Return a person's features: the average, where `about` says nothing of a group of one-hot columns."""
        if not about:
            return None
        names = self.content["user_feature_names"]
        told_of = [name for name in names if "=" in name]  # the others are numbers
        known = f"known are {', '.join(told_of)}" if told_of else "this run has no features of people to be told"
        features = self.engine.context["features"].clone()
        for group, told in about.items():
            column = f"{group}={told}"
            if column not in told_of:
                if group in names:
                    raise MetarunError(f"about {column}: {group} is a number and cannot be told; {known}")
                raise MetarunError(f"about {column}: there is no such feature;{did_you_mean(column, told_of)} {known}")
            for place, name in enumerate(names):
                if name.startswith(f"{group}="):
                    features[place] = float(name == column)
        return features

    def save(self, path: str | Path) -> Path:
        """Write the answers, with the people and items taken in since, to one file that `metarun.load` reads."""
        path = Path(path)
        store.write(path, {**self.content, "people": self.people.content()})
        return path


class Predictor:
    """A person: the rule after adapting to what they rated."""

    def __init__(self, answers: Answers, support: Support, features: Tensor | None) -> None:
        self.answers, self.support, self.features = answers, support, features
        _, raw = answers.engine.adapt(support.item, support.y, features)
        self.raw: NDArray[np.float32] = raw.numpy()
        if not np.isfinite(self.raw).all():
            raise MetarunError(f"{answers.method} gives no number for these {len(support.item)} ratings: it diverged")

    def __repr__(self) -> str:
        """Return what it is in one line."""
        what = ("item", "items") if self.answers.meaning.ranks else ("rating", "ratings")
        return f"Predictor({self.answers.content['run']}: {number_of(len(self.support.item), *what)} taken in)"

    @property
    def note(self) -> str | None:
        """How many of the ratings are seen and not learned from; None where all are learned from."""
        return self.answers.meaning.note(len(self.support.seen) - len(self.support.item))

    @property
    def scores(self) -> NDArray[np.float32]:
        """Predictions for all items (M,), in the order of `answers.items`; ratings lie on the run's scale."""
        if self.answers.meaning.ranks:
            return self.raw
        low, high, _ = self.answers.meaning.scale
        return self.raw.clip(low, high)

    def predict(self, items: Any) -> NDArray[np.float32]:
        """Return predictions (items,) for items, or for one, by id or title; raises MetarunError if it is not there."""
        return self.scores[[self.answers.catalogue.find(item) for item in listed(items)]]

    def best(
        self, k: int, candidates: Iterable[Any] | None, exclude: Iterable[Any] | None, min_ratings: int | None
    ) -> list[int]:
        """Return the numbers of the k best items that were not rated, by the raw score."""
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise MetarunError(f"k={k}: give a whole number, at least 1")
        allowed = self.answers.allowed(candidates, exclude, min_ratings)
        allowed[self.support.seen] = False
        left = np.flatnonzero(allowed)
        return [int(number) for number in left[np.argsort(-self.raw[left], kind="stable")[:k]]]

    def emptied(self, candidates: Iterable[Any] | None, exclude: Iterable[Any] | None, min_ratings: int | None) -> str:
        """Return what left nothing to recommend, of the conditions one after another."""
        answers = self.answers
        if not answers.allowed(candidates, None, 0).any():
            return "candidates name no item"
        if not answers.allowed(candidates, None, min_ratings).any():
            what = "item" if candidates is None else "candidate"
            return (
                f"no {what} has {answers.least(min_ratings, candidates is not None)} ratings in training (min-ratings)"
            )
        if not answers.allowed(candidates, exclude, min_ratings).any():
            return "exclude leaves out all that candidates and min-ratings left"
        return "the person has seen all that candidates, exclude and min-ratings left"

    def recommend(
        self, k: int = 20, candidates: Iterable[Any] | None = None, exclude: Iterable[Any] | None = None,
        explain: bool = False, min_ratings: int | None = None,
    ) -> Recommendations:  # fmt: skip
        """Return the k best items that the person has not rated; fewer where fewer are left.

        candidates: only these; exclude: none of these. explain: say which rated items moved each score most.
        min_ratings: leave out items with fewer ratings in training, whose predictions are guesses; None: 10, but 0 for
        rankings and for candidates.

        Raises:
            MetarunError: k is no whole number or below 1, or a candidate is not there.
        """
        numbers = self.best(k, candidates, exclude, min_ratings)
        because = self.because(numbers) if explain else [()] * len(numbers)
        catalogue, scores = self.answers.catalogue, self.scores
        return Recommendations(
            Recommendation(rank, catalogue.ids[number], catalogue.title(number), float(scores[number]), reasons)
            for rank, (number, reasons) in enumerate(zip(numbers, because, strict=True), start=1)
        )

    def because(self, numbers: list[int], most: int = REASONS) -> list[tuple[Because, ...]]:
        """Return, per item, the ratings that moved its score most: what it would lose if that one were left out."""
        item, catalogue = self.support.item, self.answers.catalogue
        if not len(item) or not numbers:
            return [()] * len(numbers)
        changes = self.answers.engine.changes(item, self.support.y, torch.tensor(numbers), self.features).numpy()
        found = []
        for column in changes.T:
            rows = np.argsort(-np.abs(column), kind="stable")[:most]
            found.append(
                tuple(
                    Because(
                        catalogue.ids[int(item[row])], catalogue.title(int(item[row])),
                        float(self.support.rating[row]), float(column[row]),
                    )
                    for row in rows
                )
            )  # fmt: skip
        return found


def load(run: str | Path, outputs: str | Path = "outputs") -> Answers:
    """Return the answers of a run: its folder, `latest`, an experiment, the start of a run's id, or a saved file."""
    path = locate(run, outputs)
    return Answers(rebuild.read(path), path)
