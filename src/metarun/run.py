"""Read this first: config -> data, model, stages -> results."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from metarun import build, contest_stream, manifest, memory, report, resume
from metarun.config import run_folder
from metarun.contest import contest
from metarun.evaluate import Judge
from metarun.pipeline import Pipeline
from metarun.watch import Watch, first_rank, watching


@memory.told()
def run(cfg: DictConfig) -> dict[str, Any]:
    """Run what a config describes, or show it if it is finished, and return its summary.

    Raises:
        MetarunError: the data cannot be had, the run in this folder was another one, a loss is not a number.
    """
    began = time.monotonic()
    folder = Path(run_folder(cfg)).resolve()
    if cfg.trainer.threads is not None:
        torch.set_num_threads(cfg.trainer.threads)
    data = build.dataset(cfg)
    described = data.describe()
    with resume.hold(folder):
        summary = resume.take_up(folder, cfg, described) or attempt(cfg, data, folder, described, began)
    report.show(summary)
    return summary


def attempt(cfg: DictConfig, data: Any, folder: Path, described: dict[str, Any], began: float) -> dict[str, Any]:
    """Do what is left of a run, with everybody looking on who should, and return its summary."""
    written = manifest.attempt(folder, cfg, described) if first_rank() else nullcontext()
    with written as opened, watching(cfg, folder, opened) as watch:
        return work(cfg, data, folder, described, began, watch)


def work(
    cfg: DictConfig, data: Any, folder: Path, described: dict[str, Any], began: float, watch: Watch
) -> dict[str, Any]:
    """Return the summary of what is left of a run."""
    if cfg.dataset.split == "stream":
        return contest_stream.contest(cfg, data, folder, described, began, watch)
    for split in ("validation", "test"):  # too little to judge is told before anything is trained
        for cell in data.cells:
            data.tasks(split, cell)
    judge = Judge(
        data,
        metric=cfg.evaluate.metric,
        validation_tasks=cfg.evaluate.validation_tasks,
        stream_rows=cfg.evaluate.stream_rows,
        chunk=cfg.evaluate.chunk,
        vmapped=cfg.trainer.vmap,
        rank_at=cfg.evaluate.rank_at,
        candidates=cfg.evaluate.candidates,
    )
    pipeline = Pipeline(cfg, data, folder, judge, watch)
    products = pipeline.run()
    return contest(pipeline, products, described, time.monotonic() - began)
