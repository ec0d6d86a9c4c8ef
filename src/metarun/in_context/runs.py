"""The network that a finished run has meta-trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import metarun
from metarun import store
from metarun.errors import MetarunError
from metarun.in_context.network import Network
from metarun.report.runs import find_run
from metarun.results import SUMMARY

RULE = "metarun.strategies.meta.in_context.InContext"
KINDS = {"classes": "classifier", "number": "regressor"}
ROWS, FEATURES = 1000, 100
"""The largest table that answers were checked for; one network serves tables of any size, training sees small ones."""


def network_of(run: str | Path, outputs: str | Path, kind: str) -> tuple[Network, dict[str, Any]]:
    """Return the network of a run in float64 and what is known about it; kind: "classifier" or "regressor".

    Raises:
        MetarunError: the run is not finished, did not train such a network, or trained one of the other kind.
    """
    folder = find_run(str(run), outputs)
    if not (folder / SUMMARY).is_file():
        raise MetarunError(f"run={run}: {folder} is not finished; the command that started it takes it up")
    stages = sorted((folder / "checkpoints").glob(f"*-meta/{store.MODEL}"), key=lambda p: store.in_order(p.parent.name))
    content = store.read(stages[-1]) if stages else {}
    config = content.get("config", {})
    strategy, dataset = dict(config.get("strategy", {}).get("meta", {})), config.get("dataset", {})
    if strategy.pop("_target_", None) != RULE or "target" not in dataset:
        raise MetarunError(
            f"run={run}: {folder} has no network that reads plain rows of numbers; give a run of "
            f"metarun +experiment=prior_{kind}, or leave run out for the packaged one"
        )
    if KINDS[dataset["target"]] != kind:
        raise MetarunError(
            f"run={run}: {folder} was meta-trained with dataset.target={dataset['target']}, which makes a "
            f"{KINDS[dataset['target']]}; give a run of metarun +experiment=prior_{kind}"
        )
    network = Network(**strategy)
    own, place = content["rule"], "network."
    network.load_state_dict({name.removeprefix(place): own[name] for name in own if name.startswith(place)})
    limits = {"rows": ROWS, "features": FEATURES} | ({"classes": dataset["classes"]} if kind == "classifier" else {})
    facts = {
        "limits": limits,
        "metarun": metarun.__version__,
        "experiment": config["name"],
        "steps": content["steps"],
        "dataset": {name: value for name, value in dataset.items() if name not in ("_target_", "tuned")},
        "meta": config["pipeline"]["meta"],
        "seed": config["seed"],
    }
    return network.double().eval().requires_grad_(False), facts
