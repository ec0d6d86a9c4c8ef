"""What all few-shot datasets have in common: episodes to train on, episodes that choose, episodes that test."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from metarun.model import Spec
from metarun.protocols.labels import Metric
from metarun.rule import Task

PREPARING = 256
"""Training episodes that a rule estimates its constants from."""


class Episodic(pl.LightningDataModule):
    """A view of data as episodes. The contract that the pipeline and the judge read is here and in `Recommendation`."""

    unit = "episodes"
    negatives = 0
    rated = False
    by_time = False
    shared_labels = False
    """Whether a label means the same in every task, so that one state may learn from all of them."""

    cold = True
    cells: list[str]

    def __init__(
        self,
        supports: list[int],
        queries: int,
        test_tasks: int,
        train_shots: list[int] | None = None,
        train_queries: int | None = None,
    ) -> None:
        """supports: sizes to be judged at, shots or rows; queries: held-out rows, per class where there are classes.

        train_shots, train_queries: of training tasks, None for those that are judged.
        """
        super().__init__()
        self.supports, self.queries, self.test_tasks = sorted(set(supports)), queries, test_tasks
        self.train_shots, self.train_queries = sorted(set(train_shots or supports)), train_queries or queries

    @property
    def spec(self) -> Spec:
        """What the model is told."""
        raise NotImplementedError

    @property
    def setting(self) -> dict[str, object]:
        """What every figure depends on, printed under every table."""
        raise NotImplementedError

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of a task: functions of (outputs (T, Q, C), labels (T, Q), mask (T, Q)) to (T,)."""
        raise NotImplementedError

    def tasks(self, split: str, cell: str | None = None) -> Any:
        """Return the fixed episodes of a cell (the first if None), "validation" or "test"."""
        raise NotImplementedError

    def train_tasks(self, round: int, slices: int, seed: int) -> Any:
        """Return random episodes of the training classes, others in every round."""
        raise NotImplementedError

    def source(self, rows: int, seed: int, round: int = 1) -> Any:
        """Return the rows that pretraining sees, in batches of `rows`."""
        raise NotImplementedError

    def labelled(self) -> Any:
        """Return rows that frozen features are judged with while they are pretrained; None where there are none."""
        return None

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows a size stands for."""
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest."""
        raise NotImplementedError

    def labels_used(self, rounds: int, repretrain: bool) -> int | None:
        """Return how many labels training may read, each once; None where they are generated without end."""
        raise NotImplementedError

    def known_context(self) -> dict[str, Tensor]:
        """Return the context of what pretraining saw."""
        return {}

    def warm_tasks(self, choose: bool = False) -> Any:
        """Return held-out rows of what pretraining knows; None where there are none."""
        return None

    def reading(self) -> dict[str, Any] | None:
        """Return in plain values how rows of a file become inputs, see `answers.reading`; None for plain arrays."""
        return None

    def left_out(self) -> list[str]:
        """Return what was too small to be judged, in words."""
        return []

    def training_users(
        self, round: int, slices: int, tasks: int = 32, everyone: bool = False, since: int = 1
    ) -> list[Tensor]:
        """Return the numbers of training episodes that a rule estimates its constants from, in batches."""
        return list(torch.split(torch.arange(PREPARING), tasks))

    def training_task(self, indices: Tensor) -> Task:
        """Return training episodes, from which nothing but constants is estimated."""
        found: Task = self.train_tasks(1, 1, seed=0).batch(indices)
        return found
