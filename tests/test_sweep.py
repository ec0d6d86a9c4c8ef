"""What a sweep is refused for, in its own words, and the data that its jobs find."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarun import sweep
from metarun.config import compose
from metarun.errors import MetarunError

SITE = """# metarun hydra/launcher=mysite
# Ours.
defaults:
  - submitit_slurm
  - _self_
partition: gpu  # str; ours
"""
METHODS = ["strategy=meta/maml,meta/ridge", "strategy.meta.inner_lr=0.3"]


def test_a_setting_of_one_method_is_refused_with_its_own_form() -> None:
    point = ["strategy=meta/ridge", "strategy.meta.inner_lr=0.3"]
    said = sweep.of_one_method(METHODS, point)
    assert said is not None
    assert said.startswith(
        "strategy.meta.inner_lr=0.3: meta/ridge of this sweep has no field 'inner_lr', only meta/maml"
    )
    assert said.endswith("set it for one method: tuned.maml.inner_lr=0.3")


def test_a_setting_without_such_a_form_needs_a_command_of_its_own() -> None:
    words = ["strategy=meta/maml,meta/ridge", "strategy.meta.pull=3"]
    said = sweep.of_one_method(words, ["strategy=meta/maml", "strategy.meta.pull=3"])
    assert said is not None
    assert said.endswith("only meta/ridge has; give the others a command of their own")


@pytest.mark.parametrize(
    "words", [["strategy=meta/ridge", "strategy.meta.inner_lr=0.3"], ["seed=0,1", "backbone.dmi=3"]]
)
def test_other_refusals_are_left_as_they_are(words: list[str]) -> None:
    assert sweep.of_one_method(words, words) is None


def test_auto_is_pinned_wherever_it_stands() -> None:
    assert sweep.pinned(["seed=0,1"], "sample") == ["seed=0,1", "dataset.version=sample"]
    assert sweep.pinned(["dataset.version=auto,1m", "seed=1"], "100k") == ["dataset.version=100k,1m", "seed=1"]
    assert sweep.pinned(["dataset.version=auto,100k"], "100k") == ["dataset.version=100k"]


def test_on_a_cluster_a_job_may_be_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hydra/launcher").mkdir(parents=True)
    (tmp_path / "hydra/launcher/mysite.yaml").write_text(SITE)
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    cfg = compose(["trainer=ddp_cpu"])
    sweep.check_processes([cfg], ["hydra/launcher=mysite"])
    for launcher in ([], ["hydra/launcher=basic"], ["hydra/launcher=joblib"]):
        with pytest.raises(MetarunError, match="a job of this machine is one process"):
            sweep.check_processes([cfg], launcher)
