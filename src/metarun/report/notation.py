"""How numbers, methods and marks are written, the same in every table and plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

FAMILIES = ("baseline", "transfer", "online", "adaptive", "meta")
STYLES = {"baseline": "", "transfer": "blue", "online": "green", "adaptive": "yellow", "meta": "magenta"}
LABELS = {
    "rmse": "RMSE", "mae": "MAE", "ndcg": "nDCG", "precision": "P", "recall": "R", "f1": "F1",
    "map": "MAP", "mrr": "MRR", "coverage": "cover", "popularity": "pop", "squared_error": "MSE",
    "absolute_error": "MAE", "log_loss": "log-loss", "auroc": "AUROC", "brier": "Brier",
}  # fmt: skip
HIGHER_IS_BETTER = (
    "ndcg",
    "precision",
    "recall",
    "f1",
    "map",
    "mrr",
    "hit",
    "coverage",
    "accuracy",
    "auroc",
    "sensitivity",
    "specificity",
)
ENDS = {"random": -2, "popularity": -1, "oracle": 1}
"""What frames a ranking, and where it stands: below the methods or above them."""
ASCII = {"±": "~", "≈": "=", "·": "|", "°": "o", "→": "#", "≥": ">=", "≤": "<="}


def family(method: str) -> str:
    """Return "meta" of "meta/maml"; a name without a folder (random, oracle) is a baseline."""
    return method.split("/")[0] if "/" in method else "baseline"


def last(method: str) -> str:
    """Return a method's own name, "ridge" of "baseline/ridge"."""
    return method.rsplit("/", 1)[-1]


def ordered(methods: Iterable[str]) -> list[str]:
    """Return the methods by family, the families in the order of FAMILIES, otherwise as they came."""
    known = list(dict.fromkeys(methods))
    return sorted(known, key=lambda m: FAMILIES.index(family(m)) if family(m) in FAMILIES else len(FAMILIES))


def framed_by(methods: Iterable[str]) -> list[tuple[str, str]]:
    """Return (method, its name in the table): random and popularity, the methods by family, the oracle.

    The three that frame the others stand outside the families, whatever they are called.
    """
    names = ordered(methods)
    ends = sorted((m for m in names if last(m) in ENDS), key=lambda method: ENDS[last(method)])
    models = [method for method in names if method not in ends]
    below = [m for m in ends if ENDS[last(m)] < 0]
    above = [m for m in ends if m not in below]
    return [(m, last(m) if m in ends else m) for m in below + models + above]


def cells(summary: Mapping[str, Any]) -> list[str]:
    """Return the unseen cells that a run was judged on, the one that names the winner first."""
    return list(summary.get("cells") or ["user-cold"])


def pairs(summary: Mapping[str, Any], metric: str, cell: str) -> Mapping[str, Any]:
    """Return {support: {method: difference to the reference}} of a cell, empty but for the run's own metric."""
    found: Mapping[str, Any] = summary.get("paired", {}).get(cell, {})
    return found if metric == summary["metric"] else {}


def heads(summaries: Iterable[Mapping[str, Any]], sizes: Iterable[str]) -> list[str]:
    """Return the heads of the columns by support size, "≤ 90" where the one size is the most that a task may have."""
    splits = {summary.get("setting", {}).get("split") for summary in summaries}
    known = list(sizes)
    return [f"≤ {size} " if len(known) == 1 and splits == {"melu"} else f"{size} " for size in known]


def unit(summary: Mapping[str, Any]) -> str:
    """Return what a task of the run is, "users" or "items"."""
    return str(summary.get("unit", "users"))


def given(summary: Mapping[str, Any]) -> str:
    """Return what a support size counts: ratings, shots, points, rows, or tasks learned."""
    counted = {
        "episodes": "shots",
        "images": "shots",
        "rows": "shots",
        "draws": "labels",
        "functions": "support points",
        "stretches": "support rows",
        "held-out rows": "tasks learned",
    }
    return counted.get(unit(summary), "support ratings")


def label(metric: str) -> str:
    """Return a metric as it is printed, "nDCG@10" of "ndcg@10"."""
    name, at, k = metric.partition("@")
    return LABELS.get(name, name) + at + k


def higher_is_better(metric: str) -> bool:
    """Return whether more of it is better."""
    return metric.partition("@")[0] in HIGHER_IS_BETTER


def short(value: float) -> str:
    """Return three decimals without the leading zero: .955, 1.008, -.012; four digits from 10 on."""
    if abs(value) >= 9.9995:
        return f"{value:.4g}"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def number(found: Mapping[str, Any] | None, compact: bool) -> str:
    """Return "1.008 ±.018", or compact "1.008±18" with the interval in thousandths.

    "diverged" where there is no finite value, "" where nothing was measured or nobody qualified.
    """
    if found is None or found.get("n") == 0:
        return ""
    if found["value"] is None:
        return "diverged"
    if found["ci95"] is None:
        return short(found["value"])
    half = f"±{1000 * found['ci95']:.0f}" if compact else f" ±{short(found['ci95'])}"
    return short(found["value"]) + half


def best(entries: Mapping[str, Mapping[str, Any]], metric: str) -> set[str]:
    """Return the methods with the best value of a metric, the oracle aside: several where they agree, or none."""
    values = {m: found[metric]["value"] for m, found in entries.items() if metric in found and last(m) != "oracle"}
    known = {method: value for method, value in values.items() if value is not None}
    if not known:
        return set()
    top = (max if higher_is_better(metric) else min)(known.values())
    return {method for method, value in known.items() if value == top}


def star(pair: Mapping[str, Any] | None, metric: str) -> str:
    """Return "*" significantly better than the reference, "°" significantly worse, " " neither or not known."""
    return {1: "*", 0: " ", -1: "°"}[better_or_worse(pair, metric)]


def better_or_worse(pair: Mapping[str, Any] | None, metric: str) -> int:
    """Return 1 significantly better than the reference, -1 significantly worse, 0 neither or not known."""
    if not pair or pair["difference"] is None or pair["ci95"] is None or abs(pair["difference"]) <= pair["ci95"]:
        return 0
    return 1 if (pair["difference"] > 0) == higher_is_better(metric) else -1


def spoken(words: Iterable[object]) -> str:
    """Return "1", "1 and 3" or "1, 3 and 5"."""
    *first, final = [str(word) for word in words]
    return f"{', '.join(first)} and {final}" if first else final


def plain(text: str, unicode: bool) -> str:
    """Return the text as it is, or in ASCII for a terminal that has nothing else."""
    if unicode:
        return text
    for sign, substitute in ASCII.items():
        text = text.replace(sign, substitute)
    return text.encode("ascii", "replace").decode()


def setting(summary: Mapping[str, Any]) -> str:
    """Return "split cold, split seed 0, seed 0": what of the run every figure depends on."""
    known = summary.get("setting", {})
    return ", ".join(f"{str(key).replace('_', ' ')} {value}" for key, value in known.items())
