"""What the verbs recommend and update do. Files are read before torch is imported, so a typo is told at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metarun.answers import sheets, written
from metarun.answers.catalogue import number_of
from metarun.answers.locate import locate
from metarun.errors import MetarunError

if TYPE_CHECKING:
    from metarun.answers.api import Answers, Recommendations

HOW = "item,rating", "Toy Story (1995),5", "1210,4"


class Asked(NamedTuple):
    """The options of recommend that are the same for one person and for many."""

    k: int
    candidates: list[str] | None
    exclude: list[str] | None
    about: list[str] | None
    min_ratings: int | None
    explain: bool
    out: Path | None


def recommend(
    run: str, outputs: Path, ratings: Path | None, user: str | None, users: Path | None, asked: Asked
) -> None:
    """Print or write recommendations. Raises MetarunError for whatever cannot be answered."""
    given = [name for name, one in (("--ratings", ratings), ("--user", user), ("--users", users)) if one is not None]
    if len(given) != 1:
        told = f"not {' and '.join(given)} at once" if given else f"such a FILE may have the lines {' | '.join(HOW)}"
        raise MetarunError(f"recommend: for whom? Give one of --ratings FILE, --user ID, --users FILE; {told}")
    if users is not None and (asked.out is None or asked.about):
        raise MetarunError("recommend --users: give --out FILE as well (.csv, .json, .parquet), and no --about")
    path = locate(run, outputs)
    if asked.out is not None:
        written.check(asked.out)
    table = None
    if users is not None:
        table = sheets.read(users, ["user", "item"], ["rating", "timestamp"])
    elif ratings is not None:
        table = sheets.read(ratings, ["item"], ["rating", "timestamp", "user"])
        sheets.single_person(table)
    from metarun.answers import api, rebuild

    answers = api.Answers(rebuild.read(path), path)
    if table is not None:
        tell_unread(table, answers.meaning.ranks)
    if users is not None:
        assert table is not None
        everybody(answers, table, asked)
    else:
        one_person(answers, table, user, asked)


def one_person(answers: Answers, table: sheets.Table | None, user: str | None, asked: Asked) -> None:
    """Answer for one person."""
    from metarun.answers import screen
    from metarun.answers.support import of_table

    about = described(asked.about)
    if table is not None:
        person = answers.predictor(of_table(table, answers.catalogue, answers.meaning), about)
    else:
        person = answers.person(user, about)
    candidates, exclude = listed(asked.candidates), listed(asked.exclude)
    found = person.recommend(asked.k, candidates, exclude, asked.explain, asked.min_ratings)
    why = "" if found else person.emptied(candidates, exclude, asked.min_ratings)
    if asked.out is None:
        screen.show(answers, person, found, asked, why)
        return
    written.write(asked.out, columns(found, asked.explain))
    print(f"{number_of(len(found), 'recommendation', 'recommendations')} in {asked.out}")
    for told in (person.note, f"nothing is left to recommend: {why}" if why else None):
        if told:
            print(told, file=sys.stderr)


def tell_unread(table: sheets.Table, ranks: bool) -> None:
    """Say that a column of events is not read, which training may have given weights."""
    if ranks and table.event is not None:
        told = "every row counts once, with the weight 1"
        if "rating" in table.columns:
            told = "every row counts once, by its rating"
        print(f"the column '{table.event}' is not read: {told}", file=sys.stderr)


def columns(found: Recommendations, explain: bool) -> dict[str, list[Any]]:
    """Return recommendations as columns."""
    table: dict[str, list[Any]] = {name: [getattr(one, name) for one in found] for name in found.columns}
    table["score"] = [round(score, 4) for score in table["score"]]
    if explain:
        table["because"] = ["; ".join(f"{r.title} ({r.item}) {r.change:+.3f}" for r in one.because) for one in found]
    return table


def everybody(answers: Answers, table: sheets.Table, asked: Asked) -> None:
    """Answer for everybody in a file."""
    from metarun.answers.batch import answer, histories

    assert asked.out is not None
    rows = histories(table, answers)
    found = answer(answers, rows, asked.k, listed(asked.candidates), listed(asked.exclude), asked.min_ratings)
    written.write(asked.out, found)
    known = {user for user, number in zip(found["user"], found["known"], strict=True) if number}
    print(f"{len(found['user']):,} recommendations for {len(rows.names):,} people in {asked.out}")
    if rows.unknown:
        told = f"{rows.unknown:,} of {len(table):,} rows have items that the run does not know: left out"
        print(told, file=sys.stderr)
    below = answers.meaning.note(rows.below(answers.meaning))
    if below:
        print(below, file=sys.stderr)
    strangers = len(rows.names) - len(known)
    if strangers:
        who = number_of(strangers, "person has no known item and gets", "people have no known item: they get")
        told = f"{who} what the run starts from (known = 0)"
        print(told, file=sys.stderr)


def described(about: list[str] | None) -> dict[str, str] | None:
    """Return gender=F as a dict."""
    for one in about or []:
        if "=" not in one:
            raise MetarunError(f"--about {one}: write NAME=VALUE, as gender=F")
    return {one.partition("=")[0]: one.partition("=")[2] for one in about} if about else None


def listed(words: list[str] | None) -> list[Any] | None:
    """Return the items of --candidates or --exclude: files with a column item, ids behind commas, or one title."""
    if not words:
        return None
    found: list[Any] = []
    for word in words:
        if Path(word).is_file():
            found += sheets.read(word, ["item"]).cells("item")
        elif Path(word).suffix.lower() in (".csv", ".tsv", ".txt", ".parquet"):
            raise MetarunError(f"cannot read {word}: there is no such file")
        elif "(" in word:
            found.append(word)
        else:
            found += [part.strip() for part in word.split(",") if part.strip()]
    return found


def update(run: str, outputs: Path, ratings: Path, items: Path | None, at_least: int) -> None:
    """Take in a file and say what was taken in. Raises MetarunError for whatever is wrong with it."""
    path = locate(run, outputs)
    table = sheets.read(ratings, ["user", "item"], ["rating", "timestamp"])
    titles = None if items is None else sheets.read(items, ["item", "title"])
    from metarun.answers import rebuild
    from metarun.answers.updating import update as take_in

    content = rebuild.read(path)
    done = take_in(path, content, table, titles, at_least)
    tell_unread(table, done.ranks)
    same = done.rows - done.added - done.changed
    print(
        f"{number_of(done.rows, 'row', 'rows')} of {number_of(done.people, 'person', 'people')}: "
        f"{done.added:,} added, {done.changed:,} changed, "
        f"{number_of(same, 'repeats', 'repeat')} what was known; "
        f"{number_of(done.known_people, 'person is', 'people are')} known now"
    )
    if done.new:
        shown = ", ".join(f"{one} {title}".strip() + f" ({raters})" for one, title, raters in done.new[:10])
        more = f" and {len(done.new) - 10} more" if len(done.new) > 10 else ""
        new = number_of(len(done.new), "new item", "new items")
        print(f"{new} can be recommended ({done.counted}): {shown}{more}")
    if done.why_not:
        print(f"new items are kept but not recommended: {done.why_not}")
    elif done.waiting:
        waiting = number_of(done.waiting, "new item has", "new items have")
        print(f"{waiting} fewer than {at_least} {done.counted} (--at-least): kept, not recommended yet")
    print(f"metarun recommend {run} --user {table.columns['user'][0]}; kept in {done.path}, delete it to forget them")
