"""Who takes part: every backbone, pretraining and strategy that the data can be given to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from metarun import config, options
from metarun.errors import MetarunError, did_you_mean

ENTERED = ("transfer", "online", "adaptive", "meta", "baseline")
ESTIMATORS = ("baseline/logistic", "baseline/boosting", "baseline/tfidf", "baseline/svm", "baseline/late_average")
"""Baselines that are an answer by themselves; the others are there to be beaten."""


class Candidate(NamedTuple):
    """One way of doing it."""

    backbone: str
    pretrain: str
    strategy: str
    words: tuple[str, ...]  # what a run of it is typed as

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return f"{self.strategy} on {self.backbone}" + ("" if self.pretrain == "none" else f", {self.pretrain}")

    def config(self) -> Any:
        """Return its config, judged alone; None where its parts do not go together."""
        try:
            return config.compose([*self.words, "evaluate.against=[]", f"evaluate.reference={self.strategy}"])
        except MetarunError:  # the user's own words compose, see `entered`: it is these parts that do not fit
            return None


def base(dataset: str) -> list[str]:
    """Return the words of the experiment that a dataset's file names, or of the experiment of that name.

    Raises:
        MetarunError: there is no such dataset or experiment, or it is no dataset of tasks.
    """
    if f"experiment/{dataset}" in every() and f"dataset/{dataset}" not in every():
        return [f"+experiment={dataset}"]
    if f"dataset/{dataset}" not in every():
        known = options.names("dataset")
        raise MetarunError(
            f"advise {dataset}: there is no such dataset.{did_you_mean(dataset, known)} See metarun list"
        )
    header = options.header(f"dataset/{dataset}")
    if "tasks" not in header.offers or "rows in order" in header.offers:
        raise MetarunError(
            f"advise {dataset}: is a stream, and the tournament is on tasks: metarun +experiment=streams_compare "
            "compares rules on a stream"
        )
    found = re.search(r"\+experiment=(\S+)", header.command)
    return [*([found[0]] if found else []), f"dataset={dataset}"]


def every() -> set[str]:
    """Return all options by name."""
    return {f"{group}/{name}" for group in ("dataset", "experiment") for name in options.names(group)}


def entered(words: Sequence[str]) -> list[Candidate]:
    """Return the candidates in the order in which they are tried: the experiment's backbone first, families in turn.

    Raises:
        MetarunError: the words compose to no config, or nothing can be given to the data.
    """
    home = config.compose(words)
    own = {group: chosen(home, group) for group in ("backbone", "pretrain")}
    backbones = [own["backbone"], *(name for name in fitting("backbone", home) if name != own["backbone"])]
    pretrains = list(dict.fromkeys([own["pretrain"], *fitting("pretrain", home, ("supervised", "none"))]))
    kept = tuple(word for word in words if not word.startswith("strategy="))
    found = []
    for backbone in backbones:
        by_family: dict[str, list[Candidate]] = {family: [] for family in ENTERED}
        for pretrain in pretrains:
            for strategy in fitting("strategy", home):
                family = strategy.split("/")[0]
                if family == "baseline":  # they read the inputs, whatever the backbone
                    if strategy not in ESTIMATORS or (backbone, pretrain) != (backbones[0], pretrains[0]):
                        continue
                elif family != "meta" and pretrain == "none" and len(pretrains) > 1:
                    continue  # what adapts and does not learn has nothing to start from
                run = (*kept, f"backbone={backbone}", f"pretrain={pretrain}")
                alone = ("strategy=[]", f"evaluate.against=[{strategy}]", f"evaluate.reference={strategy}")
                run += alone if family == "baseline" else (f"strategy={strategy}",)
                by_family[family].append(Candidate(backbone, pretrain, strategy, run))
        found += [one for one in chain(*zip_longest(*by_family.values())) if one is not None]
    if not found:
        raise MetarunError(f"advise {' '.join(words)}: no strategy can be given to this data")
    return found


def chosen(cfg: Any, group: str) -> str:
    """Return which option of a group a config has."""
    return next((name.partition("/")[2] for name in cfg.composed.options if name.startswith(f"{group}/")), "none")


def fitting(group: str, cfg: Any, among: Sequence[str] | None = None) -> list[str]:
    """Return the options of a group, or those among some, whose needs the data and the objective offer."""
    offers = {
        offer
        for name in cfg.composed.options
        if name.startswith(("dataset/", "objective/"))
        for offer in options.header(name).offers
    }
    names = among or options.names(group)
    return [name for name in names if set(options.header(f"{group}/{name}").needs) <= offers]
