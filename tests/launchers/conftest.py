"""A user's package with rules that crash and rules that are killed, for what happens to the other jobs of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

RULES = """
import os
import signal

from metarun.strategies.gradient import Gradient


class Crash(Gradient):
    def __init__(self, **fields):
        raise RuntimeError("a crash of its own")


class Killed(Gradient):
    def __init__(self, **fields):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def badlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its user types before the command."""
    home = tmp_path / "badlab"
    (home / "conf/strategy/meta").mkdir(parents=True)
    (home / "badlab.py").write_text(RULES)
    for name in ("Crash", "Killed"):
        (home / f"conf/strategy/meta/{name.lower()}.yaml").write_text(
            f"# @package strategy.meta\n# metarun +experiment=movielens_maml strategy=meta/{name.lower()}\n# Bad.\n"
            f"# needs: tasks\n_target_: badlab.{name}\n"
        )
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("METARUN_CONF", str(home / "conf"))
    monkeypatch.setenv("METARUN_TRUST", "badlab")
