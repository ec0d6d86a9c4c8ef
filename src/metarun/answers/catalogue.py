"""Items as people name them: by id, or by title as they would type it."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from metarun.errors import MetarunError

ARTICLES = ("the", "a", "an", "la", "le", "les", "l'", "il", "el", "los", "las", "das", "der", "die")


class Catalogue:
    """M items by external id and title; new ones stand behind those of the run."""

    def __init__(self, ids: list[Any], titles: list[str]) -> None:
        self.ids, self.titles = ids, titles
        self.place = {text(one): number for number, one in enumerate(ids)}

    def __len__(self) -> int:
        """Number of items M."""
        return len(self.ids)

    def title(self, number: int) -> str:
        """Return an item's title; its id where it has none."""
        return self.titles[number] or str(self.ids[number])

    @cached_property
    def named(self) -> dict[str, list[int]]:
        """Items by title as `key` writes it, with the year and without."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, title in enumerate(self.titles):
            for name in {key(title), key(without_year(title))} - {""}:
                found[name].append(number)
        return found

    def find(self, item: Any) -> int:
        """Return the number of an item given by id or by title.

        Raises:
            MetarunError: there is none, or the title is that of several.
        """
        number = self.place.get(text(item))
        if number is not None:
            return number
        several = self.named.get(key(str(item)), [])
        if len(several) == 1:
            return several[0]
        if several:
            told = "; ".join(f"{self.ids[i]} {self.titles[i]}" for i in several[:5])
            raise MetarunError(f"'{item}' is the title of {len(several)} items, give one's id: {told}")
        raise MetarunError(f"'{item}' is not among the {len(self):,} items of this run.{self.like(item)}")

    def like(self, item: Any) -> str:
        """Return what may have been meant: close titles, or the ids that there are."""
        word = str(item)
        if re.fullmatch(r"-?\d+(\.\d+)?", word.strip()):
            low, high = self.ids[0], self.ids[-1]
            return f" Ids look like {low} or {high}"
        bare = {name for name in self.named if name == without_year(name)}  # a year alone makes nothing alike
        close = difflib.get_close_matches(without_year(key(word)), bare, n=3, cutoff=0.6)
        numbers = dict.fromkeys(number for name in close for number in self.named[name])
        told = " or ".join(f"'{self.titles[i]}'{self.aside(i)}" for i in list(numbers)[:3])
        return f" Did you mean {told}?" if told else f" Give an id, such as {self.ids[0]}, or a title as the run has it"

    def aside(self, number: int) -> str:
        """Return " (1)", the id behind a title; nothing where they are the same."""
        return "" if self.titles[number] == str(self.ids[number]) else f" ({self.ids[number]})"

    def numbers(self, items: Iterable[Any]) -> list[int]:
        """Return the numbers of items, each once, in their order. Raises MetarunError for one that is not there."""
        return list(dict.fromkeys(self.find(item) for item in listed(items)))


def listed(items: Any) -> list[Any]:
    """Return items as a list, where one id or title may stand alone."""
    return [items] if isinstance(items, str) or not isinstance(items, Iterable) else list(items)


def number_of(count: int, one: str, many: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"{count:,} {one if count == 1 else many}"


def text(one: Any) -> str:
    """Return an id as text: 1, 1.0, "1" and " 1 " are one id, "01" is another."""
    if isinstance(one, float) and one.is_integer():
        return str(int(one))
    written = str(one).strip()
    return written[:-2] if re.fullmatch(r"[1-9]\d*\.0", written) else written


def without_year(title: str) -> str:
    """Return "Toy Story" of "Toy Story (1995)"."""
    return re.sub(r"\s*\(\d{4}[^)]*\)\s*$", "", title)


def key(title: str) -> str:
    """Return a title as it is compared: no case, single spaces, "The Matrix (1999)" for "Matrix, The (1999)"."""
    name = " ".join(title.casefold().split())
    bare = without_year(name)
    year = name[len(bare) :]
    stem, comma, article = bare.rpartition(", ")
    if comma and article in ARTICLES:
        bare = f"{article}{'' if article.endswith(chr(39)) else ' '}{stem}"
    return bare + (f" {year.strip()}" if year else "")
