"""Files of the user's own become ratings: what is inferred is announced, what is wrong is named by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarun import build, config, schema
from metarun.data import columns, own_ratings
from metarun.data.own import Description
from metarun.data.ratings import Ratings, keep_users
from metarun.errors import MetarunError

ROWS = "user_id,movieId,rating,timestamp\nb,10,4,30\na,9,5,20\nb,9,2.5,10\na,10,1,20\n"


def read(folder: Path, text: str = ROWS, items: str | None = None, users: str | None = None, **given: object):
    files = {"path": text, "items": items, "users": users}
    for name, content in files.items():
        if content is not None:
            (folder / f"{name}.csv").write_text(content)
            given[name] = str(folder / f"{name}.csv")
    return own_ratings.read(Description(**given))  # type: ignore[arg-type]


def rows(ratings: Ratings) -> list[tuple[object, ...]]:
    user, item = ratings.user_ids[ratings.user].tolist(), ratings.item_ids[ratings.item].tolist()
    return list(zip(user, item, ratings.value.tolist(), ratings.time.tolist(), strict=True))


def test_rows_are_sorted_by_user_time_and_place_in_the_file(tmp_path):
    found = read(tmp_path).ratings
    assert rows(found) == [("a", 9, 5, 20), ("a", 10, 1, 20), ("b", 9, 2.5, 10), ("b", 10, 4, 30)]
    assert found.offsets.tolist() == [0, 2, 4]
    assert found.scale == (1.0, 5.0, 1.0)
    assert (found.name, found.synthetic, found.feedback, found.titles) == ("path.csv", False, "explicit", ["9", "10"])
    assert (found.user_ids.dtype.kind, found.item_ids.dtype) == ("U", np.int64)


def test_what_is_inferred_is_announced(tmp_path):
    notes = " / ".join(read(tmp_path).notes)
    assert "item = 'movieId' (by its name), rating = 'rating' (by its name)" in notes
    assert "rating scale as found: 1 to 5 in steps of 1" in notes
    assert "column 'timestamp': seconds since 1970" in notes
    named = " / ".join(read(tmp_path, item="movieId", scale=[0.5, 5, 0.5]).notes)
    assert "item = 'movieId', " in named
    assert "scale" not in named


def test_the_checksum_covers_every_column(tmp_path):
    texts = [
        ROWS,
        ROWS.replace("30", "31"),
        ROWS.replace("2.5", "2"),
        ROWS.replace("b,", "c,"),
        ROWS.replace(",9,", ",8,"),
    ]
    assert len({read(tmp_path, text).ratings.checksum for text in texts}) == len(texts)
    assert read(tmp_path).ratings.checksum == read(tmp_path).ratings.checksum


def test_the_last_of_several_ratings_stays(tmp_path):
    found = read(tmp_path, ROWS + "b,10,5,29\na,9,3,20\n")
    assert rows(found.ratings) == [("a", 10, 1, 20), ("a", 9, 3, 20), ("b", 9, 2.5, 10), ("b", 10, 4, 30)]
    assert found.merged == 2
    assert any(note.startswith("2 rows rate an item that the user rated before") for note in found.notes)


EVENTS = "user,item,event,date\nu,i,view,2015-03-14\nu,i,buy,2015-03-15\nu,j,view,2015-03-16\nv,i,look,2015-03-14\n"


@pytest.mark.parametrize(("repeats", "weight"), [("sum", 6.0), ("max", 5.0)])
def test_events_have_weights(repeats, weight, tmp_path):
    found = read(tmp_path, EVENTS, events={"view": 1, "buy": 5, "look": 0.5}, repeats=repeats)
    assert [row[2] for row in rows(found.ratings)] == [weight, 1, 0.5]
    assert found.ratings.feedback == "implicit"
    assert found.ratings.scale == (0.0, weight, 1.0)
    assert found.ratings.time[0] == 1426377600  # of the last event
    assert found.events == {"view": 2, "buy": 1, "look": 1}


def test_events_of_weight_0_are_left_out(tmp_path):
    found = read(tmp_path, EVENTS + "w,i,view,\n", events={"view": 1, "buy": 0, "look": 0})
    assert [row[:3] for row in rows(found.ratings)][:2] == [("u", "i", 1), ("u", "j", 1)]
    assert "2 rows of weight 0 are left out" in found.notes


def test_without_rating_and_event_every_row_counts_alike(tmp_path):
    found = read(tmp_path, "user,item\nu,i\nu,j\nu,i\nv,i\n")
    assert [row[2] for row in rows(found.ratings)] == [1, 2, 1]
    assert any("no rating and no event column: implicit feedback" in note for note in found.notes)


@pytest.mark.parametrize(
    "written", ["1426291200", "1426291200123", "2015-03-14", "20150314", "2015-03-14T02:00:00+02:00", ""]
)
def test_times(written, tmp_path):
    seconds = 1426291200 if written else 0
    found = read(tmp_path, f"user,item,rating,time\na,1,2,{written}\nb,1,3,{written}\n")
    assert found.ratings.time.tolist() == [seconds, seconds]


MIXED = "user,item,rating\n12,A7,3\n0012,12,4\n12.0,12,2\n"


def test_ids_that_only_look_alike_stay_apart(tmp_path):
    found = read(tmp_path, MIXED)
    assert found.ratings.user_ids.tolist() == ["0012", "12", "12.0"]
    assert found.ratings.item_ids.tolist() == ["12", "A7"]
    assert any("kept as text exactly as written: 1 of 3 are whole numbers, but not '0012'" in n for n in found.notes)
    assert any("'0012' and '12' in path.csv are taken for different users" in n for n in found.notes)


ITEMS = "movieId,title,genres,price,plot,colour\n10,Ten,x|y,1,long a,red\n7,Seven,,3,long b,blue\n9,,y,,long c,red\n"


def test_the_item_table_gives_titles_features_and_unrated_items(tmp_path):
    found = read(tmp_path, items=ITEMS + "8,Eight,x,2,long d,blue\n")
    ratings = found.ratings
    assert ratings.item_ids.tolist() == [7, 8, 9, 10]
    assert ratings.titles == ["Seven", "Eight", "9", "Ten"]
    assert ratings.item_feature_names == ["genres=x", "genres=y", "price", "colour=blue", "colour=red"]
    features = dict(zip(ratings.item_ids.tolist(), ratings.item_features.tolist(), strict=True))
    assert features[9] == [0, 1, 0, 0, 1]
    assert features[10] == [1, 1, pytest.approx(-1.224745), 0, 1]
    assert any("column 'plot': 4 different texts, left out" in note for note in found.notes)
    assert any(note.startswith("2 items of items.csv have no row in path.csv") for note in found.notes)


def test_rated_items_that_the_table_lacks(tmp_path):
    found = read(tmp_path, items="movieId,year\n10,1999\n11,2001\n")
    assert found.ratings.item_features[:, 0].tolist() == [0, -1, 1]
    assert any("1 of 2 items of path.csv are not in items.csv (such as '9')" in note for note in found.notes)


def test_a_text_column_becomes_features_when_named(tmp_path):
    pytest.importorskip("sklearn")
    items = "movieId,plot\n" + "".join(f"{n},ship sails over sea {'and storm' * (n % 2)}\n" for n in range(7, 12))
    found = read(tmp_path, items=items, text_columns=["plot"], text_width=2)
    assert len(found.ratings.item_feature_names) == 2
    assert np.abs(found.ratings.item_features).sum() > 0


def test_the_user_table(tmp_path):
    found = read(tmp_path, users="user_id,age\na,20\nb,40\nc,30\n")
    assert found.ratings.user_features[:, 0].tolist() == pytest.approx([-1.224745, 1.224745])
    assert any(
        note.startswith("1 users of users.csv have no row in path.csv: they are left out") for note in found.notes
    )


BAD = [
    ({"text": "user,item,rating\n"}, "path.csv: has a header, but no rows"),
    ({"rating": "ratng"}, "dataset.rating=ratng: "),
    ({"rating": "ratng"}, "Did you mean 'rating'?"),
    ({"text": "a,b\nx,y\n"}, "line 1: no column has a usual name of a user, such as user_id or userId"),
    ({"text": "user,item,movieId\na,b,c\n"}, "'item', 'movieId' could each be the item; say which, dataset.item=item"),
    ({"rating": "timestamp"}, "dataset.time=timestamp: is dataset.rating already"),
    ({"text": "user,item,rating,event\na,b,1,view\n"}, "dataset.event=null for the ratings, dataset.rating=null"),
    ({"text": ROWS + "a,8,,1\n"}, "path.csv line 6: column 'rating': the rating is empty"),
    ({"text": ROWS + "a,8,nan,1\n"}, "path.csv line 6: column 'rating': 'nan' is not a finite number"),
    ({"text": ROWS + "a,8,3,soon\n"}, "path.csv line 6: column 'timestamp': 'soon' is not a number"),
    ({"text": ROWS + "a,8,3,-4\n"}, "line 6: column 'timestamp': the time '-4' is not one since 1970"),
    ({"text": ROWS + ",8,3,4\n"}, "path.csv line 6: column 'user_id': the id is empty"),
    ({"text": ROWS + "NaN,8,3,4\n"}, "path.csv line 6: column 'user_id': the id 'NaN' reads like a missing value"),
    ({"text": ROWS + f"a,{'8' * 300},3,4\n"}, "has 300 characters, more than 256"),
    ({"text": EVENTS}, "view (2), buy (1), look (1); weigh them, 'dataset.events={view: 1, buy: 1"),
    ({"text": EVENTS, "events": {"view": 1, "buy": 2}}, "line 5: column 'event': the event 'look' has no weight"),
    ({"text": EVENTS, "events": {"view": -1}}, "dataset.events.view=-1: a weight is a number, 0 (leaves"),
    ({"events": {"view": 1}}, "weighs types of events, but no column has them; name it, dataset.event=COLUMN"),
    ({"text": EVENTS.replace("2015-03-16", "16/03/2015")}, "line 4: column 'date': '16/03/2015' is neither a number"),
    ({"text": "user,item,rating\na,1,3\nb,1,3\n"}, "every rating is 3, so there is nothing to predict"),
    ({"text": "user,item,rating\na,1,3\na,2,4\n"}, "has one user only ('a')"),
    ({"scale": [1, 4, 1]}, "line 3: column 'rating': the rating 5 lies outside dataset.scale=[1, 4, 1]: 1 to 4"),
    ({"scale": [1, 5, 1]}, "path.csv line 4: column 'rating': the rating 2.5 lies outside"),
    ({"scale": [5, 1, 1]}, "dataset.scale=[5, 1, 1]: give [lowest,highest,step], such as [1,5,1]"),
    ({"items": "movieId,title\n10,A\n9,B\n10,C\n"}, "line 4: column 'movieId': the id '10' occurs a second time"),
    ({"items": "movieId,title\n1,A\n"}, "items.csv: none of its 1 ids (such as '1') is one of the items of"),
    ({"items": "movieId,title\n010,A\n9,B\n"}, "has the item '10', "),
    ({"items": "movieId,title\n10,A\n", "item_id": "id"}, "dataset.item_id=id: "),
    ({"items": "movieId,title\n10,A\n", "text_columns": ["plot"]}, "dataset.text_columns=[plot]: "),
    ({"users": "name,age\na,1\n"}, "name it, dataset.user_id=COLUMN"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "reason"), BAD, ids=[reason[:60] for _, reason in BAD])
def test_bad_files(given, reason, tmp_path):
    with pytest.raises(MetarunError) as error:
        read(tmp_path, **given)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_ids_of_text_work_where_ids_are_looked_up(tmp_path):
    ratings = read(tmp_path).ratings
    with pytest.raises(MetarunError, match=r"are text \(.a.\), not numbers"):
        keep_users(ratings, "1-2")
    assert columns.positions(np.array(["b", "x", "a"]), ratings.user_ids).tolist() == [1, -1, 0]
    assert columns.positions(np.array([-1, 7, -3]), np.array([-3, 7])).tolist() == [-1, 1, 0]


def dataset(folder: Path, text: str = ROWS, *words: str):
    (folder / "my.csv").write_text(text)
    return build.dataset(config.compose(["dataset=ratings_csv", f"dataset.path={folder}/my.csv", *words]))


RANKING = ("objective=ranking", "evaluate=lists")


def test_a_run_says_what_it_read(tmp_path, capsys):
    assert dataset(tmp_path).ratings.n_users == 2
    assert "rating scale as found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("user,item\na,1\nb,1\n", (), "is implicit feedback, so there is no rating to predict: use objective=ranking"),
        (ROWS, RANKING, "set dataset.positive to the rating from which a row is one"),
        (
            ROWS,
            ("dataset.time=null", "dataset.split=time"),
            "dataset.split=time needs a time for every row, but 4 of 4",
        ),
        (ROWS, (), "lower dataset.supports or dataset.queries, or give more rows in dataset.path"),
    ],
)
def test_what_a_run_cannot_use(text, words, reason, tmp_path):
    with pytest.raises(MetarunError, match=reason.replace("(", r"\(")):
        dataset(tmp_path, text, *words).tasks("test")


def test_its_options_are_those_of_movielens():
    """What both share has one meaning: the same values are allowed, under the same words."""
    mine, theirs = ({f.name: f for f in schema.schema(f"dataset/{name}")} for name in ("ratings_csv", "movielens"))
    own = {"_target_", "version", "folder", "users", "content", "text_width", "text"}
    for name in set(theirs) - own:
        if name != "split":
            assert mine[name] == theirs[name], name
    assert mine["split"].spec == theirs["split"].spec.replace(" | melu", "")
