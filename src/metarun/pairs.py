"""Pairs of options that make no sense together, refused before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from metarun.errors import MetarunError


def check_pairs(cfg: DictConfig, strategies: Sequence[str]) -> None:
    """Raise MetarunError for an impossible pair, in words that say which option to change."""
    split = OmegaConf.select(cfg, "dataset.split")
    if split == "warm_80_20" and strategies:
        raise MetarunError(
            "dataset.split=warm_80_20 has no unseen users to adapt to, so "
            f"strategy={','.join(strategies)} has no task: use dataset.split=cold, or strategy=[] for pretraining alone"
        )
    if OmegaConf.select(cfg, "evaluate.prequential") and split != "time":
        raise MetarunError(
            f"evaluate.prequential=true needs an order in time, which dataset.split={split} has not: "
            "use dataset.split=time"
        )
    for name in strategies:
        family = name.split("/")[0]
        key = f"strategy.{family}.rule.moves" if family == "adaptive" else f"strategy.{family}.moves"
        streamed = family in ("online", "adaptive") or OmegaConf.select(cfg, "evaluate.prequential")
        if streamed and OmegaConf.select(cfg, key) == "all":
            raise MetarunError(
                f"{key}=all adapts the rows of a whole task, which a stream does not know in advance: use {key}=head"
                + ("" if family in ("online", "adaptive") else ", or evaluate.prequential=false")
            )
