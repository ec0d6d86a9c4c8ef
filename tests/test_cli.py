"""The command line from end to end: runs through Hydra, sweeps, what is refused, and exit codes."""

from __future__ import annotations

import json
import logging
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from metarun import commandline, config, overrides
from metarun.cli import job, main
from metarun.errors import MetarunError

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("metarun.data.movielens.resolve", lambda version, folder: "sample")  # no network in tests
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
    words = ["+experiment=movielens_maml", "backbone.dim=8", "dataset.version=sample"]
    assert cfg == config.compose(words)
    assert folders() == [f"movielens_maml/{config.run_id(words)}"]
    saved = OmegaConf.load(Path("outputs") / folders()[0] / ".hydra" / "overrides.yaml")
    assert list(saved) == words


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
    assert (
        main(
            [
                "-m",
                "strategy=glob(transfer/*,exclude=[transfer/ials,transfer/base*,transfer/l*,transfer/probe,transfer/unfreeze])",
            ]
        )
        == 0
    )
    assert {config.strategies(cfg)[0] for cfg in runs} == {"transfer/finetune", "transfer/ridge"}


def test_one_that_does_not_fit_stops_a_sweep_over_a_pattern_before_it_begins(
    runs: list[DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "strategy=glob(transfer/*,exclude=transfer/base*)"]) == 2
    err = capsys.readouterr().err
    assert "strategy/transfer/ials needs interactions" in err
    assert err.count("\n") == 1
    assert not runs


def test_refused_run_is_one_line(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seed=7"]) == 2
    assert capsys.readouterr().err == "metarun: seed=7: brings bad luck; give another seed\n"


def test_sweep_goes_on_after_a_refused_run(runs: list[DictConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=7,1"]) == 2
    assert [cfg.seed for cfg in runs] == [7, 1]
    assert capsys.readouterr().err.splitlines() == [
        "metarun: seed=7: brings bad luck; give another seed",
        "1 of 2 jobs finished.",
        "  seed=7: refused, seed=7: brings bad luck; give another seed",
    ]


def test_sweep_goes_on_after_a_crash_and_names_its_log(
    runs: list[DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "seed=8,1"]) == 1
    assert [cfg.seed for cfg in runs] == [8, 1]
    first, *last = capsys.readouterr().err.splitlines()
    found = re.fullmatch(r"\[1\] seed=8: failed, RuntimeError: a crash \(log: (.*)\)", first)
    assert found
    assert last == ["1 of 2 jobs finished.", f"  {first.removeprefix('[1] ')}"]
    assert "RuntimeError: a crash" in Path(found[1]).read_text(encoding="utf-8")


def test_a_job_in_a_process_of_its_own_is_the_single_run(
    runs: list[DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seed=1", "dataset.version=sample"]) == 0
    assert job(["seed=1", "dataset.version=sample"]) == 0
    assert runs[0] == runs[1]
    assert len(folders()) == 1
    assert job(["seed=7"]) == 2
    assert capsys.readouterr().err == "metarun: seed=7: brings bad luck; give another seed\n"
    assert job(["seed=9"]) == 130


def test_crash_has_a_traceback(
    runs: list[DictConfig], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)  # with it Hydra lets the crash itself through
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


def test_interrupt_that_a_clean_up_turned_into_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_words: list[str]) -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise MetarunError("half done")

    monkeypatch.setattr("metarun.cli._dispatch", fail)
    assert main(["seed=1"]) == 130


def test_whole_sweep_is_checked_before_its_first_run(
    runs: list[DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "seed=0,1,x"]) == 2
    assert main(["-m", "strategy=transfer/finetune,meta/maml", "strategy.meta.inner_lr=0.1"]) == 2
    assert not runs
    first, second = capsys.readouterr().err.splitlines()
    assert first == "metarun: seed=x: wrong type, give int >= 0"
    assert "transfer/finetune of this sweep has no field 'inner_lr', only meta/maml has" in second
    assert second.endswith("tuned.maml.inner_lr=0.1")


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


def test_missing_plugin_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()
    stored = ConfigStore.instance().repo["hydra"]["sweeper"]
    for name in [name for name in stored if name.startswith("optuna")]:
        monkeypatch.delitem(stored, name)
    for word in ("hydra/sweeper=optuna", "+sweep=pretraining"):
        assert main(["-m", word, "seed=0,1"]) == 2
        assert f"metarun: {word}: needs a plugin: pip install 'metarun[sweep]'\n" in capsys.readouterr().err


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


def test_verbs_are_the_ones_that_typer_knows() -> None:
    from metarun import cli, verbs

    names: list[Any] = [command.name for command in verbs.app.registered_commands]
    names += [group.name for group in verbs.app.registered_groups]
    assert sorted(cli.VERBS) == sorted(overrides.VERBS) == sorted(names)


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib"]])
def test_a_sweep_of_runs_in_several_processes_is_refused_here(
    launcher: list[str], runs: list[DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *launcher, "trainer=cpu,ddp_cpu", "seed=0,1", "dataset.version=sample"]) == 2
    assert "trainer.devices=2 in a sweep: a job of this machine is one process" in capsys.readouterr().err
    assert not runs


def test_auto_is_resolved_once_and_pinned_in_all_jobs(runs: list[DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("metarun.data.movielens.resolve", lambda version, folder: asked.append(version) or "sample")
    assert main(["-m", "+experiment=movielens_maml", "seed=0,1"]) == 0
    assert [cfg.dataset.version for cfg in runs] == ["sample", "sample"]
    assert asked == ["auto"]
    fetched: list[str] = []
    monkeypatch.setattr("metarun.data.movielens.fetch", lambda version, folder: fetched.append(version))
    assert main(["-m", "dataset.version=auto,100k", "seed=0,1"]) == 0
    assert [cfg.dataset.version for cfg in runs[2:]] == ["sample", "sample", "100k", "100k"]
    assert fetched == ["100k"], "named data is got before the first job"


def test_data_that_cannot_be_had_is_told_before_the_first_job(
    runs: list[DictConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metarun.data.download.urllib.request.urlopen", _offline)
    assert main(["-m", "dataset.version=1m", "seed=0,1"]) == 2
    assert "MovieLens 1m is not there" in capsys.readouterr().err
    assert not runs


def _offline(*_: object, **__: object) -> None:
    raise ConnectionError("no network")
