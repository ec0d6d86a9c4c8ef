"""The command line from end to end: pages, runs through Hydra, sweeps, exit codes, and what is not imported."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from metarun import commandline, config, overrides
from metarun.cli import main
from metarun.errors import MetarunError

TESTS = Path(__file__).parent
Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:], root.level = before


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[DictConfig]:
    """The configs that were run, instead of running them: a seed of 7 is refused, 8 crashes, 9 is Ctrl-C."""
    seen: list[DictConfig] = []

    def run(cfg: DictConfig) -> None:
        seen.append(cfg)
        folder = config.run_folder(cfg)
        if cfg.seed == 7:
            raise MetarunError("seed=7: brings bad luck; give another seed")
        if cfg.seed == 8:
            raise RuntimeError("a crash")
        if cfg.seed == 9:
            raise KeyboardInterrupt
        (folder / "manifest.json").write_text(json.dumps(list(cfg.composed.overrides)))

    module = types.ModuleType("metarun.run")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "metarun.run", module)
    return seen


def folders() -> list[str]:
    return sorted(str(path.parent.relative_to(Path.cwd() / "outputs")) for path in Path.cwd().rglob("manifest.json"))


def test_run_gets_a_checked_config_and_its_folder(runs: list[DictConfig]) -> None:
    assert main(["+experiment=movielens_maml", "backbone.dim=8"]) == 0
    (cfg,) = runs
    assert (cfg.name, cfg.backbone.dim) == ("movielens_maml", 8)
    assert cfg == config.compose(["+experiment=movielens_maml", "backbone.dim=8"])
    assert folders() == [f"movielens_maml/{config.run_id(['+experiment=movielens_maml', 'backbone.dim=8'])}"]
    saved = OmegaConf.load(Path("outputs") / folders()[0] / ".hydra" / "overrides.yaml")
    assert list(saved) == ["+experiment=movielens_maml", "backbone.dim=8"]


def test_same_command_has_the_same_folder_and_never_a_new_one(runs: list[DictConfig]) -> None:
    for _ in range(2):
        assert main(["seed=1"]) == 0
    assert main(["seed=1", "resume=never"]) == 0
    first, second = folders()
    assert second == f"{first}.2"


def test_sweep_and_single_run_share_folders(runs: list[DictConfig]) -> None:
    assert main(["-m", "strategy=meta/maml,[transfer/finetune,meta/ridge]", "seed=0,1", "tuned.maml.inner_lr=0.3"]) == 0
    assert len(runs) == 4
    assert [len(config.strategies(cfg)) for cfg in runs] == [1, 1, 2, 2]
    before = folders()
    assert main(["strategy=[transfer/finetune,meta/ridge]", "seed=1", "tuned.maml.inner_lr=0.3"]) == 0
    assert folders() == before


def test_sweep_over_a_pattern(runs: list[DictConfig]) -> None:
    assert main(["-m", "strategy=glob(meta/*)"]) == 0
    assert {config.strategies(cfg)[0] for cfg in runs} >= {"meta/maml", "meta/ridge", "meta/update_rule"}


def test_refused_run_is_one_line(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seed=7"]) == 2
    assert capsys.readouterr().err == "metarun: seed=7: brings bad luck; give another seed\n"


def test_sweep_goes_on_after_a_refused_run(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=7,1"]) == 2
    assert [cfg.seed for cfg in runs] == [7, 1]
    assert capsys.readouterr().err == "metarun: seed=7: brings bad luck; give another seed\n"


def test_refused_run_elsewhere_raises_for_its_launcher(runs: list[DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that starts jobs in processes of their own has to see that one was refused."""
    from hydra.core.hydra_config import HydraConfig

    from metarun.cli import _job

    task = types.SimpleNamespace(overrides=types.SimpleNamespace(task=["seed=7"]))
    monkeypatch.setattr(HydraConfig, "get", lambda: task)
    monkeypatch.setattr(HydraConfig, "initialized", lambda: False)
    with pytest.raises(MetarunError, match="bad luck"):
        _job(OmegaConf.create())


def test_crash_has_a_traceback(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seed=8"]) == 1
    err = capsys.readouterr().err
    assert "RuntimeError: a crash" in err
    assert "in run" in err


def test_interrupt_says_how_to_go_on(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seed=9", "name=a b"]) == 130
    assert capsys.readouterr().err.endswith(
        "Stopped. The same command takes the run up where it was saved: metarun seed=9 'name=a b'\n"
    )


def test_interrupt_that_lightning_turned_into_an_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_words: list[str]) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr("metarun.cli._dispatch", leave)
    assert main(["seed=1"]) == 130


def test_whole_sweep_is_checked_before_its_first_run(
    runs: list[DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "seed=0,1,x"]) == 2
    assert main(["-m", "strategy=transfer/finetune,meta/maml", "strategy.meta.inner_lr=0.1"]) == 2
    assert not runs
    first, second = capsys.readouterr().err.splitlines()
    assert first == "metarun: seed=x: wrong type, give int >= 0"
    assert "this run has no meta strategy, it has transfer/finetune" in second


def test_outputs_that_cannot_be_written(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert main(["paths.outputs=file/x"]) == 2
    assert not runs
    assert capsys.readouterr().err.startswith("metarun: paths.outputs=file/x: cannot be written (")


FLAGS = [
    (["--foo"], "--foo: there is no such flag."),
    (["--multirn", "seed=1"], "--multirn: there is no such flag. Did you mean '--multirun'?"),
    (
        ["--config-dir", "x"],
        "--config-dir: metarun takes configs from its own package and from the folder METARUN_CONF",
    ),
    (["-m", "hydra/launcher=nope"], "there is no launcher 'nope'; installed: basic"),
    (["-m", "hydra/sweeper=nope", "seed=1"], "there is no sweeper 'nope'; installed: basic"),
    (["-m", "hydra.verbose=true,false"], "hydra.verbose=true,false: Hydra's own settings take one value"),
    (["-m", "seed=interval(0,3)"], "an interval needs a sweeper that searches"),
    (["-m", "strategy=glob(mta/*)"], "strategy=glob(mta/*): matches no strategy; there are"),
]


@pytest.mark.parametrize(("words", "line"), FLAGS, ids=[" ".join(words) for words, _ in FLAGS])
def test_flags_and_sweeps_that_are_refused(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert line in capsys.readouterr().err


def test_missing_plugin_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hydra")
    if "submitit_slurm" in _launchers():
        pytest.skip("the plugin is installed")
    assert main(["-m", "hydra/launcher=submitit_slurm", "seed=0,1"]) == 2
    assert "needs the plugin: pip install hydra-submitit-launcher" in capsys.readouterr().err


def _launchers() -> list[str]:
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()
    return [name.removesuffix(".yaml") for name in ConfigStore.instance().repo["hydra"]["launcher"]]


def test_composed_config_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "job", "seed=3"]) == 0
    assert "seed: 3" in capsys.readouterr().out


def test_points_of_a_sweep() -> None:
    words = ["seed=0,1,2", "backbone=mf,mf_features", "name=x"]
    points = list(overrides.points(words))
    assert len(points) == len({tuple(point) for point in points}) == 6
    assert points[0] == ["seed=0", "backbone=mf", "name=x"]
    many = list(overrides.points([f"seed={','.join(map(str, range(30)))}", "backbone=mf,mf_features"]))
    assert len(many) == 31


def test_flags_are_told_from_overrides() -> None:
    line = commandline.read(["-m", "--info", "config", "seed=1"])
    assert line == commandline.CommandLine(["-m", "--info", "config"], ["seed=1"])
    assert line.multirun
    assert line.inspects


# Pages


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


def test_verbs_are_the_ones_that_typer_knows() -> None:
    from metarun import cli, verbs

    names: list[Any] = [command.name for command in verbs.app.registered_commands]
    names += [group.name for group in verbs.app.registered_groups]
    assert sorted(cli.VERBS) == sorted(overrides.VERBS) == sorted(names)
