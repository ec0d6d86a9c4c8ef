"""What datasets of texts share: a vocabulary of rows that training may see, and texts as its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.tokens import Vocabulary, padded, rarity
from metarun.model import Spec


class TextRows:
    """Stands before a view of labelled rows, whose `table` holds texts; `seen` says what training may look at."""

    tokens: str
    """What a token is: "word", "bpe" or "char"."""
    most: int
    """Tokens of the vocabulary at most."""
    length: int
    """Tokens of a text that are read at most."""
    table: Any
    seen: Any

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens, learned from the rows that training may see and from no others."""
        return Vocabulary(self.table.inputs[self.seen].tolist(), self.tokens, self.most)

    @cached_property
    def inputs(self) -> Tensor:
        """Token numbers (N, L), 0 behind a text, L no longer than the longest text that training may see."""
        numbers = self.vocabulary.numbers(self.table.inputs.tolist())
        longest = max(len(numbers[row]) for row in np.flatnonzero(self.seen))
        return padded(numbers, min(self.length, max(longest, 1)))

    def with_words(self, plain: Spec) -> Spec:
        """Return what the model is told, also how many tokens there are, and how rare each is."""
        number, trained = len(self.vocabulary), self.inputs[torch.from_numpy(np.asarray(self.seen))]
        return replace(plain, vocabulary=number, tables={"token": rarity(trained, number)})

    def read_as(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return how texts of a file become inputs; classes: that mean the same in every task."""
        told = {"kind": "texts", "vocabulary": self.vocabulary.plain(), "length": self.inputs.shape[1]}
        return {**told, "classes": list(classes)}
