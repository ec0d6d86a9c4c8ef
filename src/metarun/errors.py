"""The one error that is the user's to mend, and the hint that goes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MetarunError(Exception):
    """Raised with one clear line: what was given, what is allowed, which option to change."""

    code = 2
    """The exit code of the command."""


class PeerGone(MetarunError):
    """Another process of the run has ended: nothing is wrong with this one, and the run can be taken up."""

    code = 75  # EX_TEMPFAIL of sysexits.h


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def needs_package(option: str, value: str, package: str, extra: str) -> MetarunError:
    """Return the error of an option that needs a package of an extra."""
    return MetarunError(f"{option}={value} needs the package {package}: pip install 'metarun[{extra}]'")
