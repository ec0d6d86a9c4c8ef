"""What is official about each MovieLens version: its home, its file layout, its rating scale, its counts."""

from __future__ import annotations

from dataclasses import dataclass

HOME = "https://files.grouplens.org/datasets/movielens/"


@dataclass(frozen=True)
class Layout:
    """The official files of a version; a `None` file does not exist in that version."""

    ratings: str
    movies: str
    users: str | None
    tags: str | None
    separator: str  # between the fields of a ratings row
    header: str | None  # the first line of the ratings file
    encoding: str  # of titles and tags; ratings are plain ASCII


@dataclass(frozen=True)
class Version:
    """One MovieLens version; `md5` is None where GroupLens replaces the archive from time to time."""

    name: str
    folders: tuple[str, ...]  # names the unpacked folder may have, the official one first
    archive: str
    md5: str | None
    layout: Layout
    scale: tuple[float, float, float]  # lowest, highest, step
    ratings: int  # official counts: rows, users with ratings, items in the catalogue
    users: int
    items: int

    @property
    def url(self) -> str:
        """The archive's official address."""
        return HOME + self.archive


_CSV = Layout("ratings.csv", "movies.csv", None, "tags.csv", ",", "userId,movieId,rating,timestamp", "utf-8")
_U = Layout("u.data", "u.item", "u.user", None, "\t", None, "latin-1")
_DAT = Layout("ratings.dat", "movies.dat", "users.dat", None, "::", None, "latin-1")
_DAT_TAGS = Layout("ratings.dat", "movies.dat", None, "tags.dat", "::", None, "utf-8")
_STARS = (1.0, 5.0, 1.0)
_HALF_STARS = (0.5, 5.0, 0.5)

# The MD5 sums are those of the .md5 files that GroupLens keeps beside the archives. latest-small has none here: its
# archive changes, so it is verified against the .md5 file that is downloaded with it.
VERSIONS: dict[str, Version] = {
    v.name: v
    for v in (
        Version(
            "latest-small", ("ml-latest-small",), "ml-latest-small.zip", None, _CSV, _HALF_STARS, 100_836, 610, 9_742
        ),
        Version(
            "100k",
            ("ml-100k",),
            "ml-100k.zip",
            "0e33842e24a9c977be4e0107933c0723",
            _U,
            _STARS,
            100_000,
            943,
            1_682,
        ),
        Version(
            "1m", ("ml-1m",), "ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906", _DAT, _STARS, 1_000_209, 6_040, 3_883
        ),
        Version(
            "10m",
            ("ml-10M100K", "ml-10m"),
            "ml-10m.zip",
            "ce571fd55effeba0271552578f2648bd",
            _DAT_TAGS,
            _HALF_STARS,
            10_000_054,
            69_878,
            10_681,
        ),
        Version(
            "20m",
            ("ml-20m",),
            "ml-20m.zip",
            "cd245b17a1ae2cc31bb14903e1204af3",
            _CSV,
            _HALF_STARS,
            20_000_263,
            138_493,
            27_278,
        ),
        Version(
            "25m",
            ("ml-25m",),
            "ml-25m.zip",
            "6b51fb2759a8657d3bfcbfc42b592ada",
            _CSV,
            _HALF_STARS,
            25_000_095,
            162_541,
            62_423,
        ),
        Version(
            "32m",
            ("ml-32m",),
            "ml-32m.zip",
            "d472be332d4daa821edc399621853b57",
            _CSV,
            _HALF_STARS,
            32_000_204,
            200_948,
            87_585,
        ),
    )
}
