"""Composing a config: the user's own files, tuned values, grids, options loaded beside it, run ids and folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metarun import config, options
from metarun.errors import MetarunError

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mylab(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's package, as its user brings it in."""
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.setenv("METARUN_CONF", str(TESTS / "mylab" / "conf"))
    monkeypatch.setenv("METARUN_TRUST", "mylab")


def complaint(*overrides: str) -> str:
    with pytest.raises(MetarunError) as caught:
        config.compose(overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_users_package_is_found_and_trusted(mylab: None) -> None:
    cfg = config.compose(["+experiment=mylab_timid", "tuned.timid.inner_lr=0.3"])
    assert config.strategies(cfg) == ["meta/timid"]
    assert cfg.strategy.meta._target_ == "mylab.rules.Timid"
    assert cfg.strategy.meta.inner_lr == 0.3


def test_users_package_is_refused_without_trust(mylab: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METARUN_TRUST")
    line = complaint("strategy=meta/timid")
    assert line.startswith("strategy.meta._target_=mylab.rules.Timid: 'mylab' is not trusted")
    assert line.endswith("trust it on the shell: METARUN_TRUST=mylab")
    monkeypatch.setenv("METARUN_TRUST", "mylabel")
    assert "is not trusted" in complaint("strategy=meta/timid")


def write(folder: Path, option: str, text: str) -> None:
    path = folder / f"{option}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_users_option_wins_over_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = options.find("backbone/mf").read_text(encoding="utf-8")
    write(tmp_path, "backbone/mf", ours.replace("dim: 32", "dim: 5"))
    assert config.compose([]).backbone.dim == 32
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    assert config.compose([]).backbone.dim == 5


def test_tuned_values_reach_the_strategy_and_the_command_line_wins() -> None:
    assert config.compose(["tuned.maml.inner_lr=0.3"]).strategy.meta.inner_lr == 0.3
    both = config.compose(["tuned.maml.inner_lr=0.3", "strategy.meta.inner_lr=0.7"])
    assert both.strategy.meta.inner_lr == 0.7


def test_a_grid_given_replaces_the_one_in_the_file() -> None:
    grid = config.compose(["strategy.meta.tune={steps: [1, 5]}"]).strategy.meta.tune
    assert OmegaConf.to_container(grid) == {"steps": [1, 5]}
    added = config.compose(["strategy.meta.tune.steps=[1]"]).strategy.meta.tune
    assert set(added) > {"steps"}
    assert not config.compose(["strategy.meta.tune={}"]).strategy.meta.tune


def test_a_grid_may_come_with_the_data() -> None:
    def found(*words: str) -> Any:
        return OmegaConf.to_container(config.compose(list(words)), resolve=True)["strategy"]["meta"]["tune"]  # type: ignore[index,call-overload]

    tuned = "tuned.maml.tune={steps: [2, 4]}"
    assert found(tuned) == {"steps": [2, 4]}
    assert found(tuned, "strategy.meta.tune={shrink: [1]}") == {"shrink": [1]}
    assert set(found("strategy.meta.tune.steps=[1]")) == {"inner_lr", "shrink", "steps"}
    assert found("tuned.maml.tune=null") is None
    assert found("strategy.meta.tune=null") is None
    with pytest.raises(MetarunError, match="strategy/meta/maml has no field 'step'"):
        found("tuned.maml.tune={step: [2]}")


def test_composing_twice_changes_nothing() -> None:
    """The command line hands Hydra what `check` spelled out, and each job checks it again."""
    from metarun.commandline import CommandLine, check

    once = check(
        CommandLine([], ["tuned.maml.steps=2", "strategy.meta.tune={steps: [1]}", "+experiment=movielens_maml"])
    )
    assert check(CommandLine([], once)) == once
    assert config.compose(once) == config.compose(["+experiment=movielens_maml", *once[:-1]])


def test_loaded_option_is_plain_and_resolved() -> None:
    cfg = config.compose(["tuned.maml.inner_lr=0.3", "strategy=transfer/finetune"])
    maml = config.load_option(cfg, "strategy/meta/maml")
    assert maml.inner_lr == 0.3
    assert "strategy" not in maml
    with pytest.raises(MetarunError, match="Did you mean 'baseline/ridge'"):
        config.load_option(cfg, "strategy/baseline/rigde")


def test_option_built_on_another_inherits_its_fields() -> None:
    cfg = config.compose(["pretrain=plain"])
    assert cfg.pretrain.loss == "half_sum"
    assert config.load_option(cfg, "pretrain/plain") == cfg.pretrain


def test_run_id_is_of_what_changes_results() -> None:
    plain = config.run_id(["+experiment=movielens_maml", "seed=1"])
    assert re.fullmatch(r"[0-9a-f]{8}", plain)
    assert plain == config.run_id(["seed=1", "++experiment=movielens_maml".replace("++", "+")])
    assert plain == config.run_id(
        ["paths.outputs=x", "resume=never", "seed=1", "+experiment=movielens_maml", "hydra.verbose=true"]
    )
    assert plain == config.run_id(["+experiment=movielens_maml", "seed=0", "seed=1"])
    assert plain != config.run_id(["+experiment=movielens_maml", "seed=2"])
    assert config.run_id(["strategy=[meta/maml, online/sgd]"]) == config.run_id(["strategy=[meta/maml,online/sgd]"])


def test_run_folder_counts_up_where_resume_is_never(tmp_path: Path) -> None:
    place = f"paths.outputs={tmp_path}"
    folder = config.run_folder(config.compose([place]))
    assert folder.parent == tmp_path / "run"
    folder.mkdir(parents=True)
    assert config.run_folder(config.compose([place, "resume=never"])) == folder
    (folder / "manifest.json").write_text("{}")
    assert config.run_folder(config.compose([place])) == folder
    assert config.run_folder(config.compose([place, "resume=never"])).name == f"{folder.name}.2"


def test_config_is_closed() -> None:
    cfg = config.compose([])
    with pytest.raises(Exception, match="not in struct"):
        cfg.backbone.dmi = 3
