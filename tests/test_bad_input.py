"""Bad input, typed or in the user's own files, is refused in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarun import build, config
from metarun.cli import main
from metarun.errors import MetarunError


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA"):
        monkeypatch.delenv(name, raising=False)


def complaint(*overrides: str) -> str:
    with pytest.raises(MetarunError) as caught:
        config.compose(overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    (["dataset.supports=[]"], "dataset.supports=[]: wrong type, give nonempty list of int >= 0"),
    (["dataset.supports=[1,-1]"], "dataset.supports=[1, -1]: wrong type, give nonempty list of int >= 0"),
    (["evaluate.thresholds=[high]"], "evaluate.thresholds=['high']: wrong type, give list of float"),
    (["strategy=adaptive/fixed_share", "strategy.adaptive.rates=[]"], "rates=[]: wrong type, give nonempty list of"),
    (["trainer.threads=0"], "trainer.threads=0: out of bounds, give null | int >= 1"),
    (["pipeline.repretrain=nevr"], "repretrain=nevr: not allowed, give never | each_round. Did you mean 'never'?"),
    (["strategy=[meta/maml,meta/ridge]"], "meta/maml and meta/ridge are of one family, a run takes one of each"),
    (["strategy=null"], "strategy=null: every run needs one; choose from transfer/baselineplusplus"),
    (["dataset.split=warm_80_20"], "dataset.split=warm_80_20 has no unseen users to adapt to"),
    (["evaluate.prequential=true"], "evaluate.prequential=true needs an order in time"),
    (
        ["strategy=online/sgd", "strategy.online.moves=all"],
        "strategy.online.moves=all adapts the rows of a whole task, which a stream does not know in advance: use strat",
    ),
    (
        ["evaluate.prequential=true", "dataset.split=time", "strategy.meta.moves=all"],
        "in advance: use strategy.meta.moves=head, or evaluate.prequential=false",
    ),
    (["~backbone"], "~backbone: every run needs one; choose from audio_cnn, bag, cnn_small"),
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
        "neither a verb (advise, audit, data, explain, list, predict, recommend, report, show, update) nor key=value. "
        "Did you mean +experiment=movielens_maml?",
    ),
    (
        ["lst"],
        "recommend, report, show, update) nor key=value. Did you mean 'list'?",
    ),
    (["mf_features"], "mf_features: did you mean metarun backbone=mf_features?"),
    (["seed=1", "list"], "list: a verb comes first: metarun list"),
    (["tuned.mmal.inner_lr=1"], "tuned.mmal: no method 'mmal' reads tuned values. Did you mean 'maml'?"),
    (["tuned.maml.iner_lr=1"], "tuned.maml.iner_lr: maml reads no tuned 'iner_lr'. Did you mean 'inner_lr'?"),
    (["tuned.maml.anchor=1"], "tuned.maml.anchor: maml reads no tuned 'anchor'."),
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
    (
        ["logger.wandb.mode=online"],
        "logger.wandb.mode=online: this run has no logger 'wandb'; choose it with logger=wandb",
    ),
    (["logger=tensorbord"], "logger=tensorbord: there is no logger 'tensorbord'. Did you mean 'tensorboard'?"),
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


EVIL = {"_target_": "torch.serialization.os.system", "command": "true"}


@pytest.mark.parametrize(
    ("node", "key"),
    [(EVIL, "_target_"), ({"rule": EVIL}, "rule._target_"), ({"a": [0, {"b": EVIL}]}, "a.1.b._target_")],
)
def test_a_trusted_name_that_leads_elsewhere_is_refused(node: dict[str, object], key: str) -> None:
    with pytest.raises(MetarunError) as caught:
        build.check_all("strategy.meta", node)
    assert str(caught.value) == (
        f"strategy.meta.{key}=torch.serialization.os.system: leads to something of 'posix', which is not trusted; "
        "give a class of metarun, torch, pytorch_lightning"
    )


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
        "# @package strategy.meta\n# needs: tasks, class descriptions\n_target_: metarun.model.Model\n",
        ["strategy=meta/zero_shot"],
        "strategy/meta/zero_shot needs class descriptions, which dataset/movielens and objective/squared do not offer "
        "(they offer source",
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
