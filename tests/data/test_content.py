"""What is known about items: the kinds that a run uses, texts as numbers, MeLU's side information."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import ratings

from metarun.data import content, melu
from metarun.data.content import check, with_content
from metarun.data.ratings import Ratings
from metarun.data.text import text_table
from metarun.errors import MetarunError

NAMES = ["genre=Drama", "year", "tag=dark"]
LINE = "{}::Heat::1995::R::1995::Crime, Drama::Michael Mann (director)::N/A::Al Pacino, Val Kilmer::{}::N/A"


def table(name: str = "toy") -> Ratings:
    found = ratings(items=6, most=5)
    titles = ["Heat (1995)", "Heat Two (1996)", "Dark Star (1974)", "Star (1999)", "Two (2000)", "Dark (1980)"]
    tags = np.array([[0, 1, 2], [3, 4, 2]], np.int32)
    return replace(found, name=name, item_feature_names=NAMES, titles=titles, tags=tags, item_ids=np.arange(1, 7))


def use(found: Ratings, *chosen: str, folder: Path = Path()) -> Ratings:
    return with_content(found, list(chosen), "tfidf", 3, 0, folder)


def test_the_default_changes_nothing() -> None:
    found = table()
    assert use(found, "year", "genres", "tags") is found


def test_columns_are_kept_by_kind_and_tags_follow_theirs() -> None:
    found = table()
    some = use(found, "genres", "tags")
    assert some.item_feature_names == ["genre=Drama", "tag=dark"]
    assert (some.item_features == found.item_features[:, [0, 2]]).all()
    assert some.tags.tolist() == [[0, 1, 1], [3, 4, 1]]
    assert some.checksum != found.checksum
    assert not len(use(found, "year").tags)
    assert use(found).item_features.shape == (6, 0)


def test_titles_are_words_without_their_year() -> None:
    pytest.importorskip("sklearn")
    found = use(table(), "title")
    assert all(name.startswith("title:tfidf:") for name in found.item_feature_names)
    size = np.abs(found.item_features).sum(1)
    assert (size[[0, 1, 2, 3, 5]] > 0.5).all()
    assert size[4] == 0  # "Two" is a word that says nothing
    assert found.item_features.shape[1] <= 3


@pytest.mark.parametrize("how", ["tfidf", "hashing"])
def test_like_texts_are_alike(how: str) -> None:
    pytest.importorskip("sklearn")
    texts = ["a heist in the city", "city heist gone wrong", "whales in the ocean", "ocean of whales", ""]
    values = text_table(texts, how, 3, 0).values
    assert values.dtype == np.float32
    assert values[0] @ values[1] > abs(values[0] @ values[2])
    assert not values[4].any()
    assert (values**2).sum(1).mean() == pytest.approx(1, rel=1e-5)
    assert (text_table(texts, how, 3, 0).values == values).all()


@pytest.mark.parametrize("texts", [["", ""], ["one", "two"], ["..."]])
def test_texts_that_say_nothing_have_no_features(texts: list[str]) -> None:
    pytest.importorskip("sklearn")
    assert text_table(texts, "tfidf", 8, 0).values.shape == (len(texts), 0)


def test_unknown_kinds_and_ways_are_refused() -> None:
    with pytest.raises(MetarunError, match=r"plto is not known about items, choose from .* Did you mean 'plot'"):
        check(["genres", "plto"])
    with pytest.raises(MetarunError, match=r"dataset.text=words is no way"):
        text_table(["a"], "words", 2, 0)


def test_without_scikit_learn_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "sklearn.feature_extraction.text"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MetarunError, match=r"pip install scikit-learn"):
        text_table(["a"], "tfidf", 2, 0)
    with pytest.raises(MetarunError, match=r"pip install scikit-learn"):
        content.people([["a"]], 2, 0)


@pytest.fixture
def side(tmp_path: Path) -> Path:
    (tmp_path / "ml-1m").mkdir()
    lines = "\n".join(
        LINE.format(i, f"a film about {what} and {what}s") for i, what in ((1, "cop"), (2, "cop"), (9, "x"))
    )
    with zipfile.ZipFile(tmp_path / "ml-1m" / melu.SIDE_ZIP, "w") as archive:
        archive.writestr(f"movielens/ml-1m/{melu.SIDE_FILE}", lines + "\n")
    return tmp_path


def test_side_information_goes_to_its_movies(side: Path) -> None:
    pytest.importorskip("sklearn")
    found = use(table("movielens/1m"), "rate", "imdb_genres", "people", "plot", folder=side)
    names = found.item_feature_names
    assert {"rate=R", "imdb=Crime", "imdb=Drama"} <= set(names)
    assert found.item_features[:, names.index("rate=R")].tolist() == [1, 1, 0, 0, 0, 0]
    assert not found.item_features[2:].any()
    assert melu.side_information(table("movielens/1m"), side)["people"][0] == [
        "director Michael Mann", "actor Al Pacino", "actor Val Kilmer",
    ]  # fmt: skip


def test_side_information_is_of_1m_and_has_to_be_there(side: Path, tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match="are known of movielens/1m, not of toy"):
        use(table(), "rate", folder=side)
    with pytest.raises(MetarunError, match=r"has no ml-1m/melu_side_info.zip: put it there"):
        use(table("movielens/1m"), "rate", folder=tmp_path / "elsewhere")
    (side / "ml-1m" / melu.SIDE_ZIP).write_bytes(b"no zip")
    with pytest.raises(MetarunError, match=r"melu_side_info.zip cannot be read"):
        use(table("movielens/1m"), "rate", folder=side)
    (side / "ml-1m" / melu.SIDE_ZIP).unlink()
    (side / "ml-1m" / melu.SIDE_FILE).write_text("1::Heat\n", encoding="utf-8")
    with pytest.raises(MetarunError, match="line 1: it has 2 fields instead of 11"):
        use(table("movielens/1m"), "rate", folder=side)
