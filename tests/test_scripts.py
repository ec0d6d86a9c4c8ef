"""Every benchmark runs and its contenders find the same loss (each script checks that itself); no time is asserted."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module(name)


def test_inner_loop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("higher")
    pytest.importorskip("torchopt")
    assert script("bench_inner_loop", monkeypatch).main(["--quick"]) == 0
    users, sinusoid, conv4 = capsys.readouterr().out.split("\n\n")
    assert users.startswith("$ python scripts/bench_inner_loop.py --quick\n")
    assert [line.split()[0] for line in users.splitlines()[2:]] == ["users", "4", "16"]
    for name, told in (("sinusoid", sinusoid), ("conv4", conv4)):
        words = [line.split()[0] for line in told.splitlines()]
        assert words == [f"{name},", "metarun", "autograd", "plain", "higher", "torchopt"]


def test_another_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    loops = script("inner_loops", monkeypatch)
    given = loops.sinusoid(tasks=2)
    whole, first = loops.loop(given), loops.ours(given)
    given.rule.first_order = True
    with pytest.raises(SystemExit, match=r"not the same arithmetic: \['metarun'\]"):
        loops.check(given, {loops.OURS: first, loops.LOOP: whole})


def test_memory_of_a_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("inner_loops", monkeypatch).main(["sinusoid", "metarun"]) == 0
    assert float(capsys.readouterr().out) >= 0


def test_another_loss_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("higher")
    bench = script("bench_inner_loop", monkeypatch)
    whole = bench.plain_vmap

    def wrong(*given: object) -> object:
        step = whole(*given)
        return lambda: step() * (1 + 2e-5)

    monkeypatch.setattr(bench, "plain_vmap", wrong)
    with pytest.raises(SystemExit, match=r"not the same arithmetic: \['plain vmap'\]"):
        bench.main(["--quick"])


def test_pretrain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("bench_pretrain", monkeypatch).main(["--quick"]) == 0
    ours, plain = (line.split()[-1] for line in capsys.readouterr().out.splitlines()[3:])
    assert float(ours) == pytest.approx(float(plain), rel=1e-5)


def test_topn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("bench_topn", monkeypatch).main(["--quick"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("$ python scripts/bench_topn.py --quick")
    assert "metarun, exact" in out
    assert "512 at a time" in out


@pytest.mark.nightly
def test_scale(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert script("bench_scale", monkeypatch).main(["--quick", "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "files to columns" in out
    assert "60,000 ratings" in out
    assert list(tmp_path.iterdir()) == []  # the files are gone


def test_medians_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    contenders = {name: lambda name=name: called.append(name) for name in ("a", "b")}
    taken = script("timing", monkeypatch).interleaved(contenders, 3)
    assert called == ["a", "b"] * 3
    assert set(taken) == {"a", "b"}


def test_a_missed_bar_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = script("timing", monkeypatch).verdict
    assert verdict([("fast", True)]) == 0
    assert verdict([("fast", True), ("small", False)]) == 1
    assert "MISSED: small" in capsys.readouterr().out


def test_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bench = script("bench_answers", monkeypatch)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "answers"))
    run = importlib.import_module("made").run(tmp_path / "run")
    monkeypatch.setattr(bench, "PYTHON", 60.0)
    monkeypatch.setattr(bench, "COLD", 60.0)
    assert bench.main([str(run), "--people", "20"]) == 0
    assert "20 people" in capsys.readouterr().out


@pytest.mark.nightly
def test_jobs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench = script("bench_jobs", monkeypatch)
    monkeypatch.setattr(bench, "BAR", 60.0)
    assert bench.main(["--jobs", "2"]) == 0
    assert "a pool, two jobs at a time" in capsys.readouterr().out


def test_scaling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("bench_scaling", monkeypatch).main(["--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()[:5]) for line in lines[3:]] == [
        "1 process of 1 thread", "2 processes of 1 thread", "1 process of 2 threads",
    ]  # fmt: skip
    assert len({line.split()[-1] for line in lines[3:]}) == 1


def test_another_loss_of_two_processes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = script("bench_scaling", monkeypatch)
    monkeypatch.setattr(bench, "run", lambda contender, args: (1.0, [1.0, 1.0 + 2e-5 * (contender.processes - 1)]))
    with pytest.raises(SystemExit, match="not the same arithmetic: 2 processes of 1 thread"):
        bench.main(["--quick"])


def test_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from run_folders import write_run

    pytest.importorskip("plotly")
    bench = script("bench_report", monkeypatch)
    monkeypatch.setattr(bench, "REPORT", 600.0)
    monkeypatch.setattr(bench, "opened", lambda page: [(page.name, page.exists())])
    errors = {"baseline/ridge": (0.8, 1.0), "meta/maml": (0.7, 0.9)}
    run = write_run(tmp_path / "run", ["strategy=meta/maml"], errors, leaves={"pipeline": {"meta": {"lr": 0.1}}})
    (run / "metrics.jsonl").write_text("")
    assert bench.main([str(run), "--runs", "4"]) == 0
    out = capsys.readouterr().out
    assert "the CSV has 4 rows" in out
    assert "reached: report over 4 runs with page and CSV" in out
    assert "reached: page.html" in out


def test_a_page_that_no_browser_has_opened_has_missed_its_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench = script("bench_report", monkeypatch)
    monkeypatch.setattr(bench.shutil, "which", lambda _: None)
    ((told, reached),) = bench.opened(tmp_path / "page.html")
    assert told.startswith("open, not measured: no chromium")
    assert not reached


def test_stream(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("river")
    pytest.importorskip("numba")
    assert script("bench_stream", monkeypatch).main(["--quick"]) == 0
    out = capsys.readouterr().out
    for name in ("one rule, engine : bare loop", "eight mixed, engine with numba : river"):
        assert name in out


@pytest.mark.parametrize(
    ("name", "words", "rows"),
    [
        ("drift_table", ["--seeds", "2", "--rows", "400"], ["| recurring |", "| none |"]),
        pytest.param(
            "trigger_table",
            ["--seeds", "2", "--rows", "250", "--every", "100"],
            ["| recurring | `adaptive/warn_swap` |", "| abrupt | `adaptive/recall` |"],
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "recovery_table",
            ["--seeds", "2", "--rows", "3000"],
            ["| median rows to recover |", "| log-loss |"],
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_tables_over_streams(
    name: str, words: list[str], rows: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("river")
    pytest.importorskip("numba")
    assert script(name, monkeypatch).main(words) == 0
    out = capsys.readouterr().out
    assert all(row in out for row in rows)
    assert "nan" not in out


@pytest.mark.parametrize("trigger", ["alarm", "warning"])
def test_rows_followed_in_blocks_are_those_followed_one_by_one(trigger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("river")
    from metarun import build, config, events

    table = script("trigger_table", monkeypatch)
    words = ["dataset.rows=900", "dataset.every=300", "dataset.opening=0", "evaluate.against=[]"]
    words += ["strategy=adaptive/warn_swap", f"strategy.adaptive.trigger={trigger}", "strategy.adaptive.z=0.5"]
    cfg = config.compose(["+experiment=streams_compare", *words])
    data = build.dataset(cfg)
    rule = build.rule(cfg, "adaptive/warn_swap", build.model(cfg, data.spec))
    x, y = data.whole
    for kind in ("detector", "random", "none"):
        found = []
        for follow in (table.quick, table.slow):
            told = events.told(kind, 0, 900, drifts=[], number=5, detector="hddm_w", seed=0)
            with torch.no_grad():
                found.append(follow(rule, rule.model.features(x), y, told))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
        assert found[0][1] == found[1][1]
        assert (found[0][1] > 0) == (kind != "none")
