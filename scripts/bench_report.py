"""A report over 300 runs: its seconds, the page's size, and how long the page takes to open.

    python scripts/bench_report.py RUN

RUN is the folder of one finished run (metarun +experiment=movielens_maml). It is copied 300 times into a temporary
folder, each with a seed and a value of its own, 100 groups of 3 seeds, and every strategy's scores moved a little.
The bars: 10 s, 10 MB, 2 s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timing

from metarun.results import load_scores, read_json, save_scores, write_json

SEEDS = 3
REPORT, SIZE, OPEN = 10.0, 10.0, 2.0  # seconds, megabytes, seconds


def main(argv: list[str]) -> int:
    """Copy, report, open; print each figure with its bar and return 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--runs", type=int, default=300, help="how many copies")
    options = parser.parse_args(argv)
    timing.header(argv)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        for number in range(options.runs):
            copy(options.run, folder / "outputs" / "many" / f"{number:08x}", number)
        page, sheet = folder / "page.html", folder / "runs.csv"
        words = ["report", str(folder / "outputs" / "many"), "--html", str(page), "--csv", str(sheet)]
        command = [sys.executable, "-c", "from metarun.cli import main; raise SystemExit(main())", *words]
        before = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, size = time.perf_counter() - before, page.stat().st_size / 2**20
        rows = sheet.read_text(encoding="utf-8").count("\n") - 1
        print(f"the CSV has {rows:,} rows")
        told = f"report over {options.runs} runs with page and CSV: {seconds:.1f} s (bar {REPORT:g} s)"
        bars = [(told, seconds < REPORT), (f"the page: {size:.1f} MB (bar {SIZE:g} MB)", size < SIZE)]
        return timing.verdict(bars + opened(page))


def copy(run: Path, folder: Path, number: int) -> None:
    """Write a copy of a run with its own seed and value, whose strategies are better or worse by a little noise."""
    random = np.random.default_rng(number)
    group, seed = divmod(number, SEEDS)
    folder.mkdir(parents=True)
    for name in ("metrics.jsonl", "manifest.json", "summary.json"):
        shutil.copy(run / name, folder / name)
    manifest, summary = read_json(folder / "manifest.json"), read_json(folder / "summary.json")
    config = manifest["config"]
    typed = [word for word in config["composed"]["overrides"] if not word.startswith(("seed=", "pipeline.meta.lr="))]
    lr = round(0.001 + group / 10_000, 6)
    config["composed"]["overrides"] = [*typed, f"seed={seed}", f"pipeline.meta.lr={lr}"]
    config["seed"], config["pipeline"]["meta"]["lr"] = seed, lr
    summary["run_id"], summary["folder"] = folder.name, str(folder)
    summary["setting"]["seed"] = seed
    scores = load_scores(run / "task_scores.npz")
    gain = 1 + 0.02 * np.random.default_rng(group).standard_normal() + 0.002 * random.standard_normal()
    moved = [
        score._replace(values=score.values * gain) if score.metric in ("mse", "mae") and _moves(score.method) else score
        for score in scores
    ]
    for method in summary["validation"]:
        if _moves(method):
            summary["validation"][method] *= gain
    write_json(folder / "manifest.json", manifest)
    write_json(folder / "summary.json", summary)
    save_scores(folder / "task_scores.npz", moved)


def _moves(method: str) -> bool:
    """Return whether a method is a strategy."""
    return not method.startswith(("baseline/", "pretrain/"))


def opened(page: Path) -> list[tuple[str, bool]]:
    """Return how long the page takes in a headless Chromium: until its table stands, and until its pictures do."""
    chrome = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chrome is None or driver is None:
        return [(f"open, not measured: no chromium with its chromedriver here (bar {OPEN:g} s)", False)]
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(word)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser.get(page.as_uri())
        script = "return document.body && document.body.dataset.ready"
        ready = WebDriverWait(browser, 60).until(lambda b: b.execute_script(script))
        loaded = browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
        rows = browser.execute_script("return document.querySelectorAll('#table tbody tr').length")
        assert rows > 0, json.dumps(browser.get_log("browser"))
    finally:
        browser.quit()
    table, pictures = loaded / 1000, float(ready) / 1000
    return [(f"open, its table and filters in use: {table:.2f} s (bar {OPEN:g} s)", table < OPEN),
            (f"open, the pictures in sight drawn: {pictures:.2f} s (bar {OPEN:g} s)", pictures < OPEN)]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
