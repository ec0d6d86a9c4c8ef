"""The table of few-shot accuracies from finished runs: python scripts/few_shot_table.py RUN [RUN ...]

Prints Markdown: for every run's own method, accuracy in % by ways and shots with the 95 % interval over test episodes,
the published figure in brackets, how features are normalised, outer steps done and published, time (wall, of the method
alone; CPU, of the whole run), and the command. A run of only some ways leaves the other columns empty.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from metarun.results import read_json

COLUMNS = [("5-way", "1"), ("5-way", "5"), ("20-way", "1"), ("20-way", "5")]
TRANSDUCTIVE = "transductive"
PUBLISHED = {
    ("meta/maml", TRANSDUCTIVE): (98.7, 99.9, 95.8, 98.9),
    ("meta/fomaml", TRANSDUCTIVE): (98.3, 99.2, 89.4, 97.9),
    ("meta/reptile", "inductive"): (95.4, 98.9, 88.1, 96.7),
    ("meta/reptile", TRANSDUCTIVE): (97.7, 99.5, 89.4, 97.1),
    ("meta/protonet", "inductive"): (98.8, 99.7, 96.0, 98.9),
    ("meta/ridge", "inductive"): (98.9, 99.7, 96.2, 99.2),
    ("meta/anil", TRANSDUCTIVE): (None, None, 96.2, 98.0),
}
"""In % on the split by Vinyals et al.: Finn 2017, Nichol 2018 (FOMAML, Reptile), Snell 2017, Bertinetto 2019 (as quoted
elsewhere), Raghu 2020. MAML and ANIL normalise by the query batch without saying so."""

PUBLISHED_STEPS = {"meta/maml": (60_000, 32), "meta/fomaml": (100_000, 5), "meta/reptile": (100_000, 5)}
"""Outer steps and episodes of each behind the published figures of 5 ways; others state none, or stop by validation."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    options = parser.parse_args()
    heads = [f"{way.replace('-', ' ')}, {shot} shot{'s' if shot != '1' else ''}" for way, shot in COLUMNS]
    more = ["normalisation", "outer steps x episodes, / published", "minutes, wall / CPU", "command"]
    print(f"| method | {' | '.join(heads + more)} |")
    print("|---" * (len(heads) + 5) + "|")
    rows = [row(folder) for folder in options.runs if (folder / "summary.json").is_file()]
    for line in sorted(rows):
        print(line)


def row(folder: Path) -> str:
    """Return the row of a run's own method."""
    summary, manifest = read_json(folder / "summary.json"), read_json(folder / "manifest.json")
    method, spoken = summary["chain"][-1], summary["setting"]["normalisation"]
    mode = TRANSDUCTIVE if TRANSDUCTIVE in spoken else "inductive"
    known = PUBLISHED.get((method, mode), (None,) * len(COLUMNS))
    cells = [cell(summary, method, place, figure) for place, figure in zip(COLUMNS, known, strict=True)]
    config = manifest["config"]
    steps, tasks = summary["cost"][method]["steps"], config["pipeline"]["meta"]["tasks"]
    published = " x ".join(f"{number:,}" for number in PUBLISHED_STEPS.get(method, ())) or "?"
    done = f"{steps:,} x {tasks} / {published}"
    wall = summary["cost"][method]["seconds"] / 60
    minutes = f"{wall:.0f} / {sum(attempt['cpu_seconds'] or 0 for attempt in manifest['attempts']) / 60:.0f}"
    words = " ".join(f"'{word}'" if "[" in word else word for word in config["composed"]["overrides"])
    values = [f"`{method}`", *cells, spoken, done, minutes, f"`metarun {words}`"]
    return f"| {' | '.join(values)} |"


def cell(summary: dict[str, Any], method: str, place: tuple[str, str], figure: float | None) -> str:
    """Return "98.6 ± .2 (98.8)" of a way and a number of shots; empty where it was not judged."""
    way, shot = place
    found = summary["test"].get(way, {}).get(shot, {}).get(method, {}).get("accuracy")
    if found is None:
        return ""
    half = f"{100 * found['ci95']:.2f}".removeprefix("0")
    return f"{100 * found['value']:.2f} ± {half}" + (f" ({figure})" if figure else "")


if __name__ == "__main__":
    main()
