"""How long an answer takes: in Python, from a cold start, and for many people; on a finished run.

    python scripts/bench_answers.py RUN [--people 6000]

Each person has rated five to fifty items that are drawn at random. The bars: adapt and recommend with five ratings
under 5 ms, the command line under 5 s from a cold start.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timing
import torch

import metarun
from metarun.answers.api import Answers
from metarun.answers.batch import Histories, answer

PYTHON, COLD = 0.005, 5.0  # seconds


def median(run: Callable[[], object], turns: int) -> float:
    """Return the median seconds of a call, the first left out."""
    run()
    return timing.interleaved({"it": run}, turns)["it"]


def many(answers: Answers, people: int) -> Histories:
    """Return people with five to fifty ratings each."""
    draw = np.random.default_rng(0)
    items = len(answers.items)
    count = draw.integers(5, 51, people).clip(max=items)
    user = np.repeat(np.arange(people), count)
    item = np.concatenate([draw.choice(items, rows, replace=False) for rows in count])
    low, high, _ = answers.meaning.scale
    value = draw.integers(int(np.ceil(low)), int(high) + 1, len(user)).astype(np.float32)
    return Histories([str(person) for person in range(people)], user, item, value)


def cold_start(run: str, answers: Answers) -> float:
    """Return the seconds of `metarun recommend` on a file of five ratings, process start and all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "my.csv")
        rows = [f"{item},{answers.meaning.scale[1]:g}" for item in answers.items[:5]]
        path.write_text("\n".join(["item,rating", *rows, ""]), encoding="utf-8")
        start = "import sys; from metarun.cli import main; sys.exit(main())"
        words = [sys.executable, "-c", start, "recommend", run, "--ratings", str(path)]
        began = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def main(argv: list[str]) -> int:
    """Print the times and return 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a finished run, as metarun recommend takes it")
    parser.add_argument("--people", type=int, default=6000)
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    timing.header(argv)
    answers = metarun.load(asked.run)
    print(answers)
    five = dict.fromkeys(answers.items[:5], answers.meaning.scale[1])
    thousand = dict.fromkeys(answers.items[:1000], answers.meaning.scale[1])
    rows = many(answers, asked.people)
    seconds = {
        "load": median(lambda: metarun.load(asked.run), 5),
        "adapt, 5 ratings": median(lambda: answers.adapt(five), 50),
        "adapt and recommend, 5 ratings": median(lambda: answers.recommend(five), 50),
        "the same, explained": median(lambda: answers.recommend(five, explain=True), 50),
        "1,000 ratings, explained": median(lambda: answers.recommend(thousand, explain=True), 5),
        f"{asked.people:,} people, {len(rows.user):,} ratings": median(lambda: answer(answers, rows, 20), 1),
        "metarun recommend, cold start": min(cold_start(asked.run, answers) for _ in range(3)),
    }
    timing.table(["what", "ms"], [[name, f"{1000 * value:,.2f}"] for name, value in seconds.items()])
    return timing.verdict(
        [
            (f"under {1000 * PYTHON:g} ms in Python", seconds["adapt and recommend, 5 ratings"] < PYTHON),
            (f"under {COLD:g} s from a cold start", seconds["metarun recommend, cold start"] < COLD),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
