"""Runs that are cut short to see whether they run at all (trainer=smoke)."""

from __future__ import annotations

from omegaconf import DictConfig


def most(cfg: DictConfig, steps: int) -> int:
    """Return how many of a stage's steps are taken: all, unless the run is cut short."""
    return min(steps, cfg.trainer.steps or steps)


def warning(cfg: DictConfig) -> list[str]:
    """Return the line that has to stand beside the results of a run that is cut short; nothing for another one."""
    cut = [f"trainer.{name}={cfg.trainer[name]}" for name in ("steps", "tasks") if cfg.trainer[name] is not None]
    return [f"a check that this runs ({', '.join(cut)}): ITS NUMBERS MEAN NOTHING"] if cut else []
