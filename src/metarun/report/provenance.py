"""Where the figures come from: commands, data, versions, hardware, and in which settings the runs differ."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from metarun.report import cost
from metarun.report.contrast import Comparison
from metarun.report.groups import Group, natural, seed_of
from metarun.report.reading import Run


def runs_table(comparison: Comparison) -> dict[str, Any]:
    """Return {"heads", "rows"}: one row per run with its data, code and when it ran."""
    heads = ["group", "run", "seed", "dataset", "checksum", "metarun", "commit", "started (UTC)", "wall s"]
    rows = [_row(group, run) for group in comparison.groups for run in group.runs]
    return {"heads": heads, "rows": rows}


def _row(group: Group, run: Run) -> list[str]:
    """Return a run's cells, "-" where its manifest does not say."""
    attempts = run.manifest.get("attempts") or [{}]
    last = attempts[-1]
    code, data = last.get("code") or {}, run.manifest.get("data") or {}
    commit = str(code.get("commit") or "-")[:10] + (" (changed)" if code.get("dirty") else "")
    return [
        group.label or "all runs", run.name, seed_of(run), str(data.get("name", run.summary["dataset"])),
        str(data.get("checksum") or "-")[:12], str((last.get("versions") or {}).get("metarun") or "-"), commit,
        str(run.manifest.get("start") or "-")[:19].replace("T", " "),
        cost.spelled(cost.cost([run]).get("wall_seconds")),
    ]  # fmt: skip


def commands(comparison: Comparison) -> list[str]:
    """Return the commands that started the runs, each once, with how many of the runs it has made."""
    found: dict[str, int] = {}
    for group in comparison.groups:
        for run in group.runs:
            attempts = run.manifest.get("attempts") or [{}]
            argv = [str(word) for word in attempts[-1].get("argv") or []]
            line = shlex.join([PurePath(argv[0]).name, *argv[1:]]) if argv else "not recorded"
            found[line] = found.get(line, 0) + 1
    return [f"{line}  ({count} run{'s' if count > 1 else ''})" for line, count in found.items()]


def environments(comparison: Comparison) -> list[str]:
    """Return each set of versions and hardware that a run was made with, in one line."""
    lines: dict[str, int] = {}
    for group in comparison.groups:
        for run in group.runs:
            last = (run.manifest.get("attempts") or [{}])[-1]
            versions = ", ".join(f"{name} {value}" for name, value in (last.get("versions") or {}).items() if value)
            found = last.get("hardware") or {}
            gpus = ", ".join(map(str, found.get("gpus") or [])) or "no GPU"
            cores, threads = found.get("cores", "?"), last.get("threads", "?")
            where = f"{found.get('system', '?')}, {cores} cores, {threads} threads, {gpus}" if found else ""
            line = "; ".join(filter(None, [versions, where])) or "not recorded"
            lines[line] = lines.get(line, 0) + 1
    return [f"{count} run{'s' if count > 1 else ''}: {line}" for line, count in lines.items()]


def differences(comparison: Comparison) -> dict[str, Any]:
    """Return {"heads", "rows"}: one row per setting that is not the same in all runs, with the groups of each value."""
    runs = [run for group in comparison.groups for run in group.runs]
    known = sorted({key for run in runs for key in run.leaves})
    rows = []
    for key in known:
        texts = [_text(run, key) for run in runs]
        if len(set(texts)) > 1:
            rows.append([key, _told(comparison.groups, key)])
    return {"heads": ["setting", "values and whose they are"], "rows": rows}


def _told(groups: Sequence[Group], key: str) -> str:
    """Return "64: backbone.dim=64 | 32: backbone.dim=32", at most six values."""
    owners: dict[str, list[str]] = {}
    for group in groups:
        values = sorted({_text(run, key) for run in group.runs}, key=natural)
        owners.setdefault(", ".join(values), []).append(group.label or "all runs")
    parts = []
    for value, labels in list(owners.items())[:6]:
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        parts.append(f"{value}: {'; '.join(labels[:3])}{more}")
    more = f" | {len(owners) - 6} more values" if len(owners) > 6 else ""
    return " | ".join(parts) + more


def _text(run: Run, key: str) -> str:
    """Return a setting as it is written in YAML, "(absent)" where a run has none."""
    return json.dumps(run.leaves[key], ensure_ascii=False) if key in run.leaves else "(absent)"
