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
