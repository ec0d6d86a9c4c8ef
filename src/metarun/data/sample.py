"""A synthetic MovieLens for machines without data: seeded, made in a second, and never evidence.

What it takes from real data are marginals of ml-latest-small (ratings per user and per film, the histogram of half
stars, release years, genres, when people come and how long they stay) and, for what that version lacks, the shares of
gender, age and occupation in ml-1m. How ratings depend on users, films and time is set by the constants below, which
were fixed before any method was run on it and are not to be tuned by a method's score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import features
from metarun.data.features import Table
from metarun.data.ratings import Ratings, assemble, checksum, user_offsets

Floats = NDArray[np.float64]

NAME = "movielens/sample (synthetic)"
USERS, ITEMS = 610, 9_742
SHARES = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)  # quantiles of the next two
RATINGS_PER_USER = (20, 20, 22, 24, 32, 40, 54, 70, 101, 140, 216, 400, 611, 977, 1256, 2698)
DAYS_PER_USER = (0, 0.002, 0.003, 0.004, 0.008, 0.013, 0.023, 0.054, 1.07, 12, 97.7, 617, 1400, 2798, 4187, 6557)
RANKS = (1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000, 5000, 6278, 9724, ITEMS)  # of films by number of ratings
RATINGS_PER_RANK = (329, 278, 220, 198, 144, 112, 82, 46, 26, 11, 6, 2, 1.6, 0.8, 0.5)
STEEPER = 1.15  # drawing without replacement flattens popularity; this gives the marginal back
STARS = (1370, 2811, 1791, 7551, 5550, 20047, 13136, 26818, 8551, 13211)  # 0.5, 1, ..., 5
FIRST_YEARS = (1996.2, 1996.7, 1997.7, 2000.6, 2003.1, 2006.6, 2009.1, 2012.2, 2015.5, 2017.1, 2018.7)  # deciles
RELEASES = (1902, 1954, 1967, 1978, 1984, 1988, 1991, 1994, 1995, 1997, 1999, 2001, 2003, 2004, 2006, 2008, 2009, 2011,
            2013, 2015, 2018)  # fmt: skip  # every twentieth
GENRES = {
    "Action": 0.188, "Adventure": 0.130, "Animation": 0.063, "Children": 0.068, "Comedy": 0.386, "Crime": 0.123,
    "Documentary": 0.045, "Drama": 0.448, "Fantasy": 0.080, "Film-Noir": 0.009, "Horror": 0.100, "IMAX": 0.016,
    "Musical": 0.034, "Mystery": 0.059, "Romance": 0.164, "Sci-Fi": 0.101, "Thriller": 0.194, "War": 0.039,
    "Western": 0.017,
}  # fmt: skip
GENDERS = (1709, 4331)  # in ml-1m, as are the next two
AGES = (222, 1103, 2096, 1193, 550, 496, 380)
OCCUPATIONS = (711, 528, 267, 173, 759, 112, 236, 679, 17, 92, 195, 129, 388, 142, 302, 144, 241, 502, 70, 72, 281)

LATENT = 8  # dimensions of taste
USER_SD, ITEM_SD, TASTE_SD, NOISE_SD = 0.45, 0.42, 0.40, 0.74  # stars; together the 1.04 of the real ratings
TOLD_BY_FEATURES = 0.4  # share of the variance of tastes, and of users' levels, that side information explains
SHARED_DRIFT, OWN_DRIFT = 0.6, 0.6  # how far tastes move from the first day to the last, in their own spread
LIKED_IS_WATCHED = 0.5  # people watch rather what they will like
KNOWN_IS_LIKED = 0.3  # correlation of a film's level with its popularity
YEAR = 31_556_952  # seconds


@dataclass(frozen=True)
class _World:
    """Who there is and what they like; N users, M films, K latent dimensions."""

    users: Table
    items: Table
    titles: list[str]
    released: NDArray[np.int64]  # (M,) year
    popularity: Floats  # (M,) expected number of ratings, not normalised
    activity: NDArray[np.int64]  # (N,) number of ratings
    start: Floats  # (N,) first rating, in years
    span: Floats  # (N,) years from the first rating to the last
    level_user: Floats  # (N,) unit variance
    level_item: Floats  # (M,)
    taste_user: Floats  # (N, K)
    taste_item: Floats  # (M, K)


def generate(seed: int = 0) -> Ratings:
    """Return about 100,000 ratings of 610 users for 9,742 films; the same for the same seed."""
    rng = np.random.default_rng(seed)
    world = _world(rng)
    user, item = _choose(world, rng)
    time = _times(world, user, rng)
    value = _stars(_scores(world, user, item, time, rng))
    seconds = ((time - 1970) * YEAR).astype(np.int64)
    order = np.lexsort((seconds, user))
    arrays: dict[str, NDArray[Any]] = {
        "user": user[order].astype(np.int32),
        "item": item[order].astype(np.int32),
        "value": value[order],
        "time": seconds[order],
        "offsets": user_offsets(user.astype(np.int32), USERS),
        "user_ids": np.arange(1, USERS + 1),
        "item_ids": np.arange(1, ITEMS + 1),
        "user_features": world.users.values,
        "item_features": world.items.values,
        "tags": np.zeros((0, 3), np.int32),
    }
    words = {
        "scale": (0.5, 5.0, 0.5),
        "titles": world.titles,
        "user_feature_names": world.users.names,
        "item_feature_names": world.items.names,
    }
    return assemble(NAME, True, checksum(arrays, words), arrays, words)


def _world(rng: np.random.Generator) -> _World:
    ages = [list(features.AGES)[a] for a in _draw(rng, AGES)]
    genders = [features.GENDERS[g] for g in _draw(rng, GENDERS)]
    jobs = [features.OCCUPATIONS[o] for o in _draw(rng, OCCUPATIONS)]
    users = features.users(genders, ages, jobs, features.OCCUPATIONS)

    released = np.floor(np.interp(rng.random(ITEMS), np.linspace(0, 1, len(RELEASES)), RELEASES)).astype(np.int64)
    chance = np.array(list(GENRES.values()))
    has = rng.random((ITEMS, len(GENRES))) < chance
    has[np.arange(ITEMS), rng.choice(len(GENRES), ITEMS, p=chance / chance.sum())] |= ~has.any(axis=1)
    titles = [f"Film {i + 1:04d} ({year})" for i, year in enumerate(released)]
    items = features.items(titles, [[g for g, yes in zip(GENRES, row, strict=True) if yes] for row in has])

    rank = rng.permutation(ITEMS) + 1
    popularity = np.exp(STEEPER * np.interp(np.log(rank), np.log(RANKS), np.log(RATINGS_PER_RANK)))
    eager = rng.normal(size=USERS)
    loyal = 0.5 * eager + np.sqrt(0.75) * rng.normal(size=USERS)  # the active ones stay longer
    known = _unit(np.log(popularity))
    start = np.interp(_ranks(rng.random(USERS)), np.linspace(0, 1, len(FIRST_YEARS)), FIRST_YEARS)
    span = np.interp(_ranks(loyal), SHARES, DAYS_PER_USER) / 365.2425
    return _World(
        users=users,
        items=items,
        titles=titles,
        released=released,
        popularity=popularity,
        activity=np.exp(np.interp(_ranks(eager), SHARES, np.log(RATINGS_PER_USER))).round().astype(np.int64),
        start=start,
        span=np.minimum(span, FIRST_YEARS[-1] - start),  # nobody rates after the last day
        level_user=_told(users, 1, rng)[:, 0],
        level_item=KNOWN_IS_LIKED * known + np.sqrt(1 - KNOWN_IS_LIKED**2) * rng.normal(size=ITEMS),
        taste_user=_told(users, LATENT, rng),
        taste_item=_told(items, LATENT, rng),
    )


def _choose(world: _World, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return who rates what (rows,), sorted by user: draws without replacement, by the largest Gumbel keys."""
    keys = rng.gumbel(size=(USERS, ITEMS)) + np.log(world.popularity)
    keys += LIKED_IS_WATCHED * (world.taste_user @ world.taste_item.T) / np.sqrt(LATENT)
    keys[world.released[None, :] > np.floor(world.start)[:, None]] = -np.inf  # not out yet when the user came
    keys = keys.astype(np.float32)
    least = np.sort(keys, axis=1)[np.arange(USERS), -world.activity]
    user, item = np.nonzero((keys >= least[:, None]) & np.isfinite(keys))
    return user, item


def _times(world: _World, user: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return when each row was rated (rows,), in years: a few sittings per user, seconds apart within one."""
    sittings = 1 + rng.poisson(np.log2(1 + 365 * world.span))  # (N,)
    when = rng.random((USERS, int(sittings.max())))
    when[:, 0] = 0
    sitting = (rng.random(len(user)) * sittings[user]).astype(np.int64)
    length = 15.0 * world.activity / sittings / YEAR
    return np.asarray(world.start[user] + world.span[user] * when[user, sitting] + length[user] * rng.random(len(user)))


def _scores(
    world: _World, user: NDArray[np.int64], item: NDArray[np.int64], time: Floats, rng: np.random.Generator
) -> Floats:
    """Return what users feel before they round it to stars (rows,): levels, tastes that drift, and noise."""
    years = FIRST_YEARS[-1] - FIRST_YEARS[0]
    shared, own = rng.normal(size=LATENT), rng.normal(size=(USERS, LATENT))
    moved = ((time - FIRST_YEARS[0]) / years - 0.5)[:, None] * (SHARED_DRIFT * shared + OWN_DRIFT * own[user])
    taste = ((world.taste_user[user] + moved) * world.taste_item[item]).sum(axis=1) / np.sqrt(LATENT)
    return np.asarray(
        USER_SD * world.level_user[user]
        + ITEM_SD * world.level_item[item]
        + TASTE_SD * taste
        + NOISE_SD * rng.normal(size=len(user))
    )


def _stars(scores: Floats) -> NDArray[np.float32]:
    """Return half stars (rows,), monotone in the scores, with the histogram STARS."""
    edges = np.quantile(scores, np.cumsum(STARS)[:-1] / sum(STARS))
    return (0.5 + 0.5 * np.searchsorted(edges, scores)).astype(np.float32)


def _told(table: Table, width: int, rng: np.random.Generator) -> Floats:
    """Return (rows, width) of unit variance, partly a random linear function of the features, partly their own."""
    centred = table.values - table.values.mean(axis=0)
    told = _unit(centred @ rng.normal(size=(centred.shape[1], width)))
    own = rng.normal(size=told.shape)
    return np.asarray(np.sqrt(TOLD_BY_FEATURES) * told + np.sqrt(1 - TOLD_BY_FEATURES) * own)


def _draw(rng: np.random.Generator, weights: tuple[int, ...]) -> NDArray[np.int64]:
    return rng.choice(len(weights), USERS, p=np.array(weights) / sum(weights))


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value, evenly spread over 0..1, so that the marginals hold exactly."""
    return np.asarray((values.argsort().argsort() + 0.5) / len(values))


def _unit(values: Floats) -> Floats:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))
