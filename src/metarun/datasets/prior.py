"""Generated tables as a dataset of runs."""

from __future__ import annotations

from metarun.data.episodic import Episodic
from metarun.data.prior.tasks import Limits, PriorTasks
from metarun.errors import MetarunError
from metarun.metrics.episodic import accuracy, log_loss
from metarun.metrics.regression import mae, mse
from metarun.model import Spec
from metarun.protocols.labels import Metric, of_one

ENDLESS = 10**9


class Prior(Episodic):
    """Generated without end: training, validation and test tables are different draws from the same prior."""

    unit = "tables"

    def __init__(
        self,
        target: str,
        split_seed: int,
        features: int,
        classes: int,
        train_rows: int,
        train_queries: int,
        block: int,
        padded: bool,
        supports: list[int],
        queries: int,
        test_tasks: int,
    ) -> None:
        """target: "classes" or "number"; features, classes, train_rows: of the largest table; padded: all as wide."""
        super().__init__(supports, queries, test_tasks)
        self.classifies, self.split_seed, self.block = target == "classes", split_seed, block
        if self.classifies and (classes > train_rows or min(self.supports) < 2):
            raise MetarunError(
                f"dataset.classes={classes}, dataset.train_rows={train_rows}, dataset.supports={supports}: every class "
                "of a table has a row, and there are two classes or more; raise train_rows or supports"
            )
        self.train_limits = Limits(train_rows, train_queries, features, classes if self.classifies else 0)
        judged = min(classes, *self.supports) if self.classifies else 0  # the smallest support shows every class
        self.test_limits = Limits(self.supports[-1], queries, features, judged)
        self.least = (features, self.train_limits.classes) if padded else (1, 0)
        self.cells = [target]

    @property
    def spec(self) -> Spec:
        """Rows of numbers in, scores of classes or a number out."""
        return Spec(shape=(self.train_limits.features,), outputs=max(self.train_limits.classes, 1), task="table")

    @property
    def setting(self) -> dict[str, object]:
        """The size of the largest judged table and the seed."""
        limits = self.test_limits
        return {"features": limits.features, "classes": limits.classes, "split_seed": self.split_seed}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Accuracy and log-loss of classes, squared and absolute error of numbers, as means over a task's query."""
        if self.classifies:
            return {"accuracy": accuracy, "log_loss": log_loss}
        return {"squared_error": of_one(mse), "absolute_error": of_one(mae)}

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest; a generated table is what the prior is about."""
        return {"name": f"prior/{self.cells[0]}", "synthetic": False, "checksum": repr((self.train_limits, self.block))}

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows so many rows are."""
        return support

    def tasks(self, split: str, cell: str | None = None) -> PriorTasks:
        """Return the fixed tables, "validation" or "test"."""
        limits, least = self.test_limits, self.least
        return PriorTasks(
            limits, self.split_seed, split, self.test_tasks, block=self.block, rows=limits.support, least=least
        )

    def train_tasks(self, round: int, slices: int, seed: int) -> PriorTasks:
        """Return random tables, others in every round."""
        return PriorTasks(self.train_limits, seed, f"round {round}", ENDLESS, block=self.block, least=self.least)

    def labels_used(self, rounds: int, repretrain: bool) -> None:
        """Return None: every training step draws new ones."""
        return
