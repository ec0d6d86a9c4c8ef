"""Ratings that come after training: people become known, new items recommendable, nothing is retrained."""

from __future__ import annotations

import shutil
from pathlib import Path

import made
import numpy as np
import pytest
import torch

import metarun
from metarun.answers import command, newcomers, people
from metarun.answers.batch import padded
from metarun.errors import MetarunError


def csv(folder: Path, content: str, name: str = "new.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def take_in(run: Path, content: str, items: str | None = None, at_least: int = 3) -> None:
    titles = None if items is None else csv(run.parent, items, "items.csv")
    command.update(str(run), Path("outputs"), csv(run.parent, content), titles, at_least)


FIRST = "user,item,rating\nann,1,5\nann,5,1\nbob,The Matrix,4\n"
FANS = "".join(f"f{i},{item},{rating}\n" for i in range(6) for item, rating in ((1, 5), (13, 5), (5, 1), (999, 5)))
FOES = "".join(f"g{i},{item},{rating}\n" for i in range(6) for item, rating in ((1, 1), (13, 1), (5, 5), (999, 1)))


def test_a_person_becomes_known(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "answers.ckpt").read_bytes()
    with pytest.raises(MetarunError, match="user 'ann' is not known through metarun update; nobody is known yet"):
        metarun.load(run).person("ann")
    take_in(run, FIRST)
    assert (
        "3 rows of 2 people: 3 added, 0 changed, 0 repeat what was known; 2 people are known" in capsys.readouterr().out
    )
    answers = metarun.load(run)
    assert answers.person("ann").recommend(9) == answers.recommend({1: 5, 5: 1}, 9)
    assert answers.person("bob").support.seen == [1]
    assert (run / "answers.ckpt").read_bytes() == before
    with pytest.raises(MetarunError, match=r"2 people are known. Did you mean 'ann'"):
        answers.person("anne")
    people.beside(run / "answers.ckpt").unlink()  # forgets them
    with pytest.raises(MetarunError, match="nobody is known yet"):
        metarun.load(run).person("ann")


def test_the_same_rows_again_change_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_in(run, FIRST)
    before = people.beside(run / "answers.ckpt").read_bytes()
    take_in(run, FIRST)
    take_in(run, "user,item,rating\nann,1,5\n")
    assert people.beside(run / "answers.ckpt").read_bytes() == before
    assert "3 rows of 2 people: 0 added, 0 changed, 3 repeat" in capsys.readouterr().out


def test_the_later_rating_of_a_pair_stands(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_in(run, FIRST)
    take_in(run, "user,item,rating\nann,1,2\nann,8,3\n")
    assert "1 added, 1 changed" in capsys.readouterr().out
    store = people.load(run / "answers.ckpt", {})
    assert dict(zip(store.item[store.of("ann")], store.value[store.of("ann")], strict=True)) == {"1": 2, "5": 1, "8": 3}
    timed = people.joined(people.nobody(), *columns([("c", "1", 5, 20), ("c", "1", 3, 10), ("c", "2", 1, 5)]))
    assert list(zip(timed.item, timed.value, strict=True)) == [("2", 1), ("1", 5)]


def columns(rows: list[tuple[str, str, float, int]]) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    user, item, value, time = zip(*rows, strict=True)
    return np.array(user), np.array(item), np.array(value, np.float32), np.array(time, np.int64)


def test_a_new_item_is_recommended_to_whom_it_suits(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_in(run, f"user,item,rating\n{FANS}{FOES}ann,1000,5\n", "item,title\n999,Sunshine (2007)\n")
    out = capsys.readouterr().out
    assert "1 new item can be recommended (ratings): 999 Sunshine (2007) (12)" in out
    assert "1 new item has fewer than 3 ratings (--at-least)" in out
    answers = metarun.load(run)
    fan, foe = {1: 5, 13: 5}, {1: 1, 13: 1, 5: 5}
    assert answers.predict(fan, ["Sunshine"]) > answers.predict(foe, [999]) + 1
    assert 999 in {one.item for one in answers.recommend(fan)}
    assert 999 not in {one.item for one in answers.person("f1").recommend(9)}
    assert answers.person("f1").support.seen == [0, 4, 2, 6]  # the new item is learned from, too
    saved = answers.save(run.parent / "saved.ckpt")
    assert metarun.load(saved).predict(fan, [999]) == answers.predict(fan, [999])
    before = people.beside(run / "answers.ckpt").read_bytes()
    take_in(run, f"user,item,rating\n{FANS}")
    assert people.beside(run / "answers.ckpt").read_bytes() == before


def test_features_of_a_new_item_solve_the_ridge() -> None:
    answers = made.answers()
    weight = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    who, y, noise = np.array([0, 2, 3, 6]), torch.tensor([5.0, 3, 4, 1]), 0.5
    found = newcomers.fold_in(answers.engine, weight, [who], [y], noise, torch.ones(6, dtype=torch.bool))[0]
    old = answers.engine.features
    assert old is not None
    assert float(found[2]) == pytest.approx(1.0, abs=1e-5)  # the column of ones stays
    free = [0, 1, 3]
    mean, inverse = old.mean(0), torch.linalg.inv(torch.cov(old[:, free].T).double())
    design = torch.cat([weight[who], torch.ones(4, 1)], 1)
    at = (found - mean)[free].double()
    slope = design[:, free].double().T @ (y - design @ found).double() - noise * inverse @ at
    assert float(slope.abs().max()) < 1e-3


def test_an_interaction_with_a_new_item_counts_against_everybody_else(tmp_path: Path) -> None:
    run = made.run(tmp_path / "run", ranks=True)
    fans = "".join(f"f{i},{item}\n" for i in range(6) for item in (1, 13, 999))
    others = "".join(f"g{i},{item}\n" for i in range(6) for item in (5, 8))
    take_in(run, f"user,item\n{fans}{others}")
    answers = metarun.load(run)
    assert answers.predict([1, 13], [999]) > answers.predict([5, 8], [999])


def test_a_new_item_needs_rows_that_count_as_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fans = "".join(f"f{i},{item},5\n" for i in range(4) for item in (1, 13, 999))
    low = "".join(f"g{i},5,5\ng{i},999,1\ng{i},1000,2\n" for i in range(4))
    run, without = (made.run(tmp_path / name, ranks=True, positive=4.0) for name in ("run", "without"))
    take_in(run, f"user,item,rating\n{fans}{low}")
    out = capsys.readouterr().out
    assert "1 new item can be recommended (ratings of 4 or more): 999 (4)" in out
    assert "1 new item has fewer than 3 ratings of 4 or more (--at-least)" in out
    take_in(without, f"user,item,rating\n{fans}{low.replace(',999,1', ',21,1').replace(',1000,2', ',8,2')}")
    found, wanted = (people.load(one / "answers.ckpt", {}).new for one in (run, without))
    assert found is not None
    assert wanted is not None
    assert torch.allclose(found, wanted)
    assert 999 not in {one.item for one in metarun.load(run).person("g0").recommend(9)}


def test_rules_without_a_weight_keep_new_items_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for strategy in ("bias", "all"):
        run = made.run(tmp_path / strategy, strategy)
        take_in(run, f"user,item,rating\n{FANS}")
        out = capsys.readouterr().out
        assert f"kept but not recommended: {strategy} keeps no weight per person" in out
        assert len(metarun.load(run).person("f1").support.seen) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("user,item,rating\nann,Alin,5\n", "line 2, column item: 'Alin' is neither a title"),
        ("user,item,rating\nann,Alin,5\n", "the ids of this run are numbers. Did you mean 'Alien (1979)' (1)?"),
        ("user,item,rating\nann,1,5\nann,2,9\n", "line 3, column rating: 9 is not between 0.5 and 5"),
        ("user,item,rating\n,1,5\n", "line 2, column user: there is nothing"),
        ("usr,item,rating\nann,1,5\n", "Did you mean 'user' where it says 'usr'?"),
        ("user,item\nann,1\n", "no column 'rating'"),
    ],
)
def test_bad_rows_are_told_and_nothing_is_kept(run: Path, content: str, told: str) -> None:
    with pytest.raises(MetarunError) as error:
        take_in(run, content)
    assert told in str(error.value)
    assert not people.beside(run / "answers.ckpt").exists()


def test_people_of_other_answers_are_not_mixed_in(run: Path, tmp_path: Path) -> None:
    take_in(run, f"user,item,rating\n{FANS}")
    other = made.run(tmp_path / "other", "maml")
    shutil.copy(people.beside(run / "answers.ckpt"), other)
    with pytest.raises(MetarunError, match="goes with other answers"):
        metarun.load(other)
    take_in(other, "user,item,rating\nann,1,5\n")  # computes the new items anew
    assert 999 in metarun.load(other).items
    people.beside(other / "answers.ckpt").write_bytes(b"damaged")
    with pytest.raises(MetarunError, match="cannot read"):
        metarun.load(other)


def test_batches_keep_everybody_and_their_rows() -> None:
    engine = made.answers(chosen={0: {"penalty": 1.0}, 2: {"penalty": 3.0}}).engine
    user, item = np.array([3, 0, 3, 3, 1]), np.array([0, 1, 2, 3, 4])
    seen = {}
    for batch, (items, _, known) in padded(engine, user, item, np.ones(5, np.float32), 5):
        assert len({engine.values(int(row.sum()))["penalty"] for row in known}) == 1
        seen |= {int(one): items[line][known[line] > 0].tolist() for line, one in enumerate(batch)}
    assert seen == {0: [1], 1: [4], 2: [], 3: [0, 2, 3], 4: []}
