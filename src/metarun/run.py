"""Read this first: config -> data, model, stages -> results."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from metarun import (
    build,
    contest_rows,
    contest_sequence,
    contest_stream,
    manifest,
    memory,
    ranks,
    report,
    resume,
    smoke,
)
from metarun.config import run_folder
from metarun.contest import contest
from metarun.data.streamed import Streamed
from metarun.evaluate import Judge
from metarun.pipeline import Pipeline
from metarun.watch import Watch, watching


@memory.told()
def run(cfg: DictConfig) -> dict[str, Any]:
    """Run what a config describes, or show it if it is finished, and return its summary.

    Raises:
        MetarunError: the data cannot be had, the run in this folder was another one, a loss is not a number.
    """
    began = time.monotonic()
    if cfg.trainer.threads is not None:
        torch.set_num_threads(cfg.trainer.threads)
    ranks.join(cfg)
    if ranks.first():
        announce(cfg)
    folder = ranks.shared(lambda: Path(run_folder(cfg)).resolve())
    data = build.dataset(cfg)
    described = ranks.shared(data.describe)  # what has to be fetched or made is there when the others look
    with resume.hold(folder) if ranks.first() else nullcontext():
        summary = ranks.shared(lambda: resume.take_up(folder, cfg, described))
        summary = summary or attempt(cfg, data, folder, described, began)
    if ranks.first():
        report.show(summary)
    return summary


def announce(cfg: DictConfig) -> None:
    """Say where the run computes if the config leaves that open, and that a check is no result."""
    if cfg.trainer.accelerator == "auto":
        on = ranks.device(cfg.trainer)
        what = "the CPU, torch finds no GPU" if on.type == "cpu" else f"the GPU {torch.cuda.get_device_name(on)}"
        print(f"trainer.accelerator=auto: on {what}", file=sys.stderr)
    for line in smoke.warning(cfg):
        print(f"{line[0].upper()}{line[1:]}.", file=sys.stderr, flush=True)


def attempt(cfg: DictConfig, data: Any, folder: Path, described: dict[str, Any], began: float) -> dict[str, Any]:
    """Do what is left of a run, with everybody looking on who should, and return its summary."""
    written = manifest.attempt(folder, cfg, described) if ranks.first() else nullcontext()
    with written as opened, watching(cfg, folder, opened) as watch:
        return work(cfg, data, folder, described, began, watch)


def work(
    cfg: DictConfig, data: Any, folder: Path, described: dict[str, Any], began: float, watch: Watch
) -> dict[str, Any]:
    """Return the summary of what is left of a run; Adam's steps by all processes, the rest by the first."""
    if cfg.dataset.get("split") == "stream":
        return ranks.shared(lambda: contest_stream.contest(cfg, data, folder, described, began, watch))
    judge = Judge(
        data,
        metric=cfg.evaluate.metric,
        validation_tasks=cfg.evaluate.validation_tasks,
        stream_rows=cfg.evaluate.stream_rows,
        chunk=cfg.evaluate.chunk,
        vmapped=cfg.trainer.vmap,
        rank_at=cfg.evaluate.rank_at,
        candidates=cfg.evaluate.candidates,
        most=cfg.trainer.tasks,
    )
    if isinstance(data, Streamed):
        end = contest_sequence if data.exams else contest_rows
        return ranks.shared(lambda: end.contest(cfg, data, judge, folder, described, began, watch))
    for split in ("validation", "test"):  # too little to judge or to learn from is told before anything is trained
        for cell in data.cells:
            data.tasks(split, cell)
    if any(name.startswith("meta/") for name in build.methods(cfg)):
        data.train_tasks(1, cfg.pipeline.rounds, int(cfg.seed))
    for name in build.methods(cfg):  # and what a method asks of the data
        if not name.startswith("baseline/"):
            build.rule(cfg, name, build.model(cfg, data.spec))
    pipeline = Pipeline(cfg, data, folder, judge, watch)
    products = pipeline.run()
    others = ranks.total(torch.tensor(0.0 if ranks.first() else time.process_time()))
    if watch.attempt is not None:
        watch.attempt.others = float(others)
    return ranks.shared(lambda: contest(pipeline, products, described, time.monotonic() - began))
