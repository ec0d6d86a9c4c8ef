"""A file of answers is data: it runs no code, and names no class that this process does not trust."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import made
import pytest
import torch

import metarun
from metarun import store
from metarun.errors import MetarunError


class Evil:
    """What a pickle may do."""

    def __reduce__(self) -> Any:
        """Leave a mark."""
        return os.mkdir, ("evil",)


def refusal(run: Path, **nodes: Any) -> str:
    content = made.content()
    content["nodes"].update(nodes)
    store.write(run / "answers.ckpt", content)
    with pytest.raises(MetarunError) as error:
        metarun.load(run)
    return str(error.value)


def test_a_pickle_is_not_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "rule": Evil()}, run / "answers.ckpt")
    with pytest.raises(MetarunError, match="holds more than values and tensors"):
        metarun.load(run)
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("os.system", "backbone._target_=os.system: 'os' is not trusted"),
        ("torch.serialization.os.system", "there is no such class here"),
        ("torch.hub.load", "answers are built from torch modules only"),
        ("metarun.store.torch.load", "there is no such class here"),
        ("metarun.backbones.mf.Nothing", "there is no such class here"),
        ("metarun.nothing.Nothing", "there is no such class here"),
        (None, "'None' is not trusted"),
    ],
)
def test_a_class_that_is_not_trusted_is_refused(run: Path, target: str, told: str) -> None:
    assert told in refusal(run, backbone={"_target_": target, "command": "touch evil"})


def test_a_class_inside_another_node_is_refused_too(run: Path) -> None:
    inside = {**made.STRATEGIES["fixed_share"], "rule": {"_target_": "subprocess.run", "_partial_": True}}
    assert "strategy.rule._target_=subprocess.run" in refusal(run, strategy=inside)


def test_a_folder_cannot_widen_trust(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METARUN_TRUST", raising=False)
    (run / "METARUN_TRUST").write_text("mylab")
    (run / ".env").write_text("METARUN_TRUST=mylab")
    assert "'mylab' is not trusted" in refusal(run, strategy={"_target_": "mylab.rules.Shift"}, METARUN_TRUST="mylab")
    monkeypatch.setenv("METARUN_TRUST", "json")  # trusted on the shell, and still no module
    assert "modules only" in refusal(run, strategy={"_target_": "json.JSONDecoder"})


def test_other_versions_and_damage_are_told(run: Path) -> None:
    path = run / "answers.ckpt"
    store.write(path, made.content() | {"format": 0})
    with pytest.raises(MetarunError, match=r"another version of metarun \(format 0.*resume=never"):
        metarun.load(run)
    whole = made.content()
    store.write(path, whole)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(MetarunError, match="cannot read"):
        metarun.load(run)
    store.write(path, {"model": 1})
    with pytest.raises(MetarunError, match="holds no answers of metarun"):
        metarun.load(run)
    store.write(path, {name: value for name, value in whole.items() if name != "scale"})
    with pytest.raises(MetarunError, match="lacks 'scale'"):
        metarun.load(run)
    whole["rule"].pop("model.head.weight")
    store.write(path, whole)
    with pytest.raises(MetarunError, match="does not fit this version of metarun"):
        metarun.load(run)
