import builtins
import json
import re

import pytest
from run_folders import write_run

from metarun.errors import MetarunError
from metarun.report import find_runs, report
from metarun.report.assemble import compare
from metarun.report.groups import Asked
from metarun.report.page import render
from metarun.report.page_data import page_data
from metarun.report.reading import read_runs

plotly = pytest.importorskip("plotly.offline")


@pytest.fixture
def folders(tmp_path):
    return [
        write_run(tmp_path / f"r{n}", [f"strategy={s}"], {"baseline/ridge": (0.9, 1.1, 1.2), s: errors})
        for n, (s, errors) in enumerate([("meta/maml", (0.8, 1.0, 1.2)), ("meta/ridge", (0.7, 0.9, 1.1))])
    ]


def content(folders, **options):
    found, lines = compare(read_runs(folders)[0], Asked(**options))
    return page_data(found, lines)


def test_the_page_is_one_file_that_fetches_nothing(folders, tmp_path):
    report(folders, html=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    ours = page.replace(plotly.get_plotlyjs(), "")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", ours)
    assert "default-src 'none'" in ours
    assert "@import" not in ours
    assert len(page) < 10 * 2**20


def test_what_is_in_it(folders):
    data = content(folders)
    assert data["headline"].startswith("meta/ridge was chosen on validation among 2 candidates (toy/1)")
    assert [entry["method"] for entry in data["entries"]] == ["baseline/ridge", "meta/maml", "meta/ridge"]
    assert [entry["chosen"] for entry in data["entries"]] == [False, False, True]
    (view,) = data["views"]
    (table,) = view["metrics"]
    assert table["values"][2][0][:4] == [0.9, pytest.approx(0.4968, abs=1e-4), 3, ">"]
    assert [group["label"] for group in data["groups"]] == ["strategy=meta/maml", "strategy=meta/ridge"]
    assert data["synthetic"] is False
    assert [row[1] for row in data["runs"]["rows"]] == ["r0", "r1"]


def test_settings_that_differ_are_told_by_whose_they_are(tmp_path):
    folders = [write_run(tmp_path / f"d{dim}", [f"backbone.dim={dim}"]) for dim in (4, 8)]
    rows = content(folders)["settings"]["rows"]
    assert rows == [["backbone.dim", "4: backbone.dim=4 | 8: backbone.dim=8"]]


def test_no_text_of_a_run_can_leave_its_script(tmp_path):
    bad = "</script><script>alert(1)</script><!--"
    folders = [write_run(tmp_path / f"s{n}", [f"seed={n}"], dataset=bad, warnings=[bad]) for n in (0, 1)]
    page = render(content(folders), "")
    assert "alert(1)</script>" not in page
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert json.loads(found.group(1))["warnings"] == [bad]


def test_of_many_entries_the_best_on_validation_are_shown_first(tmp_path):
    folders = [
        write_run(tmp_path / f"m{n}", [f"strategy=meta/m{n}"], {"baseline/ridge": (1.0, 1.1), f"meta/m{n}": (n, n + 1)})
        for n in range(20)
    ]
    shown = [entry["method"] for entry in content(folders)["entries"] if entry.get("shown")]
    assert shown == ["baseline/ridge", *(f"meta/m{n}" for n in range(10))]


def test_without_plotly_it_says_what_to_install(folders, tmp_path, monkeypatch):
    whole = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("plotly"):
            raise ImportError(name)
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MetarunError, match=r"--html needs plotly: pip install 'metarun\[report\]'"):
        report(find_runs(list(map(str, folders)), tmp_path), html=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
