"""The page in a real browser: what a person sees, clicks and sorts, without a word on the console or the network."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from run_folders import write_run

from metarun.report import report
from metarun.results import Score, write_jsonl

CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
PICTURES = ("support", "pairs", "scatter", "curves")


def scores(strategy, seed):
    random, ids = np.random.default_rng(seed), np.arange(40)
    user = random.gamma(4, 0.25, 40)
    found = []
    for cell in ("user-cold", "item-cold"):
        for size in (0, 1, 5):
            for method, by in {"baseline/constant": 0.2, "baseline/ridge": 0.0, strategy: -0.1}.items():
                values = np.abs(user + by - size / 50)
                found += [Score("test", "tasks", method, cell, size, m, ids, values) for m in ("mae", "ndcg@10")]
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    attempts = [{"start": "2030-01-01T00:00:00+00:00", "end": "2030-01-01T00:00:10+00:00"}]
    folders = []
    for strategy in ("meta/maml", "meta/ridge"):
        for seed in (0, 1):
            validation = {strategy: 0.8 + (strategy == "meta/maml") / 10}
            folder = write_run(
                home / f"{strategy[-1]}{seed}", [f"strategy={strategy}", f"seed={seed}"], scores=scores(strategy, seed),
                cells=["user-cold", "item-cold"], validation=validation, synthetic=True, dataset="toy/1 (synthetic)",
                attempts=attempts, optimiser_steps=10 if strategy == "meta/maml" else 1_000,
            )  # fmt: skip
            line = {"split": "train", "protocol": "training", "method": strategy, "metric": "loss", "round": 1}
            write_jsonl(
                folder / "metrics.jsonl", [line | {"stage": "1-meta", "step": s, "value": 1 / s} for s in (1, 2, 3)]
            )
            folders.append(folder)
    report([*folders, home / "unfinished"], html=home / "page.html")
    return home / "page.html"


@pytest.fixture(scope="module")
def browser():
    if CHROME is None or DRIVER is None:
        if os.environ.get("METARUN_BROWSER") == "1":
            pytest.fail("METARUN_BROWSER=1, but there is no chromium with its chromedriver")
        pytest.skip("no chromium with its chromedriver (METARUN_BROWSER=1 requires them)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    browser.set_window_size(1280, 900)
    browser.get(page.as_uri())
    wait(browser, "return document.body && document.body.dataset.ready")
    yield browser
    # Whatever a test clicks: nothing goes wrong and nothing is fetched.
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []
    lines = [line["message"] for line in browser.get_log("performance")]
    sent = [line for line in lines if "Network.requestWillBeSent" in line]
    assert sent
    assert [line for line in sent if '"url":"file:' not in line and '"url":"data:' not in line] == []


def wait(browser, script):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda b: b.execute_script(script))


def texts(browser, css):
    return browser.execute_script("return [...document.querySelectorAll(arguments[0])].map((n) => n.textContent)", css)


def choose(browser, field, text):
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", field)).select_by_visible_text(text)


def test_it_renders(opened):
    assert texts(opened, "h1") == ["toy on toy/1 (synthetic)"]
    assert texts(opened, "#headline")[0].startswith("A plumbing check, not evidence")
    banner = opened.find_element("id", "synthetic")
    assert banner.is_displayed()
    assert "not evidence" in banner.text
    assert "not finished" in texts(opened, "#left-out p")[0]
    assert len(texts(opened, "#table tbody tr")) == 4
    assert "→" in texts(opened, "#table tr.chosen td")[0]
    assert "meta/ridge" in texts(opened, "#table tr.chosen td")[0]
    for picture in PICTURES:
        opened.execute_script("document.getElementById(arguments[0]).scrollIntoView()", picture)
        wait(opened, f"return document.querySelector('#{picture} .scatterlayer .trace')")
    assert texts(opened, "#runs td:nth-child(2)") == ["l0", "l1", "e0", "e1"]


def test_filters(opened):
    choose(opened, "view", "item-cold users")
    assert "item-cold test users" in texts(opened, "#caption")[0]
    choose(opened, "metric", "nDCG@10")
    assert "more is better" in texts(opened, "#caption")[0]
    assert texts(opened, "#support-title") == ["nDCG@10 by support size"]
    choose(opened, "size", "5")
    assert texts(opened, "#pairs-title") == ["Paired difference to baseline/ridge at 5 support ratings"]
    opened.find_element("css selector", "#chooser summary").click()
    opened.find_element("id", "search").send_keys("maml")
    opened.find_element("id", "none").click()
    assert not any("maml" in text for text in texts(opened, "#table tbody td:first-child"))
    assert len(texts(opened, "#table tbody tr")) == 3
    assert "3 of 4 shown" in texts(opened, "#count")
    opened.find_element("css selector", "#boxes label:not([hidden]) input").click()
    assert len(texts(opened, "#table tbody tr")) == 4
    opened.find_element("id", "search").clear()
    opened.find_element("id", "search").send_keys(" ")
    opened.find_element("id", "none").click()
    assert texts(opened, "#table tbody tr") == []
    opened.find_element("id", "first").click()
    assert len(texts(opened, "#table tbody tr")) == 4


def test_sorting_by_mouse_and_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    head = opened.find_element("css selector", "#table th:nth-child(3)")
    head.click()
    values = [float(text.lstrip(">≈").split("±")[0]) for text in texts(opened, "#table tbody td:nth-child(3)")]
    assert values == sorted(values)
    head = opened.find_element("css selector", "#table th:nth-child(3)")
    assert head.get_attribute("aria-sort") == "ascending"
    head.send_keys(Keys.ENTER)
    values = [float(text.lstrip(">≈").split("±")[0]) for text in texts(opened, "#table tbody td:nth-child(3)")]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_is_wider_than_the_window(opened, width):
    opened.set_window_size(width, 900)
    wide, inner = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= inner
