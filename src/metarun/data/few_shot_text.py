"""Labelled texts as few-shot classes: whole groups of classes may be kept apart, and words are those of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from metarun.data.episodes import Bank
from metarun.data.few_shot import FewShot
from metarun.data.images.splits import PARTS, shuffled
from metarun.data.text_rows import TextRows
from metarun.errors import MetarunError
from metarun.model import Spec

GROUPED = (0.6, 0.2, 0.2)
"""Of the groups, for training, validation and test under split=domains."""


class FewShotText(TextRows, FewShot):
    """Rows are token numbers (N, L), 0 behind a text; the vocabulary is learned from rows that training may see."""

    def __init__(self, split: str, tokens: str, vocabulary: int, length: int, **view: Any) -> None:
        """tokens: "word", "bpe" or "char"; vocabulary: at most so many; length: most tokens of a text that are read.

        view: what all labelled rows are asked for.
        """
        super().__init__(split, **view)
        self.tokens, self.most, self.length = tokens, vocabulary, length

    @cached_property
    def bank(self) -> Bank:
        """The rows by class, each class described by the words of its name that the vocabulary knows."""
        names = [name.replace("_", " ") for name in self.table.classes]
        return replace(super().bank, descriptions=torch.from_numpy(self.vocabulary.bags(names)))

    @cached_property
    def spec(self) -> Spec:
        """What the model is told."""
        return self.with_words(super().spec)

    def reading(self) -> dict[str, Any]:
        """Return how texts of a file become inputs."""
        return self.read_as([])

    @property
    def setting(self) -> dict[str, object]:
        """The split and its seed, and what a token is."""
        return {**super().setting, "tokens": self.tokens}

    def class_split(self) -> dict[str, list[int]]:
        """Return the classes (numbers) of each part; under split=domains no group has classes in two parts."""
        if self.split != "domains":
            return super().class_split()
        return by_groups(self.table, self.split_seed, GROUPED)


def by_groups(table: Any, seed: int, shares: Sequence[float]) -> dict[str, list[int]]:
    """Return the classes (numbers) of each part of `LabelledRows`, whole groups by the hash of (seed, group name).

    Raises:
        MetarunError: a part would have no group.
    """
    order = shuffled(table.groups, seed)
    first, second = round(shares[0] * len(order)), round((shares[0] + shares[1]) * len(order))
    cuts = (order[:first], order[first:second], order[second:])
    if not all(cuts):
        raise MetarunError(
            f"dataset.split=domains: {table.name} has {len(order)} domains, too few for three parts: "
            "use dataset.split=seeded"
        )
    owner = np.zeros(len(table.classes), np.int64)
    owner[table.label] = table.group
    return {
        part: [kind for kind, group in enumerate(owner.tolist()) if table.groups[group] in cut]
        for part, cut in zip(PARTS, cuts, strict=True)
    }
