"""N-way K-shot episodes: what a task holds, that it depends on its number alone, and what it costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from metarun.data.episodes import Bank, Episodes, distinct
from metarun.data.few_shot_images import FewShotImages
from metarun.data.images import Images
from metarun.data.images.images import assemble
from metarun.data.sinusoid import PROTOCOLS, SinusoidTasks
from metarun.errors import MetarunError
from metarun.hashing import combine

VIEW: dict[str, Any] = {
    "split": "seeded", "split_seed": 0, "ways": [3], "supports": [1, 2], "queries": 2, "train_ways": None,
    "train_shots": None, "train_queries": None, "test_tasks": 50, "rotations": [0], "train_rotations": None,
    "train_mirrored": False,
    "train_affine": 0.0,
}  # fmt: skip


def labelled(classes: int = 20, each: int = 6, official: dict[str, Any] | None = None) -> Images:
    """Images of 4 x 4 pixels: a bright corner, then of which class it is, then which of its images."""
    label = np.repeat(np.arange(classes), each)
    pixels = np.zeros((len(label), 1, 4, 4), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = 255, 1 + label
    pixels[:, 0, 0, 2] = 1 + np.tile(np.arange(each), classes)
    return assemble("toy", pixels, label.astype(np.int64), [f"c{i:03}" for i in range(classes)], official)


class Toy(FewShotImages):
    """Classes of a kind that can be read off their pixels."""

    def __init__(self, given: Images | None = None, **changes: Any) -> None:
        super().__init__(**(VIEW | changes))
        self.given = given or labelled()

    def read(self) -> Images:
        return self.given


def who(x: torch.Tensor) -> torch.Tensor:
    """Return the class of unturned images (..., 1, 4, 4)."""
    return x[..., 0, 0, 1].long() - 1


def test_distinct_numbers_are_uniform_over_ordered_sets() -> None:
    found = distinct(combine(0, torch.arange(48_000)), torch.tensor(5), 3)
    counts = Counter(map(tuple, found.tolist()))
    assert len(counts) == 5 * 4 * 3
    assert all(len(set(row)) == 3 for row in counts)
    # 800 each; 5 standard deviations are 141, and a bias in Floyd's last place alone would be far more.
    assert max(abs(count - 800) for count in counts.values()) < 141


def test_the_limit_may_differ_by_task_and_be_reached() -> None:
    found = distinct(combine(0, torch.arange(300)), torch.tensor([4, 7, 9]).repeat(100), 4)
    assert sorted(found[0].tolist()) == [0, 1, 2, 3]
    assert found[::3].max() == 3
    assert found[1::3].max() == 6
    assert found[2::3].max() == 8


def test_an_episode_is_a_pure_function_of_its_number() -> None:
    tasks = Toy().train_tasks(1, 1, seed=3)
    every, few = tasks.batch(torch.arange(40)), tasks.batch(torch.tensor([31, 7]))
    torch.rand(5)
    assert torch.equal(few.support.x, every.support.x[[31, 7]])
    assert torch.equal(few.query.x, every.query.x[[31, 7]])
    assert not torch.equal(every.query.x, Toy().train_tasks(1, 1, seed=4).batch(torch.arange(40)).query.x)
    assert not torch.equal(every.query.x, Toy().train_tasks(2, 2, seed=3).batch(torch.arange(40)).query.x)


def test_labels_are_those_of_the_classes_and_no_image_is_asked_twice() -> None:
    task = Toy().tasks("test").batch(torch.arange(50))
    for t in range(50):
        known = who(task.support.x[t])
        names = known[:3]
        assert len(set(names.tolist())) == 3
        assert torch.equal(known, names[task.support.y[t]])
        assert torch.equal(who(task.query.x[t]), names[task.query.y[t]])
        images = torch.cat([task.support.x[t], task.query.x[t]])[:, 0, 0, 1:3].tolist()
        assert len({tuple(pair) for pair in images}) == 3 * (2 + 2)


def test_the_first_rows_are_the_task_of_fewer_shots_with_the_same_queries() -> None:
    both, one = Toy(), Toy(supports=[2])
    assert torch.equal(
        both.tasks("test").batch(torch.arange(9)).query.x, one.tasks("test").batch(torch.arange(9)).query.x
    )
    task = both.tasks("test").batch(torch.arange(9))
    assert task.support.y[0].tolist() == [0, 1, 2, 0, 1, 2]
    assert both.rows(1) == 3
    assert both.rows(2) == 6


def test_parts_share_no_class_and_the_split_does_not_depend_on_a_global_seed() -> None:
    torch.manual_seed(1)
    parts = [set(Toy().classes(part).tolist()) for part in ("train", "validation", "test")]
    torch.manual_seed(2)
    assert parts == [set(Toy().classes(part).tolist()) for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20
    assert parts != [set(Toy(split_seed=1).classes(part).tolist()) for part in ("train", "validation", "test")]
    for part, classes in zip(("validation", "test"), parts[1:], strict=True):
        assert set(who(Toy().tasks(part).batch(torch.arange(50)).query.x).flatten().tolist()) <= classes


def test_every_class_of_an_episode_has_its_own_turn() -> None:
    data = Toy(rotations=[0, 90, 180, 270], ways=[5])
    task = data.tasks("test").batch(torch.arange(50))
    # The bright corner lies elsewhere for each turn, counter-clockwise as torch.rot90 counts.
    corners = {(0, 0): 0, (3, 0): 1, (3, 3): 2, (0, 3): 3}
    mixed = 0
    for x, y in zip(task.support.x, task.support.y, strict=True):
        turns: dict[int, set[int]] = {}
        for image, label in zip(x[:, 0], y.tolist(), strict=True):
            turns.setdefault(label, set()).add(corners[tuple((image == 255).nonzero()[0].tolist())])
        assert all(len(seen) == 1 for seen in turns.values())
        mixed += len(set().union(*turns.values())) > 1
    assert mixed > 25
    parts = [set(data.classes(part).tolist()) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [4 * 13, 4 * 3, 4 * 4]
    assert {c % 20 for c in parts[0]}.isdisjoint({c % 20 for c in parts[2]})
    more = Toy(rotations=[0, 180], train_rotations=[0, 90])
    assert [sorted(set((more.classes(part) // 20).tolist())) for part in ("train", "test")] == [[0, 1], [0, 2]]
    assert more.bank.turns[::20].tolist() == [0, 1, 2]
    mirrored = Toy(rotations=[0, 90], train_mirrored=True)
    assert len(mirrored.classes("train")) == 4 * 13
    assert len(mirrored.classes("test")) == 2 * 4
    kinds = mirrored.classes("train").reshape(4, 13)[:, 0]
    upright, turned, flipped, both = mirrored.bank.taken(kinds, torch.zeros(4, dtype=torch.int64))
    assert torch.equal(turned, torch.rot90(upright, 1, (-2, -1)))
    assert torch.equal(flipped, upright.flip(-1))
    assert torch.equal(both, torch.rot90(flipped, 1, (-2, -1)))


def test_training_episodes_draw_ways_and_shots_and_rows_that_are_not_there_are_marked() -> None:
    task = Toy(train_ways=[2, 4], train_shots=[1, 3]).train_tasks(1, 1, seed=0).batch(torch.arange(200))
    ways = task.context["classes"].sum(1)
    assert set(ways.tolist()) == {2, 4}
    shots = task.support.mask.sum(1) / ways
    assert set(shots.tolist()) == {1, 3}
    assert torch.equal(task.query.mask.sum(1), 2 * ways)
    assert torch.equal(task.support.known, task.support.mask)
    there = task.support.y < ways[:, None]
    assert (task.support.mask <= there).all()
    assert task.context["classes"].shape == (200, 4)


def test_a_batch_costs_its_own_images_however_many_classes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    real = Bank.taken

    def counted(self: Bank, which: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        sizes.append(which.numel())
        return real(self, which, place)

    monkeypatch.setattr(Bank, "taken", counted)
    for classes in (20, 200):
        Toy(labelled(classes)).train_tasks(1, 1, seed=0).batch(torch.arange(8))
    assert sizes[:2] == sizes[2:] == [8 * 3 * 2, 8 * 3 * 2]


def test_too_few_classes_or_images_are_told_with_the_numbers() -> None:
    with pytest.raises(MetarunError, match=r"dataset.ways=5: toy .* has 4 classes in its test part"):
        Toy(ways=[5]).tasks("test")
    with pytest.raises(MetarunError, match=r"dataset.train_ways=14: toy .* has 13 classes in its train part"):
        Toy(train_ways=[14]).train_tasks(1, 1, 0)
    with pytest.raises(
        MetarunError, match=r"5 shots and 2 queries need 7 images of a class, but 'c\d{3}' of toy has 6"
    ):
        Toy(supports=[1, 5]).tasks("validation")
    with pytest.raises(MetarunError, match=r"dataset\.train_shots, dataset\.train_queries"):
        Toy(train_shots=[6]).train_tasks(1, 1, 0)


def test_pretraining_sees_the_training_classes_and_each_image_once_per_epoch() -> None:
    data = Toy(rotations=[0, 180])
    source = data.source(7, seed=0)
    labels = torch.cat([source.batch(step)[2] for step in range(len(source))])
    images = torch.cat([source.batch(step)[1] for step in range(len(source))]).flatten(1)
    assert len(labels) == 13 * 2 * 6 == len({tuple(row) for row in images.tolist()})
    assert torch.equal(labels.bincount(), torch.full((26,), 6))
    upright = labels < 13
    assert torch.equal(data.trained[labels[upright]], images[upright, 1].long() - 1)
    again = data.source(7, seed=0)
    assert torch.equal(again.batch(30)[1], source.batch(30)[1])
    assert not torch.equal(source.batch(0)[2], source.batch(len(source))[2])


def test_held_out_images_are_the_official_ones_and_never_trained_on() -> None:
    official = {"train": np.arange(60), "test": np.arange(60, 120)}
    data = Toy(labelled(official=official), split="images")
    assert data.cells == []
    known = data.warm_tasks()
    assert known is not None
    assert known.user.tolist() == list(range(60, 120))
    task = known.batch(torch.arange(4))
    assert torch.equal(who(task.query.x[:, 0]), task.query.y[:, 0])
    assert not task.support.mask.any()
    source = data.source(100, seed=0)
    assert sum(len(source.batch(step)[0]) for step in range(len(source))) == 60 == data.labels_used(1, False)
    unofficial = Toy(split="images")
    share = len(unofficial.warm_tasks() or []) / 120
    assert 0.1 < share < 0.3


def seen(data: Toy, rows: int = 7) -> list[Counter[bytes]]:
    """Return how often pretraining sees each image in its first two epochs."""
    source = data.source(rows, seed=0)
    steps = [[epoch * len(source) + step for step in range(len(source))] for epoch in (0, 1)]
    return [Counter(x.numpy().tobytes() for step in part for x in source.batch(step)[1]) for part in steps]


def test_a_share_of_the_labels_is_of_every_class_within_larger_shares_and_takes_as_many_steps() -> None:
    official = {"train": np.arange(160), "test": np.arange(160, 200)}
    images = labelled(10, 20, official=official)
    within: set[bytes] = set()
    for share, each in ((0.0, 1), (0.01, 1), (0.15, 3), (0.5, 10), (1.0, 20)):
        data = Toy(images, split="images", label_share=share)
        first, second = seen(data)
        assert first.total() == second.total() == 160, "an epoch is as long as with all labels"
        assert first.keys() == second.keys()
        assert len(first) == data.labels_used(1, False) == 8 * each
        assert max(first.values()) - min(first.values()) <= 1
        classes = Counter(int(np.frombuffer(image, np.uint8)[1]) - 1 for image in first)
        assert set(classes.values()) == {each}
        assert within <= first.keys(), "a smaller share lies within a larger one"
        within = set(first)
        known = data.warm_tasks()
        assert known is not None
        assert known.user.tolist() == list(range(160, 200)), "what is held out stays"
    whole, plain = (Toy(images, split="images", **more).source(7, 0) for more in ({"label_share": 1.0}, {}))
    assert torch.equal(whole.batch(30)[1], plain.batch(30)[1])
    other = Toy(images, split="images", label_share=0.15, split_seed=1)
    assert seen(other)[0].keys() != seen(Toy(images, split="images", label_share=0.15))[0].keys()


def test_descriptions_follow_the_class_and_tell_its_turn() -> None:
    known = np.arange(20, dtype=np.float32)[:, None]
    given = labelled()
    given = assemble("toy", given.pixels, given.label, given.classes, None, known)
    data = Toy(given, rotations=[0, 90])
    assert data.spec.descriptions == 3
    task = data.tasks("test").batch(torch.arange(20))
    for x, described in zip(task.support.x, task.context["descriptions"], strict=True):
        for place in range(3):
            marks = x[place, 0]
            turn = int(described[place, 1:].argmax())
            assert torch.rot90(marks, -turn, (-2, -1))[0, 1] == described[place, 0] + 1


@pytest.mark.parametrize("protocol", ["finn", "metasgd"])
def test_sine_waves_are_those_of_the_protocol(protocol: str) -> None:
    tasks = SinusoidTasks(protocol, [5, 10], 50, number=400, seed=0, name="test", all_shots=True)
    task = tasks.batch(torch.arange(400))
    (low, high), _, (slow, fast) = PROTOCOLS[protocol]
    x = torch.cat([task.support.x, task.query.x], 1)[..., 0].double().numpy()
    y = torch.cat([task.support.y, task.query.y], 1).double().numpy()
    assert np.abs(x).max() <= 5
    fits = []
    for frequency in np.linspace(slow, fast, 81 if slow < fast else 1):
        design = np.stack([np.sin(frequency * x), np.cos(frequency * x)], -1)
        weight = np.linalg.pinv(design) @ y[..., None]
        fits.append((((design @ weight)[..., 0] - y) ** 2).mean(1))
    assert np.max(np.min(fits, 0)) < (1e-9 if slow == fast else 1e-3)
    if slow == fast:
        # y = a sin(x - p) = a cos p sin x - a sin p cos x, so a and p can be read off; of metasgd it is sin(fx + p).
        amplitude, phase = np.hypot(weight[:, 0, 0], weight[:, 1, 0]), np.arctan2(-weight[:, 1, 0], weight[:, 0, 0])
        assert amplitude.min() >= low - 1e-5
        assert amplitude.max() <= high + 1e-5
        assert phase.min() >= -1e-5
        assert phase.max() <= np.pi + 1e-5
        assert abs(amplitude.mean() - 2.55) < 0.3
    few = SinusoidTasks(protocol, [5], 50, number=400, seed=0, name="test", all_shots=True).batch(torch.arange(9))
    assert torch.equal(few.support.x, task.support.x[:9, :5])


def test_a_pool_of_episodes_is_not_limited_to_what_tests() -> None:
    tasks = Toy(test_tasks=3).train_tasks(1, 1, 0)
    assert isinstance(tasks, Episodes)
    assert not torch.equal(tasks.batch(torch.tensor([10_000])).query.x, tasks.batch(torch.tensor([10_001])).query.x)


def test_the_phase_of_metasgd_is_added_and_does_not_turn_with_the_frequency() -> None:
    tasks = SinusoidTasks("metasgd", [5], 200, number=300, seed=0, name="test", all_shots=True)
    task = tasks.batch(torch.arange(300))
    near = task.query.x[..., 0].abs() < 0.05
    # At 0 the wave is amplitude * sin(phase), never below 0 for a phase from 0 to pi.
    assert (task.query.y[near] > -0.3).all()
    assert near.sum() > 100
