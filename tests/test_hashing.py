"""The stateless random numbers: a fixed function of their place, spread evenly."""

from __future__ import annotations

import torch

from metarun.hashing import MASK, below, combine, mix


def mixed(h: int) -> int:
    """The same mixer in Python's integers."""
    h &= MASK
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & MASK
    h = ((h ^ (h >> 15)) * 0x846CA68B) & MASK
    return h ^ (h >> 16)


def test_mix_is_the_mixer_in_whole_numbers() -> None:
    values = [0, 1, 2, 12345, 2**31, 2**32 - 1, 2**32, 2**40 + 7]
    assert mix(torch.tensor(values)).tolist() == [mixed(value) for value in values]


def test_mix_is_a_permutation() -> None:
    values = mix(torch.arange(200_000))
    assert len(values.unique()) == 200_000
    assert int(values.min()) >= 0
    assert int(values.max()) <= MASK


def test_combine_depends_on_every_part_and_its_place() -> None:
    one = int(combine(1, 2, 3))
    others = [combine(2, 2, 3), combine(1, 3, 2), combine(1, 2), combine(1, 2, 3, 0), combine(1, 2, 3 + 2**32)]
    assert one == int(combine(1, 2, 3))
    assert one not in [int(other) for other in others]


def test_a_batch_of_places_equals_one_by_one() -> None:
    places = torch.arange(-5, 50)
    together = combine(3, 7, places)
    assert together.tolist() == [int(combine(3, 7, int(place))) for place in places]
    assert torch.vmap(lambda place: combine(3, 7, place))(places).tolist() == together.tolist()


def test_numbers_are_spread_evenly() -> None:
    h = combine(0, torch.arange(100_000))
    u = h.double() / 2**32
    assert 0 <= float(u.min()) < float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.005
    counts = torch.bincount(below(h, torch.tensor(10)), minlength=10)
    assert len(counts) == 10
    chi = float(((counts - 10_000) ** 2 / 10_000).sum())
    assert chi < 30  # 9 degrees of freedom: 1 in 2,000 by chance
    steps = torch.corrcoef(torch.stack([u[1:], u[:-1]]))[0, 1]
    assert abs(float(steps)) < 0.02


def test_below_reaches_both_ends() -> None:
    edge = torch.tensor([0, MASK])
    assert below(edge, torch.tensor(7)).tolist() == [0, 6]
    assert below(edge, torch.tensor([1, 1])).tolist() == [0, 0]
