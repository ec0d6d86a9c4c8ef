"""The six laws of an update rule. Each takes a rule and ragged tasks and raises where the rule breaks it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from toys import ITEMS, draws, learned

from metarun.rule import Batch, Rule, Task, support
from metarun.tasks import encode, over_tasks

Law = Callable[[Rule, Task], None]


def close(a: Any, b: Any, what: str, exact: bool = False) -> None:
    left, right = tree_flatten(a), tree_flatten(b)
    assert left[1] == right[1], f"{what}: another tree"
    for x, y in zip(left[0], right[0], strict=True):
        assert torch.isfinite(x.double()).all(), f"{what}: not finite"
        same = torch.equal(x, y) if exact else torch.allclose(x.double(), y.double(), rtol=1e-9, atol=1e-9)
        assert same, f"{what}: {x} is not {y}"


def anything(like: Tensor, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return random inputs of a column's kind: ids or numbers."""
    if like.is_floating_point():
        return 5 * torch.randn(shape, generator=draws(seed), dtype=like.dtype)
    return torch.randint(ITEMS, shape, generator=draws(seed))


def poison(y: Tensor, number: Tensor) -> Tensor:
    """Return labels that break whatever reads them."""
    if y.is_floating_point():
        return torch.tensor([torch.nan, 1e9, -torch.inf], dtype=torch.float64)[number]
    return torch.tensor([-1, 10**9, torch.iinfo(torch.int64).min])[number]


def each(rule: Rule, task: Task) -> Iterator[Task]:
    """Yield the tasks one by one as the rule sees them."""
    seen = encode(rule, task)
    for i in range(len(task.support.y)):
        yield tree_map(lambda leaf, i=i: leaf[i], seen)


def outcome(rule: Rule, task: Task) -> list[list[Tensor]]:
    """Return what a rule predicts after none, one and two updates, and its outer loss with its gradient."""
    results = []
    for one in each(rule, task):
        seen, state = support(one, rule.transductive), rule.init(one.context)
        found = [rule.predict(state, one.query.x)]
        for _ in range(2):
            state = rule.update(state, seen)
            found.append(rule.predict(state, one.query.x))
        loss, wanted = rule.outer(one), list(learned(rule).values())
        gradients: tuple[Tensor | None, ...] = ()
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, wanted, allow_unused=True, retain_graph=True)
        results.append([*found, loss, *(g for g in gradients if g is not None)])
    return tree_map(lambda leaf: leaf.detach(), results)


def step_is_predict_then_update(rule: Rule, task: Task) -> None:
    for one in each(rule, task):
        state = rule.init(one.context)
        for batch in (one.support, one.support):
            out, new = rule.step(state, batch)
            close(out, rule.predict(state, batch.x), "step's prediction")
            close(new, rule.update(state, batch), "step's state")
            state = new
        *_, last = rule.path(rule.init(one.context), one.support)
        close(last, rule.update(rule.init(one.context), one.support), "the end of path")


def hidden_labels_change_nothing(rule: Rule, task: Task) -> None:
    before = outcome(rule, task)

    def poisoned(batch: Batch) -> Batch:
        wrong = poison(batch.y, torch.arange(batch.y.numel()).reshape(batch.y.shape) % 3)
        return batch._replace(y=torch.where(batch.known > 0, batch.y, wrong))

    changed = task._replace(support=poisoned(task.support), query=poisoned(task.query))
    close(outcome(rule, changed), before, "hidden labels", exact=True)


def hidden_inputs_change_nothing(rule: Rule, task: Task) -> None:
    if rule.transductive:
        return
    before = outcome(rule, task)

    def other(batch: Batch) -> Batch:
        def elsewhere(column: Tensor) -> Tensor:
            shown = (batch.known > 0).reshape(batch.known.shape + (1,) * (column.ndim - 2))
            return torch.where(shown, column, anything(column, tuple(column.shape), 5))

        return batch._replace(x=tree_map(elsewhere, batch.x))

    # Query rows are asked for whether their label is known or not, so only the support's inputs may be exchanged.
    changed = task._replace(support=other(task.support))
    close(outcome(rule, changed), before, "hidden inputs")


def padding_and_order_change_nothing(rule: Rule, task: Task) -> None:
    before = outcome(rule, task)

    def padded(batch: Batch, rows: int = 3) -> Batch:
        more = (len(batch.y), rows)

        def longer(column: Tensor) -> Tensor:
            return torch.cat([column, anything(column, (*more, *column.shape[2:]), 6)], 1)

        y = torch.cat([batch.y, poison(batch.y, torch.zeros(more, dtype=torch.int64))], 1)
        nothing = torch.zeros(more, dtype=batch.mask.dtype)
        mask, known = (torch.cat([part, nothing], 1) for part in (batch.mask, batch.known))
        return Batch(tree_map(longer, batch.x), y, mask, known, batch.event)

    longer = task._replace(support=padded(task.support))
    close(outcome(rule, longer), before, "padding")
    if rule.alone:  # what follows one stream knows which row came when
        return
    chunked = rule.chunk is not None
    for mixed in (longer, task):
        order = torch.randperm(mixed.support.y.shape[1], generator=draws(7))
        moved = tree_map(lambda leaf, o=order: leaf[:, o], tuple(mixed.support[:4]))
        shuffled = mixed._replace(support=Batch(*moved, mixed.support.event))
        # The outer loss takes rows in chunks, and what comes in chunks has an order on purpose.
        upto = 3 if chunked else None
        close([r[:upto] for r in outcome(rule, shuffled)], [r[:upto] for r in before], "order of rows")


def vmap_equals_a_loop(rule: Rule, task: Task) -> None:
    if rule.alone:
        return
    seen = encode(rule, task)
    batch, query = seen.support, seen.query.x
    with torch.no_grad():
        state = over_tasks(rule.init, False)(seen.context)
        close(over_tasks(rule.init)(seen.context), state, "init under vmap")
        after = over_tasks(rule.update, False)(state, batch)
        close(over_tasks(rule.update)(state, batch), after, "update under vmap")
        for method, arguments in (
            (rule.predict, (after, query)),
            (rule.step, (state, batch)),
            (rule.adapt, (seen,)),
            (rule.commit, (after,)),
        ):
            if method == rule.commit and "rows" in seen.context:
                continue  # gathered rows have no place in the model
            found, expected = (over_tasks(method, vmapped)(*arguments) for vmapped in (True, False))
            close(found, expected, f"{method.__name__} under vmap")
    wanted = list(learned(rule).values())
    found, expected = (over_tasks(rule.outer, vmapped)(seen).sum() for vmapped in (True, False))
    close(found, expected, "outer under vmap")
    if found.requires_grad:
        a, b = (torch.autograd.grad(x, wanted, allow_unused=True, retain_graph=True) for x in (found, expected))
        close([g for g in a if g is not None], [g for g in b if g is not None], "gradient under vmap")


def pure_without_global_random_numbers(rule: Rule, task: Task) -> None:
    with torch.random.fork_rng(devices=[]):
        found = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            before = _globals()
            found.append(outcome(rule, task))
            assert _same(before, _globals()), "global random numbers were drawn"
        close(found[0], found[1], "another global seed", exact=True)
    for one in each(rule, task):
        state = rule.init(one.context)
        kept = tree_map(torch.clone, (state, one, dict(rule.state_dict())))
        first = rule.update(state, one.support)
        rule.predict(first, one.query.x)
        close((state, one, dict(rule.state_dict())), kept, "what was handed in", exact=True)
        close(rule.update(state, one.support), first, "the same again", exact=True)


def _globals() -> tuple[Tensor, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate()


def _same(a: tuple[Tensor, Any, Any], b: tuple[Tensor, Any, Any]) -> bool:
    return torch.equal(a[0], b[0]) and bool((a[1][1] == b[1][1]).all()) and a[1][2] == b[1][2] and a[2] == b[2]


LAWS: dict[str, Law] = {
    "1 step": step_is_predict_then_update,
    "2 labels": hidden_labels_change_nothing,
    "3 inputs": hidden_inputs_change_nothing,
    "4 padding": padding_and_order_change_nothing,
    "5 vmap": vmap_equals_a_loop,
    "6 pure": pure_without_global_random_numbers,
}
