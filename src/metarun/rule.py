"""The contract: an update rule turns data into a changed model.

Everything here is for one task and one stream; leaves carry no task axis and `metarun.tasks` batches them with vmap.
Learned by an outer loss: a parameter of the rule. Changed by the data of one task: state. Constant: an attribute.

Shapes: S support rows, Q query rows, B rows, D features, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from metarun.model import Model

State = Any
Tree = Any


class Batch(NamedTuple):
    """Rows of data; a pytree to torch.func as it is."""

    x: Tree  # (B, ...)  inputs, or features where the rule sees features
    y: Tensor  # (B,)  never read where known == 0
    mask: Tensor  # (B,)  1: the row exists (ragged tasks are padded)
    known: Tensor  # (B,)  1: its label may be read; known <= mask
    event: Tensor  # ()  0 none, 1 task boundary, 2 warning, 3 drift; told by the protocol, never guessed


class Task(NamedTuple):
    """What one adaptation gets to see (context, support) and what it is judged on (query)."""

    context: dict[str, Any]  # tensors known before any label: key, user features, what varies on a vmapped axis
    support: Batch
    query: Batch


class Rule(nn.Module):
    """Owns the model (backbone, head, objective) and whatever is learned about updating it.

    A new rule writes `init`, `update` and `predict`; the rest is derived and overridden only where a method differs.
    """

    transductive: ClassVar[bool] = False
    """True: the engine appends the query rows to the support with known = 0, and where a stream's labels come late, if
    the rule listens, the rows that have just been predicted."""

    everyone: ClassVar[bool] = False
    """True: `prepare` sees all training tasks; False: those that pretraining did not see, which look like new ones."""

    chunk: int | None = None
    """Rows per update when a task's support arrives; None: all at once."""

    moves: str = "head"
    """Anything but "head": the engine tells each task which rows of the backbone's tables it looks up, as
    `context["rows"]`."""

    progress: float = 1.0
    """How far meta-training is, 0 at its first step; set by the meta-stage, read in `outer` by what is annealed."""

    listens: ClassVar[bool] = False
    """Whether the rule is to be told of drift: under the prequential protocol its batches then carry events."""

    hears: int = 3
    """The least event that is an alarm to a rule that listens: 3 drift, 2 a detector's warning as well."""

    alone: ClassVar[bool] = False
    """Whether the rule branches on what it sees, or changes its state in place: it follows a stream, and tasks cannot
    be batched."""

    kernel: str = "numpy"
    """What follows rows one by one where a rule has a kernel for it: "numpy", or "numba" for many rows."""

    tune: dict[str, list[float]] | None = None
    """Grid of attribute values that validation tasks choose from, per support size."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    @property
    def sees(self) -> str:
        """Either "features" (the engine encodes the whole batch once, outside vmap) or "inputs" (the rule does)."""
        return "inputs"

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Estimate constants from batches of training tasks, features already encoded; by default nothing."""

    def init(self, context: dict[str, Any]) -> State:
        """Return the state before any label: only what moves, plus counters, memories, statistics."""
        raise NotImplementedError

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after one batch: once per task, or once per chunk of a stream."""
        raise NotImplementedError

    def predict(self, state: State, x: Tree) -> Tensor:
        """Return the outputs (B, C) for inputs (B, ...)."""
        raise NotImplementedError

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after each inner step; the last one is what `update` returns."""
        yield self.update(state, batch)

    def step(self, state: State, batch: Batch) -> tuple[Tensor, State]:
        """Return (predict, update); overridden where both share one forward."""
        return self.predict(state, batch.x), self.update(state, batch)

    def follow(self, state: State, ask: Tree, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), the state afterwards) of B rows of a stream, `chunk` after `chunk`.

        Each chunk of `ask` is predicted, then as many rows of `batch` are learned from: the same rows, or earlier ones
        where labels come late. Overridden where a rule has a faster way to the same numbers.
        """
        outs = []
        for asked, learned in zip(pieces(ask, len(batch.y), chunk), chunks(batch, chunk), strict=True):
            if ask is batch.x:
                out, state = self.step(state, learned)
            else:
                out, state = self.predict(state, asked), self.update(state, learned)
            outs.append(out)
        return torch.cat(outs), state

    def told(self, state: State) -> dict[str, Tensor]:
        """Return what the record of a stream keeps of a state, e.g. the trust in each policy; by default nothing."""
        return {}

    def adapt(self, task: Task) -> State:
        """Return the state after the support set, taken `chunk` rows at a time."""
        state = self.init(task.context)
        for batch in chunks(support(task, self.transductive), self.chunk):
            state = self.update(state, batch)
        return state

    def outer(self, task: Task) -> Tensor:
        """Return the meta-loss () of one task: the query loss after adaptation."""
        out = self.predict(self.adapt(task), task.query.x)
        return self.model.loss(out, task.query.y, task.query.known)

    def regulariser(self) -> Tensor:
        """Return what the outer loss adds once per step to keep the learned rule near its start; by default 0."""
        return torch.zeros(())

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the model parameters, by name, that a state stands for; empty where it stands for none."""
        return {}

    @contextmanager
    def set(self, values: dict[str, float]) -> Iterator[None]:
        """Set attributes for the length of a block, e.g. a point of the `tune` grid."""
        old = {name: getattr(self, name) for name in values}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in old.items():
                setattr(self, name, value)


def support(task: Task, transductive: bool) -> Batch:
    """Return the batch that `update` sees: the support, with the unlabelled query rows behind it if transductive."""
    if not transductive:
        return task.support
    s, q = task.support, task.query
    x = tree_map(lambda a, b: torch.cat([a, b]), s.x, q.x)
    unlabelled = torch.zeros_like(q.mask)
    y = torch.cat([s.y, torch.zeros_like(q.y)])
    return Batch(x, y, torch.cat([s.mask, q.mask]), torch.cat([s.known, unlabelled]), s.event)


def chunks(batch: Batch, rows: int | None) -> Iterator[Batch]:
    """Yield the batch `rows` rows at a time; the whole batch if None."""
    total = batch.y.shape[0]
    if rows is None or rows >= total:
        yield batch
        return
    for number, x in enumerate(pieces(batch.x, total, rows)):
        part = slice(number * rows, (number + 1) * rows)
        yield Batch(x, batch.y[part], batch.mask[part], batch.known[part], batch.event)


def pieces(x: Tree, total: int, rows: int) -> Iterator[Tree]:
    """Yield inputs (B, ...) of `total` rows, `rows` at a time."""
    for first in range(0, total, rows):
        yield tree_map(lambda leaf, part=slice(first, first + rows): leaf[part], x)


def truncate(batch: Batch, rows: int) -> Batch:
    """Return the batch (..., B) with only its first `rows` rows existing."""
    keep = (torch.arange(batch.y.shape[-1], device=batch.y.device) < rows).to(batch.mask)
    return batch._replace(mask=batch.mask * keep, known=batch.known * keep)
