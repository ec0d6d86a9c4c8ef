"""Lists of the catalogue: candidates, references, and a rule judged against a loop over users."""

from __future__ import annotations

import pytest
import torch
from toys import ITEMS, Toy, model, ratings

from metarun.metrics.topn import list_metrics
from metarun.protocols.topn import LISTS, TopN
from metarun.strategies.transfer.ridge import Ridge

RANKING = ("objective=ranking", "dataset.positive=1", "evaluate=lists", "backbone.bias=false")


def toy() -> Toy:
    given = ratings(users=80, items=ITEMS, least=12, most=22)
    return Toy(given, negatives=3, positive=1.0, supports=(0, 2, 5), queries=4)


def test_lists_are_those_of_a_loop_over_users_and_items() -> None:
    data, made = toy(), model(*RANKING).float()
    rule = Ridge(model=made, penalty=1.0, bias_penalty=1.0, towards="start", unobserved=0.1)
    rule.prepare(iter([]))
    tasks, lists = data.tasks("test"), TopN(toy(), 6, None, 7, True)
    found = lists.values(rule, lists.parts(rule, tasks, len(tasks)), 2)
    features = made.features(made.catalogue())
    given = data.ratings
    for i, user in enumerate(tasks.user.tolist()):
        task = tasks.batch(torch.tensor([i]))
        mine = set(given.item[given.offsets[user] : given.offsets[user + 1]].tolist())
        wanted = set(task.query.x["item"][0].tolist())
        known = task.support.x["item"][0, :2]
        chosen = features[known]
        A = torch.eye(4) + 0.1 * features.T @ features + 0.9 * chosen.T @ chosen
        start = made.head.start({k: v[0] for k, v in task.context.items()})[:, 0]
        weight = torch.linalg.solve(A, start + chosen.sum(0))
        scores = features @ weight
        scores[sorted(mine - wanted)] = -torch.inf
        assert found[LISTS][i].tolist() == scores.topk(6).indices.tolist()
        hits = torch.tensor([[item in wanted for item in found[LISTS][i].tolist()]])
        for name, value in list_metrics(hits, torch.tensor([len(wanted)]), 6).items():
            assert found[name][i] == pytest.approx(value.item())


def test_references_frame_every_list() -> None:
    data = toy()
    tasks, lists = data.tasks("test"), TopN(data, 6, None, 512, True)
    found = lists.references(tasks, len(tasks))
    mean = {name: values["recall@6"].mean().item() for name, values in found.items()}
    assert mean["oracle"] == 1
    assert mean["random"] == pytest.approx(6 / (ITEMS - 14), abs=0.12)
    popular = lists.known.topk(1).indices.item()
    # Whoever may be told of the most popular item is told of it first.
    first = found["popularity"][LISTS][:, 0]
    seen = tasks.seen(torch.arange(len(tasks)))
    free = [i for i in range(len(tasks)) if [i, popular] not in seen.tolist()]
    assert (first[free] == popular).all()


def test_sampled_candidates_say_so_and_flatter() -> None:
    data = toy()
    tasks, full, sampled = data.tasks("test"), TopN(data, 4, None, 512, True), TopN(data, 4, 4, 512, True)
    assert sampled.name == "sampled/candidates=4 (biased)"
    by_chance = [lists.references(tasks, len(tasks))["random"]["recall@4"].mean() for lists in (full, sampled)]
    assert by_chance[1] > by_chance[0]
    part = next(sampled.parts(None, tasks, 3))
    drawn = sampled.drawn(part, 3)
    assert (drawn.sum(1) == 8).all(), "four that are wanted, four that are not"
    assert not drawn[part.seen[:, 0], part.seen[:, 1]].any()
    assert drawn[part.wanted[:, 0], part.wanted[:, 1]].all()
