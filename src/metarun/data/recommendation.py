"""Ratings seen three ways: a source to pretrain on, users as tasks, users as streams."""

from __future__ import annotations

from functools import cached_property
from zlib import crc32

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data import cells, melu
from metarun.data.implicit import interactions
from metarun.data.known_users import KnownUsers
from metarun.data.rated import Rated
from metarun.data.ratings import Ratings
from metarun.data.source import Source
from metarun.data.split import CHOOSE, META, SLICE, SOURCE, TEST, VALIDATION, WARM, Segments, hashed, segments
from metarun.data.tasks_of_users import Columns, PairedTasks, UserTasks
from metarun.data.transposed import transposed
from metarun.errors import MetarunError
from metarun.model import Spec
from metarun.rule import Task
from metarun.streams import Stream


class Recommendation(Rated, pl.LightningDataModule):
    """Views of a table of ratings; a dataset says how to read it.

    `split`: cold (users 70/10/20; a fifth of the 70 is kept from pretraining so that its tasks look like a new user's;
    10 % of a pretraining user's rows are withheld), warm_80_20 (20 % of each user's rows withheld), time (half for
    pretraining, then slices in time order with the users that are new in each).
    """

    larger = "choose a larger dataset.version"
    """What to do about too few ratings."""

    def __init__(
        self,
        split: str,
        split_seed: int,
        supports: list[int],
        queries: int,
        *,
        rounds: int,
        positive: float | None = None,
        core: int | None = None,
        negatives: int = 0,
        tasks: str = "users",
    ) -> None:
        """positive, core: see `interactions`; negatives: items that an interaction is ranked against, 0 for ratings."""
        super().__init__()
        self.split, self.split_seed, self.rounds = split, split_seed, rounds
        self.supports, self.queries = sorted(set(supports)), queries
        self.positive, self.core, self.negatives = positive, core, negatives
        self.by_time, self.unit = split == "time", tasks

    def read(self) -> Ratings:
        """Return the ratings."""
        raise NotImplementedError

    @cached_property
    def ratings(self) -> Ratings:
        """The ratings, read once, or what of them counts as an interaction; the users of the table are the tasks."""
        table = interactions(self.read(), self.positive, self.core)
        if self.split == "melu":
            table = melu.merged(table)
        return transposed(table) if self.unit == "items" else table

    @cached_property
    def segments(self) -> Segments:
        """The rows by user and role."""
        role = cells.roles(self.split, self.unit, self.ratings, self.split_seed, self.rounds)
        return segments(self.ratings, role, self.split_seed, self.by_time)

    @cached_property
    def columns(self) -> Columns:
        """The ratings as tensors."""
        return Columns(self.ratings, self.segments, self.negatives)

    @property
    def cells(self) -> list[str]:
        """The kinds of unseen tasks to be judged on, the one that names the winner first."""
        return cells.cells(self.split, self.unit)

    @property
    def cold(self) -> bool:
        """Whether there are unseen users or items to be judged on."""
        return bool(self.cells)

    def nobody(self) -> dict[str, Tensor]:
        """Return the context of the average training user, for one state that serves all."""
        users = torch.from_numpy(self.trained)
        return {"key": torch.zeros((), dtype=torch.int64), "features": self.columns.user_features[users].mean(0)}

    @cached_property
    def trained(self) -> NDArray[np.int64]:
        """The training users, ascending; over time those that are there from the start."""
        s = self.segments
        judged = () if self.by_time else (VALIDATION, TEST)
        users = np.setdiff1d(s.user[np.isin(s.role, (SOURCE, META))], s.user[np.isin(s.role, judged)])
        return users.astype(np.int64)

    @cached_property
    def spec(self) -> Spec:
        """What the model is told: numbers of items, side information.

        Of the tags it sees those that training users gave, and over time none, for a tag may come after what it is to
        predict. Which tags have a column was decided over all users.
        """
        table = np.array(self.ratings.item_features)
        if not self.by_time:
            tags = self.ratings.tags[np.isin(self.ratings.tags[:, 0], self.trained)]
            table[tags[:, 1], tags[:, 2]] = 1
        features = torch.from_numpy(table)
        sizes = {"item": self.ratings.n_items, "user": self.ratings.n_users}
        return Spec(sizes, {"item": features}, self.ratings.user_features.shape[1], task=self.unit[:-1])

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest."""
        return {
            "name": self.ratings.name,
            "synthetic": self.ratings.synthetic,
            "checksum": self.ratings.checksum,
            "ratings": len(self.ratings.user),
            "users": self.ratings.n_users,
            "items": self.ratings.n_items,
        }

    def chosen(self, role: int, at_least: int, new: bool = False, most: int | None = None) -> NDArray[np.int64]:
        """Return the segments of a role with enough rows (at most `most`); `new`: only of users with no earlier row."""
        s = self.segments
        keep = (s.role == role) & (s.count >= at_least)
        if most is not None:
            keep &= s.count <= most
        if new:
            earliest = np.full(self.ratings.n_users, 255, np.int64)
            rank = {r: i for i, r in enumerate([SOURCE, *range(SLICE + 1, SLICE + 1 + self.rounds), VALIDATION, TEST])}
            ranks = np.array([rank.get(int(r), 255) for r in s.role])
            np.minimum.at(earliest, s.user, ranks)
            keep &= ranks == earliest[s.user]
        return np.flatnonzero(keep)

    def source(self, rows: int, seed: int, round: int = 1) -> Source:
        """Return the rows that pretraining sees at a round, in batches of `rows`: over time all rows before it."""
        kept = self.source_rows
        if self.by_time and round > 1:
            s = self.segments
            kept = torch.from_numpy(s.order[np.repeat((s.role == SOURCE) | between(s.role, round), s.count)])
        return Source(self.columns, torch.from_numpy(self.ratings.user), kept, rows, seed)

    @cached_property
    def source_rows(self) -> Tensor:
        """The source rows in the order of the segments, int32."""
        s = self.segments
        return torch.from_numpy(s.order[np.repeat(s.role == SOURCE, s.count)])

    def training_segments(self, round: int, slices: int, everyone: bool = False, since: int = 1) -> NDArray[np.int64]:
        """Return the segments that the rounds `since` to `round` (counted from 1) adapt on.

        They are of users whom pretraining did not see, where the split keeps some; `everyone` adds those it saw.
        """
        if self.by_time:
            stretches = range(SLICE + since, SLICE + round + 1)
            parts = [self.chosen(role, 1) for role in (SOURCE, *stretches)] if everyone else []
            return np.unique(np.concatenate([*parts, *(self.chosen(role, 2, new=True) for role in stretches)]))
        if not self.cold:
            return self.chosen(SOURCE, 2)
        chosen = self.chosen(META, 2)
        number = hashed(self.split_seed + 3, self.segments.user[chosen]) % np.uint64(slices)
        chosen = chosen[(number >= since - 1) & (number < round)]
        return np.append(chosen, self.chosen(SOURCE, 1)) if everyone else chosen

    def train_tasks(self, round: int, slices: int, seed: int) -> UserTasks:
        """Return random tasks of the training users of all rounds up to this one."""
        return self.user_tasks(self.training_segments(round, slices), f"round {round}", seed=seed, random=True)

    def labels_used(self, rounds: int, repretrain: bool) -> int:
        """Return how many ratings training reads in so many rounds, each once: the source's and the tasks'."""
        s = self.segments
        seen = (s.role == SOURCE) | (between(s.role, rounds) if repretrain else False)
        return int(s.count[np.union1d(np.flatnonzero(seen), self.training_segments(rounds, rounds))].sum())

    def source_users(self) -> int:
        """Return how many users have source ratings."""
        return len(np.unique(self.segments.user[self.segments.role == SOURCE]))

    def tasks(self, split: str, cell: str | None = None) -> UserTasks | PairedTasks:
        """Return the fixed tasks of an unseen cell (the first if None), "validation" or "test"."""
        part = cells.parts(self.split, split, cell or self.cells[0])
        if part.query == part.support:
            least = part.smallest or self.supports[-1] + self.queries
            return self.user_tasks(self.chosen(part.support, least, new=self.by_time, most=part.largest), split)
        few = max(1, self.queries // 4)
        found = self.paired(self.chosen(part.support, self.supports[-1]), self.chosen(part.query, few), self.queries)
        if not len(found):
            raise self.too_few(split, f"{self.supports[-1]} ratings of old items and {few} of new ones")
        return found

    def paired(self, known: NDArray[np.int64], asked: NDArray[np.int64], queries: int | None = None) -> PairedTasks:
        """Return tasks of the users that have both a segment to adapt on and one to be asked about."""
        user = self.segments.user
        asked = asked[np.isin(user[asked], user[known])]
        known = known[np.isin(user[known], user[asked])]
        return PairedTasks(self.columns, self.segments, known, asked, self.supports[-1], queries)

    def test_users(self, cell: str | None = None) -> int:
        """Return how many test users a cell has, with however few ratings."""
        return len(self.chosen(cells.parts(self.split, "test", cell or self.cells[0]).query, 1, new=self.by_time))

    def user_tasks(self, chosen: NDArray[np.int64], what: str, seed: int = 0, random: bool = False) -> UserTasks:
        """Return tasks over segments; raises MetarunError where no user has enough ratings."""
        if not len(chosen) and random:
            raise self.nobody_new(what)
        if not len(chosen):
            raise self.too_few(what, f"{self.supports[-1] + self.queries} ratings")
        name = crc32(what.encode())
        return UserTasks(
            self.columns, self.segments, chosen, self.supports, self.queries,
            seed=seed, name=name, random=random, by_time=self.by_time,
        )  # fmt: skip

    def too_few(self, what: str, rows: str) -> MetarunError:
        """Return the error for a cell without tasks."""
        return MetarunError(
            f"no {self.unit[:-1]} of {what} in {self.ratings.name} (split {self.split}) has {rows}: "
            f"lower dataset.supports or dataset.queries, or {self.larger}."
        )

    def nobody_new(self, what: str) -> MetarunError:
        """Return the error for a round without users to learn on."""
        return MetarunError(
            f"no new user of {what} in {self.ratings.name} (split {self.split}) has 2 ratings: "
            f"lower pipeline.rounds, or {self.larger}."
        )

    def warm_tasks(self, choose: bool = False) -> PairedTasks | KnownUsers | None:
        """Return known users with their withheld rows, or those that choose; None where the split withholds none."""
        s = self.segments
        if self.negatives:
            seen = (SOURCE,) if choose else (SOURCE, CHOOSE)
            found = KnownUsers(self.columns, s, CHOOSE if choose else WARM, seen)
            return found if len(found) else None
        pairs = self.paired(np.flatnonzero(s.role == SOURCE), self.chosen(WARM, 1))
        return pairs if len(pairs) else None

    def training_users(
        self, round: int, slices: int, tasks: int = 256, everyone: bool = False, since: int = 1
    ) -> list[Tensor]:
        """Return the training segments in batches of alike numbers of rows; raises MetarunError if there are none."""
        chosen = self.training_segments(round, slices, everyone, since)
        if not len(chosen):
            raise self.nobody_new(f"round {round}")
        chosen = chosen[np.argsort(self.segments.count[chosen], kind="stable")]
        return list(torch.split(torch.from_numpy(chosen), tasks))

    def training_task(self, chosen: Tensor) -> Task:
        """Return these users with all their rows as support and an empty query."""
        s = self.segments
        start, count = torch.from_numpy(s.start)[chosen], torch.from_numpy(s.count)[chosen]
        place = torch.arange(int(count.max()))
        user = torch.from_numpy(s.user)[chosen].long()
        support = self.columns.rows(start[:, None] + place, place < count[:, None], user)
        query = self.columns.rows(start[:, None], torch.zeros(len(chosen), 1, dtype=torch.bool), user)
        return Task(self.columns.context(user), support, query)

    def popularity(self) -> Tensor:
        """Return how many source ratings each item has (items,)."""
        items = self.ratings.item[self.source_rows.numpy()]
        return torch.from_numpy(np.bincount(items, minlength=self.ratings.n_items))

    def streams(self, split: str, round: int = 1, slices: int = 1, users: int = 128, since: int = 1) -> list[Stream]:
        """Return users as streams of their own: the training users of rounds, or "validation" or "test" users.

        Raises:
            MetarunError: validation or test without an order in time; there a stream's score would mean nothing.
        """
        if split == "train":
            parts = self.training_users(round, slices, users, since=since)
        elif not self.by_time:
            raise MetarunError(f"dataset.split={self.split} has no order in time: a stream needs dataset.split=time.")
        else:
            chosen = self.chosen({"validation": VALIDATION, "test": TEST}[split], 2, new=True)
            chosen = chosen[np.argsort(self.segments.count[chosen], kind="stable")]
            parts = list(torch.split(torch.from_numpy(chosen), users))
        tasks = [self.training_task(part) for part in parts]
        return [Stream(task.context, task.support) for task in tasks]


def between(role: NDArray[np.uint8], round: int) -> NDArray[np.bool_]:
    """Return which roles are stretches of time before a round."""
    found: NDArray[np.bool_] = (role > SLICE) & (role < SLICE + round)
    return found
