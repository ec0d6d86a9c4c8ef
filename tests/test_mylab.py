"""A user's package, brought in by METARUN_CONF and METARUN_TRUST: its rules keep the laws and go through a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from laws import LAWS
from small_run import SMALL, write_ratings
from toys import rule, tasks

from metarun import config
from metarun.errors import MetarunError

HERE = Path(__file__).parent


@pytest.fixture
def mylab(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its user types before the command."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("METARUN_CONF", str(HERE / "mylab" / "conf"))
    monkeypatch.setenv("METARUN_TRUST", "mylab")


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("method", ["meta/timid", "meta/shift"])
def test_its_rules_keep(mylab: None, method: str, law: str) -> None:
    made = rule(method)
    assert type(made).__module__ == "mylab.rules"
    LAWS[law](made, tasks(3))


def test_its_rules_are_not_built_without_trust(mylab: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METARUN_TRUST")
    with pytest.raises(MetarunError, match="METARUN_TRUST=mylab"):
        rule("meta/shift")
    with pytest.raises(MetarunError, match="METARUN_TRUST=mylab"):
        config.compose(["+experiment=mylab_shift"])


def test_a_whole_run_with_its_rules(tmp_path: Path) -> None:
    write_ratings(tmp_path / "data")
    words = [word for word in SMALL if not word.startswith(("evaluate.against", "tuned.", "pipeline.rounds"))]
    command = [
        sys.executable,
        "-c",
        "from metarun.cli import main; raise SystemExit(main())",
        "+experiment=mylab_shift",
    ]
    shell = {
        "METARUN_CONF": str(HERE / "mylab" / "conf"), "METARUN_TRUST": "mylab", "METARUN_DATA": str(tmp_path / "data"),
        "METARUN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "",
    }  # fmt: skip
    done = subprocess.run(
        [*command, *words, "tuned.shift.damping=30.0"],
        cwd=tmp_path, env={**os.environ, **shell}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (tmp_path / "outputs" / "mylab_shift").iterdir()
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["validation"]) == {"meta/shift", "meta/timid", "baseline/ridge"}
    assert summary["winner"] in ("meta/shift", "meta/timid")
    assert summary["tuned"]["meta/shift"]["5"]["grid"] == {"factor": [0.5, 1.0, 2.0]}
    # what the outer loss learned is kept under the name that the user's class gave it
    left = torch.load(folder / "checkpoints" / "1-meta" / "model.ckpt", weights_only=True)
    assert left["rule"]["log_damping"] != torch.tensor(30.0).log()
