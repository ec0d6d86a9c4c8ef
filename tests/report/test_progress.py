"""What is told of a run under way: in a log, and on terminals of any kind."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest
from rich.console import Console

from metarun import build, config
from metarun.report.live import Screen, fits
from metarun.report.progress import Lines, Progress, Silent, expected, paced


def progress() -> Progress:
    """A run in the middle of its meta-update."""
    found = Progress("movielens_maml", "1a2b3c4d", 2, ["1-pretrain", "1-meta", "2-meta", "own-online-sgd"])
    found.done, found.value = ["1-pretrain"], "rmse 0.9451"
    found.open("1-meta", "meta/maml", 100, 600)
    found.step, found.loss, found.opened = 300, 0.81234, time.monotonic() - 4
    return found


def screen(width: int, told: Progress | None = None, **options: object) -> str:
    """Return what a terminal of so many columns shows."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=20, **options)  # type: ignore[arg-type]
    with console.capture() as captured:
        console.print(Screen(told or progress(), console).picture())
    return captured.get()


def test_a_log_line_has_all_facts(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(progress()).refresh()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"movielens_maml 1a2b3c4d, round 1/2: 1-meta \(meta/maml\), 300 of 600, 50 steps/s, 0:06 left, loss 0\.8123, "
        r"validation rmse 0\.9451, 0:0\d elapsed, peak \d[\d,]* MB, then 2-meta, own-online-sgd",
        line,
    ), line


def test_a_terminal_has_the_same_facts() -> None:
    plain = re.sub(r"\x1b\[[\d;]*m", "", screen(100))
    for fact in ("movielens_maml 1a2b3c4d, round 1/2", "1-meta (meta/maml)", "300/600", "50 steps/s", "0:06 left"):
        assert fact in plain
    for fact in ("loss 0.8123", "validation rmse 0.9451", "elapsed", "peak", "next 2-meta", "done 1-pretrain"):
        assert fact in plain


@pytest.mark.parametrize("width", [1, 2, 8, 20, 39, 40, 60, 79, 300])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = re.sub(r"\x1b\[[\d;]*m", "", screen(width))
    lines = text.splitlines()
    assert len(lines) == 4, "a line that wraps would be left behind when the picture is drawn again"
    assert all(len(line) <= width for line in lines)


def test_no_color_means_none() -> None:
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", screen(80, no_color=True))


def test_ascii_terminals_get_ascii() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    console = Console(file=Ascii(), force_terminal=True, width=50)
    with console.capture() as captured:
        console.print(Screen(progress(), console).picture())
    captured.get().encode("ascii")


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("file", "environment", "live"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_only_a_terminal_that_can_redraw_gets_a_picture(file: Any, environment: dict[str, str], live: bool) -> None:
    assert fits(Console(file=file, _environ=environment)) is live


def test_what_is_said_stays_and_the_picture_goes() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, height=20, _environ={"TERM": "xterm"})
    with Screen(progress(), console) as view:
        view.say("1-pretrain (pretrain): 60 steps in 1.1 s")
        view.live.refresh()
    text = file.getvalue()
    assert text.count("1-pretrain (pretrain): 60 steps in 1.1 s") == 1
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "the cursor is there at the end"
    assert text.index("\x1b[?25h") < text.index("1-pretrain (pretrain)"), "and all the time: kill -9 cannot restore it"
    erased = text[text.rfind("1-meta (meta/maml)") :]
    assert erased.count("\x1b[2K") >= 4


def test_a_view_leaves_the_terminal_clean_after_ctrl_c() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, height=20, _environ={"TERM": "xterm"})
    with pytest.raises(KeyboardInterrupt), Screen(progress(), console):
        raise KeyboardInterrupt
    assert file.getvalue().rfind("\x1b[2K") > file.getvalue().rfind("1-meta (meta/maml)")


def test_rates_leave_out_the_steps_of_earlier_attempts() -> None:
    told = progress()
    assert told.rate == pytest.approx(50, rel=0.05)  # 200 steps in 4 s
    assert told.left == pytest.approx(6, rel=0.05)
    told.open("2-meta", "meta/maml", 0, 600)
    assert told.rate is None
    assert (told.round, told.loss) == (2, None)
    assert Progress("a", "b", 1).round is None


def test_a_method_is_not_named_twice() -> None:
    told = progress()
    told.open("own-online-sgd", "online/sgd", 0, 5)
    assert told.label == "own-online-sgd"
    told.open("judging meta/maml", "", 0, 5)
    assert told.label == "judging meta/maml"


def test_looks_are_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    look = paced(lambda: looks.append(now[0]), 5.0)
    for moment in (100.0, 104.9, 105.0, 106.0, 109.9, 111.0):
        now[0] = moment
        look()
    assert looks == [105.0, 111.0]


def test_nobody_is_told_anything_by_the_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Silent(progress()) as view:
        view.say("something")
        view.refresh()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("experiment", ["movielens_maml", "movielens_compare", "movielens_loop"])
def test_stages_are_expected_once_each(experiment: str) -> None:
    cfg = config.compose([f"+experiment={experiment}"])
    each = cfg.pipeline.repretrain == "each_round"
    found = expected(build.strategies(cfg), [*cfg.evaluate.against, cfg.evaluate.reference], cfg.pipeline.rounds, each)
    assert len(set(found)) == len(found)
    assert found[0] == "1-pretrain"
