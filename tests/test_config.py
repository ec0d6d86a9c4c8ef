"""The config: every shipped YAML composes, is held against its constructor, and bad input is refused in one line."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metarun import config, options, schema
from metarun.cli import main
from metarun.errors import MetarunError

TESTS = Path(__file__).parent
EXPERIMENTS = options.names("experiment")
OPTIONS = [f"{group}/{name}" for group in options.groups() for name in options.names(group)]
BUILT = [option for option in OPTIONS if any(field.name == "_target_" for field in schema.schema(option))]
INJECTED = {
    "strategy": {"model"},
    "backbone": {"spec"},
    "head": {"backbone", "spec"},
    "pretrain": {"model", "spec"},
    "dataset": {"rounds"},
}
"""What metarun hands to a constructor beside the fields of its YAML."""
READ_BY_CODE = {"tuned"}


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


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name: str) -> None:
    cfg = config.compose([f"+experiment={name}"])
    assert cfg.name == name
    assert f"experiment/{name}" in cfg.composed.options
    assert all(family in cfg.strategy for family in (s.split("/")[0] for s in config.strategies(cfg)))


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.split("/")[1] != "baseline" and "experiment" not in o])
def test_every_option_composes(option: str) -> None:
    group, _, name = option.partition("/")
    sign = "" if group in schema.default_groups() else "+"
    assert option in config.compose([f"{sign}{group}={name}"]).composed.options


def test_every_strategy_serves_as_a_baseline() -> None:
    names = options.names("strategy")
    cfg = config.compose([f"evaluate.against=[{','.join(names)}]"])
    for name in names:
        assert config.load_option(cfg, f"strategy/{name}")["_target_"].startswith("metarun.")


@pytest.mark.parametrize("option", ["config", *OPTIONS])
def test_headers_open_with_the_command_that_uses_the_file(option: str) -> None:
    header = options.header(option)
    assert header.command.startswith("metarun ")
    assert header.about.endswith((".", "`"))
    line = header.command.removeprefix("metarun ").replace("'", "").split()
    overrides = [word for word in line if not word.startswith("-")]
    assert config.compose(overrides).name


@pytest.mark.parametrize("option", ["config", *(o for o in OPTIONS if not o.startswith("experiment/"))])
def test_every_field_has_help_and_a_default_that_its_spec_allows(option: str) -> None:
    for field in schema.schema(option):
        last = field.name.split(".")[-1]
        if last in schema.SPECIAL or last == "tuned" or re.fullmatch(r"\$\{[a-z.]+\}", str(field.default)):
            continue
        assert field.help, f"{option}: {field.name} has no help"
        if not str(field.default).startswith("${"):
            assert schema.problem(field.spec, field.default) is None, f"{option}: {field.name}"


def target(node: dict[str, Any]) -> type:
    module, _, name = node["_target_"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The names that a constructor takes, through **kwargs those of its base as well."""
    mine = dict(inspect.signature(cls).parameters)
    if any(p.kind is p.VAR_KEYWORD for p in mine.values()) and cls.__init__ is not object.__init__:
        mine = parameters(cls.__mro__[1]) | mine
    return {name: p for name, p in mine.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}


def built(node: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [part for value in node.values() if isinstance(value, dict) for part in built(value)]
    return ([node] if "_target_" in node else []) + inner


def defaults(option: str) -> dict[str, Any]:
    tree = OmegaConf.create()
    for field in schema.schema(option):
        value = field.default
        chosen = re.fullmatch(r"\$\{oc\.select:[^,]+,(.*)\}", value) if isinstance(value, str) else None
        OmegaConf.update(tree, field.name, schema.load(chosen[1]) if chosen else value, force_add=True)
    plain = OmegaConf.to_container(tree)
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


@pytest.mark.parametrize("option", BUILT)
def test_yaml_and_constructor_have_the_same_names(option: str) -> None:
    for node in built(defaults(option)):
        cls = target(node)
        takes = parameters(cls)
        given = set(node) - set(schema.SPECIAL) - READ_BY_CODE
        assert given <= set(takes), f"{option}: {cls.__name__} takes no {given - set(takes)}"
        group = option.split("/")[0]
        needed = {name for name, p in takes.items() if p.default is p.empty} - INJECTED.get(group, set())
        if not node.get("_partial_"):
            assert needed <= given, f"{option}: {cls.__name__} needs {needed - given}"


@pytest.mark.parametrize("option", BUILT)
def test_yaml_and_constructor_agree_on_defaults(option: str) -> None:
    """Two YAMLs that share a class differ in their values on purpose; there, the YAML has to allow the default."""
    shared = Counter(str(defaults(other)["_target_"]) for other in BUILT if options.header(other))
    values, specs = defaults(option), {field.name: field.spec for field in schema.schema(option)}
    for name, parameter in inspect.signature(target(values)).parameters.items():
        if parameter.default is parameter.empty or name not in values or parameter.default is None:
            continue
        if shared[values["_target_"]] == 1:
            assert values[name] == parameter.default, f"{option}: {name}"
        assert schema.problem(specs.get(name, ""), parameter.default) is None, f"{option}: {name}"


def test_every_field_without_a_constructor_is_read_by_code() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(config.__file__).parent.rglob("*.py"))
    for option in ["config", *(o for o in OPTIONS if o not in BUILT and not o.startswith("experiment/"))]:
        for field in schema.schema(option):
            last = field.name.split(".")[-1]
            assert re.search(rf"\.{last}\b|[\"']{last}[\"']", source), f"{option}: nothing reads {field.name}"


BAD = [
    (["backbone.dmi=3"], "backbone.dmi=3: there is no field 'backbone.dmi'. Did you mean 'backbone.dim'?"),
    (["+backbone.dmi=3"], "backbone.dmi=3: there is no field 'backbone.dmi'. Did you mean 'backbone.dim'?"),
    (["strateg=meta/maml"], "strateg=meta/maml: there is no field 'strateg'. Did you mean 'strategy'?"),
    (["strategy=meta/mamll"], "strategy=meta/mamll: there is no strategy 'meta/mamll'. Did you mean 'meta/maml'?"),
    (["strategy=maml"], "strategy=maml: there is no strategy 'maml'. Did you mean 'meta/maml'?"),
    (["+experiment=movielens_mam"], "there is no experiment 'movielens_mam'. Did you mean 'movielens_maml'?"),
    (["backbone.dim=big"], "backbone.dim=big: wrong type, give int >= 1"),
    (["backbone.dim=1.5"], "backbone.dim=1.5: wrong type, give int >= 1"),
    (["seed=true"], "seed=true: wrong type, give int >= 0"),
    (["name=12"], "name=12: wrong type, give str (a text of digits needs quotes of its own: \"'12'\")"),
    (["backbone.dim=0"], "backbone.dim=0: out of bounds, give int >= 1"),
    (["trainer.threads=0"], "trainer.threads=0: out of bounds, give null | int >= 1"),
    (["pipeline.repretrain=nevr"], "repretrain=nevr: not allowed, give never | each_round. Did you mean 'never'?"),
    (["strategy=[meta/maml,meta/ridge]"], "meta/maml and meta/ridge are of one family, a run takes one of each"),
    (["strategy=[]"], "strategy=[]: every run needs one; choose from transfer/finetune"),
    (["~backbone"], "~backbone: every run needs one; choose from mf"),
    (["strategy=baseline/ridge"], "a baseline is no strategy of a run; judge against it: 'evaluate.against=["),
    (["+strategy=meta/maml"], "+strategy=meta/maml: there is one already, drop the plus: strategy=meta/maml"),
    (["strategy/meta=maml"], "strategy/meta=maml: write strategy=meta/maml"),
    (["backbone@x=mf"], "backbone@x=mf: metarun has no group@package; write backbone=..."),
    (
        ["experiment=movielens_maml", "seed=3"],
        "an experiment is added with a plus. Did you mean metarun +experiment=movielens_maml seed=3?",
    ),
    (["movielens_maml"], "movielens_maml: did you mean metarun +experiment=movielens_maml?"),
    (
        ["movielens_mam"],
        "neither a verb (list, show, data, report) nor key=value. Did you mean +experiment=movielens_maml?",
    ),
    (["lst"], "lst: neither a verb (list, show, data, report) nor key=value. Did you mean 'list'?"),
    (["mf_features"], "mf_features: did you mean metarun backbone=mf_features?"),
    (["seed=1", "list"], "list: a verb comes first: metarun list"),
    (["tuned.mmal.inner_lr=1"], "tuned.mmal: no method 'mmal' reads tuned values. Did you mean 'maml'?"),
    (["tuned.maml.iner_lr=1"], "tuned.maml.iner_lr: maml reads no tuned 'iner_lr'. Did you mean 'inner_lr'?"),
    (["tuned.maml.moves=all"], "tuned.maml.moves: maml reads no tuned 'moves'."),
    (["tuned.maml.inner_lr=-1"], "tuned.maml.inner_lr=-1: out of bounds, give float > 0"),
    (["tuned.maml=1"], "tuned.maml=1: set a field, tuned.maml."),
    (["strategy.meta.tune={inner_lrr: [1]}"], "meta.tune.inner_lrr: strategy/meta/maml has no field 'inner_lrr'."),
    (["strategy.meta.tune={inner_lr: [1,-1]}"], "strategy.meta.tune.inner_lr=-1: out of bounds, give float > 0"),
    (["strategy.meta.tune.inner_lr=3"], "strategy.meta.tune.inner_lr=3: wrong type, give a list of values to try"),
    (
        [f"strategy.meta.tune={{inner_lr: {list(range(1, 6))}, steps: {list(range(1, 6))}}}"],
        "strategy.meta.tune: has 25 points, at most 24 are allowed",
    ),
    (["evaluate.against=[baseline/rigde]"], "there is no strategy 'baseline/rigde'. Did you mean 'baseline/ridge'?"),
    (
        ["evaluate.reference=baseline/rigde"],
        "evaluate.reference=baseline/rigde: there is no strategy 'baseline/rigde'. Did you mean",
    ),
    (
        ["strategy.meta._target_=os.system"],
        "strategy.meta._target_=os.system: 'os' is not trusted; give a class of metarun",
    ),
    (["+backbone.x={_target_: os.system}"], "backbone.x._target_=os.system: 'os' is not trusted"),
    (["seed=0,1,2"], "seed=0,1,2: several values are a sweep, add -m: metarun -m seed=0,1,2"),
    (["hydra/launcher=basic"], "a launcher serves sweeps only, add -m: metarun -m hydra/launcher=basic"),
    (["hydra.searchpath=[file:///x]"], "name the folder of your own configs in METARUN_CONF instead"),
    (["seed=[1,2"], "seed=[1,2: cannot be read, a bracket [] is not closed"),
    (["a b=3"], "a b=3: cannot be read, 'a b' is no name of a field; write key=value"),
    (["=3"], "=3: cannot be read, '' is no name of a field"),
    (["name='abc"], "name='abc: cannot be read, a quote ' is not closed; write key=value"),
    (["name=a#b"], "name=a#b: cannot be read, a#b has signs that need quotes"),
    (["name=a/b"], "name=a/b: names a folder, so it is not empty and has no slash"),
    (["~seed"], "~seed: config needs the field 'seed'"),
    (["~nothing"], "~nothing: there is no such field to delete"),
    (["+seed=3"], "+seed=3: the field exists, drop the plus: seed=3"),
    (["paths=3"], "'paths' is a section, set one of paths.outputs, paths.data"),
    (["seed=${nam}"], "seed=${nam}: cannot be resolved, Interpolation key 'nam' not found"),
    (
        ["strategy=transfer/finetune", "strategy.meta.inner_lr=1"],
        "strategy.meta.inner_lr=1: this run has no meta strategy, it has transfer/finetune",
    ),
]


@pytest.mark.parametrize(("overrides", "line"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_refused_in_one_line(overrides: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(overrides) == 2
    out, err = capsys.readouterr()
    assert not out
    assert line in err
    assert err.startswith("metarun: ")
    assert err.count("\n") == 1


def test_missing_user_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METARUN_CONF", "/nowhere/conf")
    assert complaint().startswith("METARUN_CONF=/nowhere/conf: no such folder; name the folder of your own configs")


def write(folder: Path, option: str, text: str) -> None:
    path = folder / f"{option}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


USER_FILES = [
    (
        "strategy/meta/zero_shot",
        "# @package strategy.meta\n# needs: tasks, class descriptions\n_target_: metarun.strategies.gradient.Gradient\n",
        ["strategy=meta/zero_shot"],
        "strategy/meta/zero_shot needs class descriptions, which dataset/movielens does not offer (it offers source",
    ),
    (
        "strategy/meta/stray",
        "_target_: metarun.strategies.gradient.Gradient\n",
        ["strategy=meta/stray"],
        "strategy/meta/stray.yaml: has to open with `# @package strategy.meta`",
    ),
    (
        "strategy/meta/late",
        "# metarun strategy=meta/late\n# @package strategy.meta\n_target_: metarun.strategies.gradient.Gradient\n",
        ["strategy=meta/late"],
        "strategy/meta/late.yaml: `# @package` must be its first line",
    ),
    (
        "strategy/meta/evil",
        "# @package strategy.meta\n# needs: tasks\n_target_: subprocess.call\nargs: [ls]\n",
        ["evaluate.against=[baseline/ridge,meta/evil]"],
        "meta/evil._target_=subprocess.call: 'subprocess' is not trusted",
    ),
    (
        "strategy/meta/wrong",
        "# @package strategy.meta\n# needs: tasks\n_target_: metarun.x\nrate: 2  # float 0..1; a rate\n",
        ["evaluate.against=[baseline/ridge,meta/wrong]"],
        "meta/wrong.rate=2: out of bounds, give float 0..1",
    ),
    (
        "experiment/typo",
        "# @package _global_\nname: typo\npipeline:\n  ronds: 3\n",
        ["+experiment=typo"],
        "experiment/typo.yaml: pipeline.ronds: there is no field 'pipeline.ronds'. Did you mean 'pipeline.rounds'?",
    ),
    (
        "experiment/phantom",
        "# @package _global_\nname: phantom\nstrategy:\n  meta:\n    inner_lr: 7\n",
        ["+experiment=phantom", "strategy=online/sgd"],
        "experiment/phantom.yaml: strategy.meta.inner_lr: this run has no meta strategy, it has online/sgd",
    ),
    (
        "experiment/headless",
        "name: headless\n",
        ["+experiment=headless"],
        "experiment/headless.yaml: experiment.name: an experiment's file has to open with `# @package _global_`",
    ),
    (
        "experiment/headless_too",
        "defaults:\n  - override /backbone: mf\nname: headless\n",
        ["+experiment=headless_too"],
        "experiment/headless_too.yaml: an experiment's file has to open with `# @package _global_`",
    ),
    (
        "experiment/lost",
        "# @package _global_\ndefaults:\n  - override /backbone: mff\nname: lost\n",
        ["+experiment=lost"],
        "there is no backbone 'mff'. Did you mean 'mf'?",
    ),
    (
        "experiment/broken",
        "# @package _global_\nname: [broken\n",
        ["+experiment=broken"],
        "experiment/broken.yaml: line ",
    ),
    (
        "experiment/twins",
        "# @package _global_\ndefaults:\n  - override /strategy: [meta/maml, meta/ridge]\nname: twins\n",
        ["+experiment=twins"],
        "strategy=[meta/maml,meta/ridge]: meta/maml and meta/ridge are of one family",
    ),
]


@pytest.mark.parametrize(("option", "text", "overrides", "line"), USER_FILES, ids=[case[0] for case in USER_FILES])
def test_faults_in_the_users_files(
    option: str, text: str, overrides: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, option, text)
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    assert line in complaint(*overrides)


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
