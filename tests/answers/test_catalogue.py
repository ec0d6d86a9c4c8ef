"""Items as people name them."""

from __future__ import annotations

import made
import numpy as np
import pytest

from metarun.answers.catalogue import Catalogue
from metarun.errors import MetarunError

FILMS = Catalogue(made.IDS, made.TITLES)


@pytest.mark.parametrize(
    ("item", "number"),
    [
        (1, 0), ("1", 0), (1.0, 0), ("1.0", 0), (np.int64(13), 4), (" 21 ", 5), ("Alien (1979)", 0), ("alien", 0),
        ("The Matrix", 1), ("The Matrix (1999)", 1), ("Matrix, The", 1), ("  blade   RUNNER ", 4), ("Emma (2020)", 3),
    ],
)  # fmt: skip
def test_an_item_is_found_by_id_or_title(item: object, number: int) -> None:
    assert FILMS.find(item) == number


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("Emma", "'Emma' is the title of 2 items, give one's id: 5 Emma (1996); 8 Emma (2020)"),
        ("Blade Runer", "Did you mean 'Blade Runner (1982)' (13)?"),
        ("Ailen (1979)", "Did you mean 'Alien (1979)' (1)?"),
        (4, "'4' is not among the 6 items of this run. Ids look like 1 or 21"),
        ("01", "'01' is not among the 6 items"),
        ("zzz", "Give an id, such as 1, or a title as the run has it"),
    ],
)
def test_an_item_that_is_not_there_is_told(item: object, told: str) -> None:
    with pytest.raises(MetarunError) as error:
        FILMS.find(item)
    assert told in str(error.value)


def test_ids_may_be_words() -> None:
    books = Catalogue(["a1", "b2", "07"], ["", "", ""])
    assert [books.find(one) for one in ("a1", "07")] == [0, 2]
    assert books.title(1) == "b2"
