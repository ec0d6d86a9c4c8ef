"""The README's tables from finished runs, one run per split seed: python scripts/readme_table.py RUN [RUN ...]

Prints Markdown: every method's RMSE by support size as the mean over split seeds, with the 95 % interval of that mean
(Student's t over splits), and the paired differences of one method to another, split by split and pooled.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from metarun.report.notation import ordered, short
from metarun.results import Score, difference, load_scores, read_json

STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs that differ in dataset.split_seed")
    parser.add_argument("--pairs", nargs="*", default=["meta/ridge:baseline/ridge", "meta/maml:transfer/finetune"])
    options = parser.parse_args()
    summaries = sorted(
        (read_json(run / "summary.json") for run in options.runs), key=lambda s: s["setting"]["split_seed"]
    )
    if "user-cold" not in summaries[0]["test"]:
        known_users(summaries)
        return
    sizes = list(summaries[0]["test"]["user-cold"])
    print(f"| {summaries[0]['dataset']}, RMSE | " + " | ".join(f"s = {size}" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for method in ordered(summaries[0]["test"]["user-cold"][sizes[0]]):
        print(f"| `{method}` | " + " | ".join(mean_cell(summaries, size, method) for size in sizes) + " |")
    for pair in options.pairs:
        a, b = pair.split(":")
        print(f"\n| `{a}` - `{b}`, paired | " + " | ".join(f"s = {size}" for size in sizes) + " |")
        print("|---" * (len(sizes) + 1) + "|")
        for summary in summaries:
            scores = load_scores(Path(summary["folder"]) / "task_scores.npz")
            cells = [pair_cell(scores, a, b, int(size)) for size in sizes]
            print(
                f"| split seed {summary['setting']['split_seed']}, n = {users(summary)} | " + " | ".join(cells) + " |"
            )
        print("| mean over splits | " + " | ".join(pooled_cell(summaries, size, a, b) for size in sizes) + " |")
    winners = ", ".join(f"{s['setting']['split_seed']}: {s['winner']}" for s in summaries)
    print(f"\nchosen on validation (split seed: method): {winners}")


def known_users(summaries: list[dict[str, Any]]) -> None:
    """Print the errors on withheld ratings of known users, and the rated-only rankings, as means over split seeds."""
    protocols = sorted(summaries[0]["ranking"])
    heads = [
        f"{name} {protocol.split('=')[1]}+" for protocol in protocols for name in ("P@20", "R@20", "F1@20", "lift")
    ]
    print(f"| {summaries[0]['dataset']} | RMSE | MAE | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 3) + "|")
    errors = [next(iter(summary["test"]["warm"].values())) for summary in summaries]
    for method in dict.fromkeys(name for protocol in protocols for name in summaries[0]["ranking"][protocol]):
        cells = [mean_of([size.get(method, {}).get(metric) for size in errors]) for metric in ("rmse", "mae")]
        for protocol in protocols:
            for metric in ("precision@20", "recall@20", "f1@20", "lift"):
                cells.append(mean_of([summary["ranking"][protocol][method].get(metric) for summary in summaries]))
        print(f"| `{method}` | " + " | ".join(cells) + " |")


def mean_of(entries: list[dict[str, Any] | None]) -> str:
    """Return the mean of entries with its interval over splits, or a dash where there are none."""
    values = [entry["value"] for entry in entries if entry and entry["value"] is not None]
    if not values:
        return "-"
    return short(statistics.mean(values)) + (f" ± {short(interval(values))}" if len(values) > 1 else "")


def users(summary: dict[str, Any]) -> int:
    """Return the number of test users."""
    sizes = summary["test"]["user-cold"]
    first = next(iter(sizes.values()))
    return int(next(iter(first.values()))["rmse"]["n"])


def interval(values: list[float]) -> float:
    """Return the half-width of the 95 % interval of a mean."""
    return STUDENT[len(values)] * statistics.stdev(values) / len(values) ** 0.5


def mean_cell(summaries: list[dict[str, Any]], size: str, method: str) -> str:
    """Return mean and interval over splits."""
    values = [summary["test"]["user-cold"][size][method]["rmse"]["value"] for summary in summaries]
    return short(statistics.mean(values)) + (f" ± {short(interval(values))}" if len(values) > 1 else "")


def pick(scores: list[Score], method: str, size: int) -> Score:
    """Return the squared errors of a method's test users at a support size."""
    wanted = ("test", "tasks", method, "user-cold", size, "mse")
    return next(score for score in scores if score[:6] == wanted)


def pair_cell(scores: list[Score], a: str, b: str, size: int) -> str:
    """Return the paired difference of one split, starred where its interval excludes 0."""
    found = difference(pick(scores, a, size), pick(scores, b, size))
    return f"{found.value:+.4f} ± {found.ci95:.4f}{' *' if found.significant else ''}"


def pooled_cell(summaries: list[dict[str, Any]], size: str, a: str, b: str) -> str:
    """Return the mean difference over splits with the interval over splits."""
    values = []
    for summary in summaries:
        methods = summary["test"]["user-cold"][size]
        values.append(methods[a]["rmse"]["value"] - methods[b]["rmse"]["value"])
    if len(values) < 2:
        return f"{values[0]:+.4f}"
    half = interval(values)
    return f"{statistics.mean(values):+.4f} ± {half:.4f}{' *' if abs(statistics.mean(values)) > half else ''}"


if __name__ == "__main__":
    main()
