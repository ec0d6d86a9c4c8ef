"""People whose ratings came after training: a small file beside the answers, which a later update adds to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun import locking, store
from metarun.answers.rebuild import FORMAT, read
from metarun.errors import MetarunError

Names = NDArray[np.str_]


@dataclass(frozen=True)
class People:
    """Rows by external ids as text, in the order of time, and the items that they brought with them."""

    user: Names  # (rows,)
    item: Names  # (rows,)
    value: NDArray[np.float32]  # (rows,)
    time: NDArray[np.int64]  # (rows,) seconds since 1970, 0 unknown
    titles: dict[str, str] = field(default_factory=dict)  # of items that the run does not know
    new_ids: list[str] = field(default_factory=list)
    new: Tensor | None = None  # (N, D) features of new items, by fold-in
    fingerprint: str = ""  # of the answers that `new` was computed with

    def of(self, user: str) -> NDArray[np.int64]:
        """Return the rows of a person."""
        return np.flatnonzero(self.user == user)

    def content(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        users, user = np.unique(self.user, return_inverse=True)
        items, item = np.unique(self.item, return_inverse=True)
        return {
            "format": FORMAT,
            "holds": "people",
            "users": users.tolist(),
            "items": items.tolist(),
            "user": torch.from_numpy(user.astype(np.int32)),
            "item": torch.from_numpy(item.astype(np.int32)),
            "value": torch.from_numpy(self.value),
            "time": torch.from_numpy(self.time),
            "titles": self.titles,
            "new_ids": self.new_ids,
            "new": self.new,
            "fingerprint": self.fingerprint,
        }


def nobody() -> People:
    """Return a store without rows."""
    return People(np.array([], "<U1"), np.array([], "<U1"), np.zeros(0, np.float32), np.zeros(0, np.int64))


def of_content(content: dict[str, Any]) -> People:
    """Return what `People.content` wrote."""
    users, items = (np.array(content[name], dtype=np.str_) for name in ("users", "items"))
    user, item = (content[name].numpy() for name in ("user", "item"))
    return People(
        users[user] if len(users) else users,
        items[item] if len(items) else items,
        content["value"].numpy(),
        content["time"].numpy(),
        content["titles"],
        content["new_ids"],
        content["new"],
        content["fingerprint"],
    )


def beside(answers: Path) -> Path:
    """Return where the people of a file of answers are kept: answers.ckpt has people.ckpt."""
    return answers.with_name("people.ckpt" if answers.name == "answers.ckpt" else f"{answers.stem}.people.ckpt")


def load(answers: Path, content: dict[str, Any]) -> People:
    """Return the people of some answers: of the file beside it, else those saved in it, else nobody."""
    path = beside(answers)
    if path.is_file():
        found = read(path, "people")
        try:
            return of_content(found)
        except (LookupError, AttributeError, TypeError, ValueError):
            raise MetarunError(f"{path} is damaged: remove it and update again") from None
    return of_content(content["people"]) if "people" in content else nobody()


def save(answers: Path, people: People) -> Path:
    """Write the people beside the answers whole or not at all, and return where."""
    store.write(beside(answers), people.content())
    return beside(answers)


def alone(answers: Path) -> AbstractContextManager[None]:
    """Let one process at a time update; the others wait for it."""
    path = beside(answers).with_name(f".{beside(answers).stem}.lock")
    return locking.alone(path, f"cannot write {path}", "copy the run to where it can be updated")


def joined(people: People, user: Names, item: Names, value: NDArray[np.float32], time: NDArray[np.int64]) -> People:
    """Return the people with more rows: of a pair the latest stands, and of equal times the last one given."""
    users, items = np.concatenate([people.user, user]), np.concatenate([people.item, item])
    values, times = np.concatenate([people.value, value]), np.concatenate([people.time, time])
    order = np.argsort(times, kind="stable") if times.all() else np.arange(len(times))
    # The last of each pair in this order: the first of each in the reverse.
    _, u = np.unique(users[order], return_inverse=True)
    _, i = np.unique(items[order], return_inverse=True)
    pair = u.astype(np.int64) * (i.max(initial=0) + 1) + i
    _, last = np.unique(pair[::-1], return_index=True)
    kept = order[np.sort(len(order) - 1 - last)]
    return replace(people, user=users[kept], item=items[kept], value=values[kept], time=times[kept])
