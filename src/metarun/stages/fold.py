"""Adapting one state, or one state per key, batch after batch without an outer loss: transfer, online and adaptive."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

from metarun.rule import Batch, Rule, State
from metarun.stages.loop import Stage
from metarun.streams import Stream, encode, time_chunks
from metarun.tasks import over_tasks


class Fold(Stage):
    """Folds a rule's update over batches; the state is part of the checkpoint."""

    has_loss = False
    on_cpu = True  # the state and the features encoded beforehand stay where the data is

    def __init__(self, rule: Rule, state: State, method: str, shift: Tensor) -> None:
        """shift: what side information added to the head's weight in `state`, (D, C), or the mean of it over keys."""
        super().__init__()
        self.automatic_optimization = False
        self.rule, self.state, self.shift = rule, state, shift
        family, _, stem = method.partition("/")
        self.rate_key = f"strategy.{family}.inner_lr (of a method in evaluate.against: tuned.{stem}.inner_lr)"
        if not hasattr(rule, "inner_lr"):
            self.rate_key = f"the rates among the fields of strategy.{family} (metarun show strategy/{method})"

    def configure_optimizers(self) -> None:
        """Return nothing: the rule is the optimiser."""
        return

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["state"] = tree_leaves(self.state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the state too."""
        super().on_load_checkpoint(checkpoint)
        self.state = tree_unflatten(checkpoint["state"], tree_structure(self.state))

    def shared(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return parameters without the shift of side information: the head adds it to every task's start again."""
        return {name: value - self.shift if name == "head.weight" else value for name, value in found.items()}

    @torch.no_grad()
    def watch(self) -> None:
        """Remember whether the state is still finite."""
        # The logarithm of a weight may well be -inf; whatever else diverges is +inf or NaN a step later.
        total = [leaf.clamp(min=-1e30).sum() for leaf in tree_leaves(self.state) if leaf.is_floating_point()]
        self.recent = torch.stack(total).sum()


class Transfer(Fold):
    """One state adapted on pooled batches: what transfer writes back."""

    def training_step(self, batch: Batch, index: int) -> None:
        """Update once."""
        with torch.no_grad():
            self.state = self.rule.update(self.state, batch)
        self.watch()

    def committed(self) -> dict[str, Tensor]:
        """Return the parameters that the state stands for."""
        return self.shared(self.rule.commit(self.state))


class Online(Fold):
    """A state per key, each key's rows in order: what online and adaptive write back is the mean over keys."""

    def __init__(self, rule: Rule, state: State, method: str, shift: Tensor, vmapped: bool) -> None:
        super().__init__(rule, state, method, shift)
        self.vmapped = vmapped

    def training_step(self, batch: tuple[slice, Batch], index: int) -> None:
        """Update the keys of one batch of streams by one chunk."""
        keys, chunk = batch
        with torch.no_grad():
            part = tree_map(lambda leaf: leaf[keys], self.state)
            part = over_tasks(self.rule.update, self.vmapped)(part, chunk)

            def put(whole: Tensor, new: Tensor) -> Tensor:
                whole[keys] = new
                return whole

            self.state = tree_map(put, self.state, part)
        self.watch()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the chunk, not the slice."""
        keys, chunk = batch
        return keys, super().transfer_batch_to_device(chunk, device, dataloader_idx)

    def committed(self) -> dict[str, Tensor]:
        """Return the mean over keys of what their states stand for."""
        each = over_tasks(self.rule.commit, self.vmapped)(self.state)
        return self.shared({name: value.mean(0) for name, value in each.items()})


class Plan:
    """The chunks of many streams in a row: step -> (keys of the state, chunk)."""

    def __init__(self, rule: Rule, streams: list[Stream], rows: int) -> None:
        self.rule, self.streams, self.rows = rule, streams, rows
        self.keys, self.first, key, step = [], [], 0, 0
        for stream in streams:
            users, length = stream.batch.y.shape
            self.keys.append(slice(key, key + users))
            self.first.append(step)
            key, step = key + users, step - (-length // rows)
        self.steps, self.open = step, -1
        self.chunks: list[Batch] = []

    def __len__(self) -> int:
        return self.steps

    def batch(self, step: int) -> tuple[slice, Batch]:
        """Return the state's keys and the chunk of one step."""
        number = max(i for i, first in enumerate(self.first) if first <= step)
        if number != self.open:
            with torch.no_grad():
                encoded = encode(self.rule, self.streams[number])
            self.chunks, self.open = list(time_chunks(encoded.batch, self.rows)), number
        return self.keys[number], self.chunks[step - self.first[number]]


def pooled(rule: Rule, batch: Batch) -> Batch:
    """Return a batch (T, B) of many tasks as one batch (T * B), encoded where the rule sees features."""
    x = tree_map(lambda leaf: leaf.flatten(0, 1), batch.x)
    if rule.sees == "features":
        with torch.no_grad():
            x = rule.model.features(x)
    return Batch(x, batch.y.flatten(), batch.mask.flatten(), batch.known.flatten(), batch.event[0])


def since(key: str, number: int) -> int:
    """Return the first round whose users a stage without tasks adapts on: its own, or all if it stands alone."""
    return 1 if key.startswith("own-") else number
