"""A report over 300 runs: seconds, the page's size, and how long it takes to open: python scripts/bench_report.py RUN

RUN is the folder of one finished run (metarun +experiment=movielens_maml). It is copied 300 times into a temporary
folder, each with a seed and a value of its own, 100 groups of 3 seeds, and every strategy's scores moved a little.
Bars: 10 s, 10 MB, 2 s.
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

from metarun.results import load_scores, read_json, save_scores, write_json

RUNS, SEEDS = 300, 3
BARS = {"report": 10.0, "megabytes": 10.0, "open": 2.0}


def main() -> None:
    """Copy, report, open; print each figure beside its bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        for number in range(RUNS):
            copy(options.run, folder / "outputs" / "many" / f"{number:08x}", number)
        page, sheet = folder / "page.html", folder / "runs.csv"
        words = ["report", str(folder / "outputs" / "many"), "--html", str(page), "--csv", str(sheet)]
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", "from metarun.cli import main; raise SystemExit(main())", *words],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        tell(f"report over {RUNS} runs with page and CSV", time.perf_counter() - before, "report", "s")
        tell("the page", page.stat().st_size / 2**20, "megabytes", "MB")
        print(f"the CSV: {sum(1 for _ in sheet.open(encoding='utf-8')) - 1:,} rows")
        opened(page)


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


def tell(what: str, value: float, bar: str, unit: str) -> None:
    """Print a figure and whether it keeps its bar."""
    verdict = "" if value < BARS[bar] else "  MISSED"
    print(f"{what}: {value:.2f} {unit} (bar: {BARS[bar]:g} {unit}){verdict}")


def opened(page: Path) -> None:
    """Print how long the page takes in a headless Chromium: until its table stands, and until its pictures do."""
    chrome = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chrome is None or driver is None:
        print("opening it: no chromium with its chromedriver here")
        return
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
    tell("open, table and filters in use", loaded / 1000, "open", "s")
    tell("open, pictures in sight drawn", float(ready) / 1000, "open", "s")


if __name__ == "__main__":
    main()
