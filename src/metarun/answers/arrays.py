"""A finished run on episodes as something that adapts to plain arrays: support rows in, outputs for query rows out."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarun.answers import rebuild
from metarun.answers.locate import ARRAYS, locate
from metarun.errors import MetarunError
from metarun.rule import Batch, Rule, Task
from metarun.tasks import answers, encode


class Support(NamedTuple):
    """Labelled rows that a method has been given."""

    x: Tensor  # (S, features)
    y: Tensor  # (S,)
    share: Tensor  # (C,) of the rows, by class; of numbers nothing


class Adapted:
    """The method that validation chose, with the values that it chose, around support rows."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        """Raise MetarunError where the file does not fit this version or names what is not trusted."""
        told = content["spec"]
        self.rule: Rule = rebuild.rule(content, path)
        self.shape, self.outputs = tuple(told["arrays"]["shape"]), int(told["outputs"])
        self.classifies = bool(getattr(self.rule.model.objective, "classifies", False))
        self.describes = "descriptions" in content["needs"]
        self.chosen: dict[int, dict[str, float]] = content["chosen"]
        self.name = f"{content['method']} of {content['run']}"
        self.limits = {"classes": self.outputs} if self.classifies else {}
        self.of_tables = told["arrays"]["task"] == "table"
        self.shared = bool(told["arrays"].get("shared", False))
        self.reading: dict[str, Any] | None = content.get("reading")
        self.reads_texts = bool(told["arrays"].get("vocabulary", 0))

    def read(self, x: Tensor, target: Tensor, known: Tensor, classes: Tensor) -> Support:
        """Return what `answer` needs of rows (S, features) and targets (S, C): 1 for the class, or y and -y.

        Raises:
            ValueError: rows of another width than those that the method was trained on.
        """
        if x.shape[1] != prod(self.shape):
            shape = " x ".join(map(str, self.shape))
            raise ValueError(f"{self.name} reads {prod(self.shape)} features ({shape}), it was given {x.shape[1]}")
        self.check(x)
        y = target.argmax(1) if self.classifies else target[:, 0]
        return Support(x, y, target.mean(0))

    def check(self, x: Tensor) -> None:
        """Raise ValueError for images in another range than those that the method was trained on."""
        if len(self.shape) == 3 and len(x) and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(
                f"{self.name} reads pixels from 0 to 1, or whole numbers of type uint8; given were {float(x.min()):g} "
                f"to {float(x.max()):g}"
            )

    def answer(self, support: Support, query: Tensor) -> Tensor:
        """Return outputs (B, C) of query rows (B, features), of numbers y and -y; adapted anew at every call."""
        self.check(query)
        x, asked = (rows.float().reshape(-1, *self.shape) for rows in (support.x, query))
        if self.classifies:
            return self.outputs_of(x, support.y, asked, len(support.share)).double()
        out = self.outputs_of(x, support.y.float(), asked, 0)[:, :1].double()
        return torch.cat([out, -out], 1)

    def outputs_of(self, x: Tensor, y: Tensor, query: Tensor, classes: int, known: Tensor | None = None) -> Tensor:
        """Return outputs (B, C) of query rows (B, ...) after adapting to support rows (S, ...) and labels (S,).

        classes: how many of the C outputs there are. known (T, S): which support rows count in each of T tasks, whose
        outputs are then (T, B, C).
        """
        counted = torch.ones(1, len(x)) if known is None else known
        number = len(counted)
        context: dict[str, Any] = {"key": torch.zeros(number, dtype=torch.int64)}
        shots = len(x)
        if self.classifies:
            context["classes"] = (torch.arange(self.outputs) < classes).float().expand(number, -1)
            shots = shots if self.shared else int(y.bincount(minlength=classes).min())
        size = min(self.chosen, key=lambda known: (abs(known - shots), known)) if self.chosen else None
        task = Task(context, rows(x, y, counted), rows(query, y.new_zeros(len(query)), torch.ones(number, len(query))))
        with torch.no_grad(), self.rule.set(self.chosen[size] if size is not None else {}):
            out = answers(self.rule, encode(self.rule, task), True)[..., : max(classes, 1)]
        return out[0] if known is None else out


def rows(x: Tensor, y: Tensor, known: Tensor) -> Batch:
    """Return rows (B, ...) as a batch of T tasks, in which those of known (T, B) count."""

    def again(values: Tensor) -> Tensor:
        return values.expand(len(known), *values.shape)

    return Batch(again(x), again(y), known, known, torch.zeros(len(known), dtype=torch.int64))


def load(run: str | Path, outputs: str | Path = "outputs", texts: bool = False) -> Adapted:
    """Return what a finished run learned, ready to adapt; texts: the caller can read them.

    Raises:
        MetarunError: there is no such run, it is not finished, it is not one on episodes, its rows are texts, its
            classes are told by descriptions, which plain arrays have not, or answers depend on what is asked together.
    """
    path = locate(run, outputs, ARRAYS)
    found = Adapted(rebuild.read(path, "arrays"), path)
    if found.describes:
        raise MetarunError(f"run={run}: {found.name} needs descriptions of the classes, which plain arrays have not")
    if found.reads_texts and not texts:
        raise MetarunError(f"run={run}: {found.name} reads texts: metarun.load(run), or metarun predict")
    if getattr(found.rule.model.backbone, "norm", None) == "query":
        raise MetarunError(
            f"run={run}: {found.name} normalises by the rows that are asked about together (backbone.norm=query), so "
            "no row has an answer of its own; give a run with another backbone.norm"
        )
    return found
