"""Runs that are cut short to see whether they run at all (trainer=smoke)."""

from __future__ import annotations

from omegaconf import DictConfig

CUT = "cut short by"


def most(cfg: DictConfig, steps: int) -> int:
    """Return how many of a stage's steps are taken: all, unless the run is cut short."""
    return min(steps, cfg.trainer.steps or steps)


def setting(cfg: DictConfig) -> dict[str, str]:
    """Return what has to stand under every table of a run that is cut short; nothing for another one."""
    cut = [f"trainer.{name}={cfg.trainer[name]}" for name in ("steps", "tasks") if cfg.trainer[name] is not None]
    return {CUT: ", ".join(cut)} if cut else {}


def warning(cfg: DictConfig) -> list[str]:
    """Return the line that has to stand beside such results."""
    return [f"a check that it runs ({cut}), ITS NUMBERS MEAN NOTHING" for cut in setting(cfg).values()]
