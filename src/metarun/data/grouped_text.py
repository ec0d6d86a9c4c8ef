"""Labelled texts of groups whose labels mean the same: a new kind of product, source or author is a task."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from metarun.data.grouped import Grouped
from metarun.data.text_rows import TextRows
from metarun.model import Spec


class GroupedText(TextRows, Grouped):
    """Rows are token numbers (N, L); a group is a task."""

    def __init__(self, tokens: str, vocabulary: int, length: int, **view: Any) -> None:
        """tokens: "word", "bpe" or "char"; vocabulary: at most so many; length: most tokens of a text that are read.

        view: what every set of groups is asked for.
        """
        super().__init__(**view)
        self.tokens, self.most, self.length = tokens, vocabulary, length

    @cached_property
    def spec(self) -> Spec:
        """What the model is told."""
        return self.with_words(super().spec)

    @property
    def setting(self) -> dict[str, object]:
        """Who tests, the seed, and what a token is."""
        return {**super().setting, "tokens": self.tokens}

    def reading(self) -> dict[str, Any]:
        """Return how texts of a file become inputs."""
        return self.read_as(self.table.classes)
