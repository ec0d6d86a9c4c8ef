"""Years out of titles, and the most frequent tags."""

from __future__ import annotations

import pytest

from metarun.data import features


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995),
        ("Toy Story (1995) ", 1995),
        ("Death Note: Desu nôto (2006–2007)", 2006),  # noqa: RUF001
        ("The Office (2005-)", 2005),
        ("2001: A Space Odyssey (1968)", 1968),
        ("Seven (a.k.a. Se7en) (1995)", 1995),
        ("Babylon 5", None),
        ("", None),
    ],
)
def test_the_year_of_a_title(title, year):
    assert features.year_of(title) == year


def test_frequent_tags_are_few_and_in_a_fixed_order():
    tags = ["b", "a", " A ", "", "  ", "two  words", "Two Words", "TWO WORDS"]
    assert features.frequent_tags(tags) == ["two words", "a", "b"]
    assert len(features.frequent_tags(str(i) for i in range(1000))) == features.MAX_TAGS


@pytest.mark.parametrize(
    ("years", "low"), [(7, 1), (17, 1), (18, 18), (24, 18), (25, 25), (49, 45), (55, 50), (99, 56)]
)
def test_age_groups(years, low):
    assert features.age_group(years) == low
