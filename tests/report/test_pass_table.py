"""The table, the sentence and the picture of one pass over everybody's ratings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metarun.report.block_plot import block_plot
from metarun.report.passes import pass_table, pass_verdict

PROTOCOL = "prequential/chunk=1/delay=0/from=0.1"
VALUES = {
    "baseline/last_rating": 1.2, "baseline/river": 0.9, "online/incremental_mf": 0.88,
    "hindsight/online/incremental_mf": 0.87, "frozen/online/incremental_mf": 1.0,
}  # fmt: skip


@pytest.fixture
def summary() -> dict[str, Any]:
    def entry(value: float) -> dict[str, Any]:
        return {"value": value, "ci95": 0.01, "n": 4}

    def pair(value: float) -> dict[str, Any]:
        return {"difference": value - 0.9, "ci95": 0.005, "n": 4}

    return {
        "name": "movielens_online", "run_id": "0", "dataset": "toy", "synthetic": False, "metric": "rmse",
        "winner": "online/incremental_mf", "reference": "baseline/river", "setting": {"split": "stream", "seed": 0},
        "test": {}, "trials": {"online/incremental_mf": 24}, "folder": "there", "warnings": [],
        "stream": {PROTOCOL: {name: {"rmse": entry(v), "mae": entry(v - 0.2)} for name, v in VALUES.items()}},
        "pass": {
            "protocol": PROTOCOL, "ratings": 1000, "opening": 100, "blocks": 4,
            "paired": {name: pair(value) for name, value in VALUES.items() if name != "baseline/river"},
            "by_block": {name: [value, value + 0.1, value, value - 0.1] for name, value in VALUES.items()},
        },
    }  # fmt: skip


def printed(what: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(what)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_every_method_has_its_errors_and_its_difference(summary: dict[str, Any]) -> None:
    lines = printed(pass_table(summary))
    mine = [line for line in lines if "incremental_mf" in line]
    assert ">.880 ±.010" in mine[0]
    assert "-.020 ±.005*" in mine[0]
    assert ".100 ±.005°" in mine[2]
    assert not any(">" in line for line in mine[1:]), "what is known only afterwards is no best method"
    assert any("900 ratings in time order, one pass; " + PROTOCOL in line for line in lines)


def test_the_sentence_says_by_how_much(summary: dict[str, Any]) -> None:
    said = pass_verdict(summary)
    assert "significantly below baseline/river (.020 ±.005, paired over 4 blocks)" in said
    summary["pass"]["paired"]["online/incremental_mf"]["ci95"] = 0.05
    assert "not significantly different from baseline/river" in pass_verdict(summary)


def test_what_diverged_is_said_and_drawn_without(summary: dict[str, Any], tmp_path: Path) -> None:
    summary["stream"][PROTOCOL]["baseline/river"]["rmse"]["value"] = None
    summary["pass"]["by_block"]["baseline/river"] = [0.9, None, None, None]
    summary["pass"]["paired"] = {name: {"difference": None, "ci95": None, "n": 4} for name in VALUES}
    assert any("diverged" in line for line in printed(pass_table(summary)))
    assert "without a paired comparison" in pass_verdict(summary)
    block_plot(summary, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
