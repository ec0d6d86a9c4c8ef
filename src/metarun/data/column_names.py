"""Which column is the user, the item, the rating, the time, the event: by option, or by the usual names and said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from metarun.errors import MetarunError, did_you_mean

USUAL = {
    "user": "user userid uid users userkey customer customerid client clientid member memberid visitor visitorid "
    "person personid reviewer reviewerid account accountid listener listenerid reader readerid player playerid",
    "item": "item itemid iid items itemkey movie movieid film filmid product productid book bookid isbn song songid "
    "track trackid artist artistid article articleid news newsid asin parentasin sku business businessid show showid "
    "game gameid anime animeid recipe recipeid video videoid joke jokeid content contentid restaurant restaurantid",
    "rating": "rating ratings stars star score overall rate bookrating userrating",
    "time": "time timestamp timestamps ts date datetime unixtime unixreviewtime reviewtime ratedat createdat eventtime",
    "event": "event eventtype events action actiontype behavior behaviour behaviortype interaction interactiontype",
    "title": "title name itemname productname movietitle booktitle producttitle songname label",
}


def choose(
    names: list[str], wanted: Mapping[str, str | None], section: str, path: Path, required: Iterable[str]
) -> tuple[dict[str, str | None], list[str]]:
    """Return role -> column (None: none) and what to tell the user; `wanted` has "auto", a name or None for each role.

    Raises:
        MetarunError: a column that is not there, several that could be meant, none for a required role.
    """
    found: dict[str, str | None] = {}
    for role, name in wanted.items():
        found[role] = _usual(names, role, section, path) if name == "auto" else name
        if name not in ("auto", None) and name not in names:
            raise MetarunError(
                f"{section}.{role}={name}: {path} has no such column; it has {listed(names)}."
                f"{did_you_mean(str(name), names)}"
            )
    for role in required:
        if found[role] is None:
            raise MetarunError(
                f"{path} line 1: no column has a usual name of {_article(role)}, such as "
                f"{' or '.join(_examples(role))}; name it, {section}.{role}=COLUMN; the columns are {listed(names)}"
            )
    taken: dict[str, str] = {}
    for role, column in found.items():
        if column is None:
            continue
        if column in taken:
            raise MetarunError(f"{section}.{role}={column}: is {section}.{taken[column]} already; name another column")
        if names.count(column) > 1:
            raise MetarunError(f"{path} line 1: there are {names.count(column)} columns '{column}'; rename all but one")
        taken[column] = role
    return found, [_said(names, wanted, found)]


def _said(names: list[str], wanted: Mapping[str, str | None], found: Mapping[str, str | None]) -> str:
    parts = []
    for role, column in found.items():
        guessed = " (by its name)" if wanted[role] == "auto" and column else ""
        parts.append(f"{role} = {'none' if column is None else repr(column)}{guessed}")
    unused = [name for name in names if name not in found.values()]
    return f"columns: {', '.join(parts)}" + (f"; not used: {listed(unused)}" if unused else "")


def _usual(names: list[str], role: str, section: str, path: Path) -> str | None:
    usual = set(USUAL[role].split())
    fits = [name for name in names if plain(name) in usual]
    if len(fits) > 1:
        raise MetarunError(
            f"{path} line 1: the columns {listed(fits)} could each be the {role}; say which, {section}.{role}={fits[0]}"
        )
    return fits[0] if fits else None


def plain(name: str) -> str:
    """Return a column's name as it is compared: "User_ID" and RecBole's "user_id:token" both as "userid"."""
    return re.sub(r"[^a-z0-9]", "", name.casefold().partition(":")[0])


def listed(names: list[str]) -> str:
    """Return names for a message, the first dozen."""
    return ", ".join(f"'{name[:40]}'" for name in names[:12]) + (" ..." if len(names) > 12 else "")


def _examples(role: str) -> list[str]:
    return {"user": ["user_id", "userId"], "item": ["item_id", "movieId"]}.get(role, USUAL[role].split()[:2])


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'aeio' else 'a'} {role}"
