"""What a stream tells rules that listen: where drift is known, noticed by a detector, or told as a control.

A rule never guesses; the same rule is run with a detector's alarms and, as controls, with as many random or periodic
ones, and with the truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metarun.errors import MetarunError, needs_package

NONE, BOUNDARY, WARNING, DRIFT = range(4)
KINDS = ("none", "detector", "random", "periodic", "oracle")
DETECTORS = {"adwin": "ADWIN", "page_hinkley": "PageHinkley", "kswin": "KSWIN"}
BINARY = {"ddm": "DDM", "eddm": "EDDM", "hddm_a": "HDDMA", "hddm_w": "HDDMW", "fhddm": "FHDDM"}
"""Detectors of `river`, the latter of a row's being wrong."""


class Events:
    """Events at rows that are known beforehand."""

    watches = False
    """Whether errors have to be shown to it."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = frozenset(int(row) for row in rows)

    def at(self, row: int) -> int:
        """Return the event that is told with a row, before it is learned from."""
        return DRIFT if row in self.rows else NONE

    def saw(self, error: float) -> None:
        """Take note of the error of a row whose label has come."""


class Detected(Events):
    """A detector's alarms, told with the row whose error set them off."""

    watches = True

    def __init__(self, name: str, seed: int) -> None:
        """name: a key of DETECTORS or BINARY. Raises MetarunError without the package river."""
        super().__init__([])
        try:
            from river import drift
        except ImportError:
            raise needs_package("events.detector", name, "river", "stream") from None
        if name in BINARY:
            self.detector = getattr(drift.binary, BINARY[name])()
        else:
            own = {"seed": seed} if name == "kswin" else {}
            self.detector = getattr(drift, DETECTORS[name])(**own)
        self.of_hits = name == "fhddm"  # which looks for fewer hits, the others for more errors
        self.event, self.warned = NONE, False

    def at(self, row: int) -> int:
        """Return what the last error set off."""
        event, self.event = self.event, NONE
        return event

    def saw(self, error: float) -> None:
        """Show an error to the detector."""
        self.detector.update(1 - error if self.of_hits else error)
        warned = not self.detector.drift_detected and getattr(self.detector, "warning_detected", False)
        if self.detector.drift_detected:
            self.event = DRIFT
        elif warned and not self.warned:  # a warning lasts for rows and is told where it begins
            self.event = WARNING
        self.warned = warned


def told(kind: str, first: int, last: int, *, drifts: Sequence[int], number: int, detector: str, seed: int) -> Events:
    """Return the events of rows [first, last); number: how many a control tells of."""
    if kind == "detector":
        return Detected(detector, seed)
    if kind == "oracle":
        if not drifts:
            raise MetarunError("evaluate.events=oracle: where this stream drifts is not known; leave it out")
        return Events(drifts)
    if kind == "random":
        draws = np.random.default_rng(seed).choice(np.arange(first, last), min(number, last - first), replace=False)
        return Events(sorted(draws))
    if kind == "periodic":
        return Events(np.linspace(first, last, number + 2)[1:-1].astype(int).tolist())
    return Events([])
