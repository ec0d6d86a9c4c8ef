"""Sine waves as a dataset of runs."""

from __future__ import annotations

from metarun.data.episodic import Episodic
from metarun.data.sinusoid import PROTOCOLS, SinusoidTasks
from metarun.metrics.regression import mae, mse
from metarun.model import Spec
from metarun.protocols.labels import Metric, of_one


class Sinusoid(Episodic):
    """Generated without end: training, validation and test tasks are different draws from the same ranges."""

    unit = "functions"

    def __init__(
        self,
        protocol: str,
        split_seed: int,
        supports: list[int],
        queries: int,
        train_shots: list[int] | None,
        train_queries: int | None,
        test_tasks: int,
    ) -> None:
        """protocol: "finn" or "metasgd"; train_shots, train_queries: of training tasks, None for those judged."""
        super().__init__(supports, queries, test_tasks, train_shots, train_queries)
        self.protocol, self.split_seed = protocol, split_seed
        self.cells = [protocol]

    @property
    def spec(self) -> Spec:
        """One number in, one out."""
        return Spec(shape=(1,), task="function")

    @property
    def setting(self) -> dict[str, object]:
        """The ranges and the seed of the judged tasks."""
        return {"protocol": self.protocol, "split_seed": self.split_seed}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Squared and absolute error, as means over the query of a task."""
        return {"squared_error": of_one(mse), "absolute_error": of_one(mae)}

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest; a sine wave is what the protocol is about, no stand-in."""
        return {"name": f"sinusoid/{self.protocol}", "synthetic": False, "checksum": repr(PROTOCOLS[self.protocol])}

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows so many shots are: as many."""
        return support

    def tasks(self, split: str, cell: str | None = None) -> SinusoidTasks:
        """Return the fixed tasks, "validation" or "test"."""
        return SinusoidTasks(
            self.protocol, self.supports, self.queries,
            number=self.test_tasks, seed=self.split_seed, name=split, all_shots=True,
        )  # fmt: skip

    def train_tasks(self, round: int, slices: int, seed: int) -> SinusoidTasks:
        """Return random tasks, others in every round."""
        return SinusoidTasks(
            self.protocol, self.train_shots, self.train_queries,
            number=self.test_tasks, seed=seed, name=f"round {round}", all_shots=False,
        )  # fmt: skip

    def labels_used(self, rounds: int, repretrain: bool) -> None:
        """Return None: every training step draws new ones."""
        return
