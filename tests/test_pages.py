"""What metarun says of itself, how fast, and what it does not import for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metarun import commandline, config, overrides
from metarun.cli import main

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_bare_command_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "metarun +experiment=movielens_maml" in out
    assert "metarun list" in out


def test_every_command_of_the_pages_is_accepted() -> None:
    from metarun import pages

    for command, _ in (*pages.WELCOME, *pages.EXAMPLES):
        words = [word.strip("'") for word in command.split()[1:]]
        if words[0] not in ("list", "show", "report", "--help"):
            for point in overrides.points(commandline.check(commandline.read(words))):
                assert config.compose(point)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["+experiment=movielens_maml", "--help"]])
def test_help_names_verbs_groups_and_fields(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    for word in ("list", "show", "data", "report", "meta/maml*", "movielens_compare", "seed=0", "METARUN_TRUST", "-m"):
        assert word in out


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("words", [[], ["--help"], ["list"]])
def test_pages_fit_the_terminal(
    words: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line == line.rstrip() for line in lines)
    if columns >= 80:
        assert max(map(len, lines)) <= columns


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.match(r"metarun \d+\.\d+\.\d+ \(Python 3\.\d+\.\d+, torch .*hydra-core 1\.3", capsys.readouterr().out)


# In a process of its own

NO_TORCH = """
import sys
from metarun.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "pandas", "numpy", "pytorch_lightning", "matplotlib"} & set(sys.modules)
print("HEAVY", *sorted(heavy), file=sys.stderr)
print("HYDRA", "hydra" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def shell(*words: str, **env: str) -> tuple[subprocess.CompletedProcess[str], float]:
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, *words], capture_output=True, text=True, env=os.environ | env, timeout=60
    )
    return done, time.perf_counter() - before


CASES: list[tuple[list[str], int, bool, float]] = [
    ([], 0, False, 0.8),
    (["--help"], 0, False, 0.8),
    (["list"], 0, False, 0.8),
    (["show", "strategy/meta/maml"], 0, False, 0.8),
    (["backbone.dmi=3"], 2, True, 2.0),
    (["-m", "strategy=meta/maml,meta/ridge", "seed=0,1,x"], 2, True, 2.0),
]


@pytest.mark.parametrize(("words", "code", "hydra", "seconds"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_quick_without_torch(words: list[str], code: int, hydra: bool, seconds: float) -> None:
    done, took = shell(*words)
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-2:] == ["HEAVY", f"HYDRA {hydra}"]
    assert took < 3 * seconds  # three times: the machine may be busy


def test_users_package_from_the_shell() -> None:
    env = {"METARUN_CONF": str(TESTS / "mylab" / "conf"), "PYTHONPATH": str(TESTS)}
    done, _ = shell("-c", "job", "+experiment=mylab_timid", METARUN_TRUST="mylab", **env)
    assert "_target_: mylab.rules.Timid" in done.stdout
    done, _ = shell("+experiment=mylab_timid", **env)
    assert done.returncode == 2
    assert "METARUN_TRUST=mylab" in done.stderr.splitlines()[0]


def test_plain_ascii_locale() -> None:
    done, _ = shell("list", LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr
