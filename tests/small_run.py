"""A whole run on a few ratings, in processes that can be killed at a chosen point, and what it leaves bit by bit."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

USERS, ITEMS, PER_USER = 150, 60, 30
SMALL = [
    "dataset.version=100k", "dataset.supports=[0,1,3,5]", "dataset.queries=5", "backbone.dim=4", "pretrain.epochs=4",
    "pretrain.batch=256", "pipeline.meta.steps=20", "pipeline.meta.tasks=16", "pipeline.rounds=2",
    "pipeline.save_every=5", "trainer.threads=1", "trainer.accelerator=cpu", "evaluate.validation_tasks=10",
    "evaluate.against=[baseline/ridge]", "tuned.finetune.steps=2", "tuned.maml.steps=2",
]  # fmt: skip
SHORT = ["strategy=meta/maml", "pipeline.rounds=1", "evaluate.against=[baseline/constant]"]
FORK = multiprocessing.get_context("forkserver")
# Attempts fork from a process that has imported everything and computed nothing, which is quick and safe with torch.
FORK.set_forkserver_preload(["metarun.run", "metarun.strategies.gradient", "pandas", "hydra._internal.hydra"])


def write_ratings(folder: Path) -> Path:
    """Write ratings in the layout of ml-100k; users arrive one after another, and each stays a short while."""
    home = folder / "ml-100k"
    home.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    taste, vector = random.normal(size=(USERS, 3)), random.normal(size=(ITEMS, 3))
    lines = []
    for user in range(USERS):
        start = 900_000_000 + 1_000 * user
        items = random.choice(ITEMS, PER_USER, replace=False)
        noise = random.normal(size=PER_USER)
        stars = np.clip(np.rint(3.3 + 0.6 * vector[items] @ taste[user] + 0.7 * noise), 1, 5).astype(int)
        times = start + random.permutation(PER_USER)
        lines += [f"{user + 1}\t{i + 1}\t{s}\t{t}\n" for i, s, t in zip(items, stars, times, strict=True)]
    flags = [random.integers(0, 2, 19) for _ in range(ITEMS)]
    films = [
        f"{i + 1}|Film {i + 1} (1995)|01-Jan-1995||http://x|{'|'.join(map(str, f))}\n" for i, f in enumerate(flags)
    ]
    people = [f"{u + 1}|{20 + u % 40}|{'MF'[u % 2]}|student|00000\n" for u in range(USERS)]
    (home / "u.data").write_text("".join(lines), encoding="latin-1")
    (home / "u.item").write_text("".join(films), encoding="latin-1")
    (home / "u.user").write_text("".join(people), encoding="latin-1")
    return folder


# ---------------------------------------------------------------------- one attempt, in a process of its own


class Kill(NamedTuple):
    """Where a process dies: in the step loop of a stage, in the writing of a file, in evaluation."""

    kind: str  # "step" | "write" | "call"
    where: str  # a stage, the end of a path, or "Class.method" of metarun.evaluate
    at: int = 1  # the step, or the how manieth write or call
    part: str = "before"  # of a write: "half" of it is done; "before" or "after" the renaming; "full": the disk is


Changes = Sequence[Callable[[], None]]


def attempt(
    overrides: list[str], home: Path, kill: Kill | None = None, changes: Changes = (), after: float = 1e9
) -> int:
    """Run in a process of its own and return its exit code; it dies at `kill`, or by our hand after so many seconds."""
    process = begin(_run, overrides, home, kill, changes)
    process.join(min(after, 120.0))
    if process.is_alive():
        process.kill()
    code = ended(process)
    assert code in (0, -signal.SIGKILL), said(home)[-3000:]
    return code


def command(words: list[str], home: Path, kill: Kill | None = None, changes: Changes = ()) -> tuple[int, str]:
    """Do what `metarun WORDS` does, in a process of its own, and return its exit code and what it said."""
    before = len(said(home))
    code = ended(begin_command(words, home, kill, changes))
    return code, said(home)[before:]


def complaint(done: tuple[int, str]) -> str:
    """Return the one line that a refused command has said on its own account."""
    code, text = done
    lines = [line for line in text.splitlines() if line.startswith("metarun: ")]
    assert (code, len(lines)) == (2, 1), text
    assert "Traceback" not in text, text
    return lines[0]


def begin_command(words: list[str], home: Path, kill: Kill | None = None, changes: Changes = ()) -> Any:
    """Start what `metarun WORDS` does in a process of its own, and return the process."""
    return begin(_command, words, home, kill, changes)


def begin(job: Callable[[list[str]], int], words: list[str], home: Path, kill: Kill | None, changes: Changes) -> Any:
    """Start a process; its output goes to the log of the home."""
    process = FORK.Process(target=_child, args=(job, words, str(home), kill, changes))
    process.start()
    return process


def ended(process: Any) -> int:
    """Wait for a process and return its exit code."""
    process.join(120.0)
    assert not process.is_alive(), "it hangs"
    code: int = process.exitcode
    process.close()
    return code


def said(home: Path) -> str:
    """Return what all processes so far have printed."""
    log = home / "log"
    return log.read_text(encoding="utf-8") if log.exists() else ""


def _run(overrides: list[str]) -> int:
    from metarun import config, run

    run.run(config.compose(overrides))
    return 0


def _command(words: list[str]) -> int:
    from metarun.cli import main

    return main(words)


def _child(job: Callable[[list[str]], int], words: list[str], home: str, kill: Kill | None, changes: Changes) -> None:
    with Path(home, "log").open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ["METARUN_CACHE"] = str(Path(home, "cache"))
    code = 1
    try:
        import torch

        torch.set_num_threads(1)
        _prepare(Path(home), kill)
        for change in changes:
            change()
        code = job(words)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def one_user_per_step() -> None:
    """Let a stage of transfer have as many steps as users, so that there is something to kill."""
    from metarun.data import recommendation

    data: Any = recommendation.Recommendation
    batches = data.training_users

    def one_by_one(self: Any, round: int, slices: int, tasks: int = 1, **rest: Any) -> Any:
        return batches(self, round, slices, tasks, **rest)

    data.training_users = one_by_one


def _prepare(home: Path, kill: Kill | None) -> None:
    """Write down every step, outliving a SIGKILL, and set the trap."""
    from metarun.stages import loop

    guard: Any = loop.Guard
    steps = os.open(home / "steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    counted = guard.on_train_batch_end

    def count(self: Any, trainer: Any, module: Any, *rest: Any) -> None:
        stage = self.last.parent.name
        os.write(steps, f"{stage} {module.position + 1}\n".encode())
        if kill and kill.kind == "step" and (stage, module.position + 1) == (kill.where, kill.at):
            die()
        counted(self, trainer, module, *rest)

    guard.on_train_batch_end = count
    if kill and kill.kind == "write":
        _trap_write(kill)
    if kill and kill.kind == "call":
        _trap_call(kill)


def _trap_write(kill: Kill) -> None:
    from metarun import atomic

    write, seen = atomic.write, iter(range(1, 10_000))

    def trapped(path: Path, fill: Any) -> None:
        if not str(path).endswith(kill.where) or next(seen) != kill.at:
            return write(path, fill)
        if kill.part == "after":
            write(path, fill)
            die()

        def some(file: Any) -> None:
            whole = io.BytesIO()
            fill(whole)
            file.write(whole.getvalue()[: len(whole.getvalue()) // (1 if kill.part == "before" else 2)])
            file.flush()
            if kill.part == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            die()

        return write(path, some)

    atomic.write = trapped


def _trap_call(kill: Kill) -> None:
    from metarun import evaluate

    owner, name = kill.where.split(".")
    plain, seen = getattr(getattr(evaluate, owner), name), iter(range(1, 10_000))

    def trapped(*args: Any, **options: Any) -> Any:
        found = plain(*args, **options)
        if next(seen) == kill.at:
            die()
        return found

    setattr(getattr(evaluate, owner), name, trapped)


def die() -> None:
    """Leave as in a power cut: nothing is flushed, nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


# ---------------------------------------------------------------------- what a run leaves


def steps_taken(home: Path) -> list[str]:
    """Return "stage position" of every optimiser step of all attempts."""
    return (home / "steps").read_text(encoding="utf-8").splitlines()


def folder_of(home: Path) -> Path:
    """Return the only run in a home."""
    (found,) = [path.parent for path in home.glob("outputs/*/*/manifest.json")]
    return found


def bits(folder: Path) -> dict[str, Any]:
    """Return everything a finished run leaves but times and places; arrays as (dtype, shape, bytes)."""
    import torch

    from metarun.results import load_scores

    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {"summary": {k: v for k, v in summary.items() if k not in ("seconds", "folder", "cost")}}
    found["steps"] = {method: cost["steps"] for method, cost in summary["cost"].items()}
    found["metrics"] = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found["table"] = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    for score in load_scores(folder / "task_scores.npz"):
        found[f"{score.place} {score.metric}"] = (score.ids.tobytes(), score.values.tobytes())
    for path in sorted(folder.glob("checkpoints/*/model.ckpt")):
        content = torch.load(path, weights_only=True)
        for name, value in content.items():
            if name not in ("seconds", "config"):
                _flatten(f"{path.parent.name} {name}", value, found)
    return found


def _flatten(name: str, value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _flatten(f"{name} {key}", part, found)
    elif hasattr(value, "numpy"):
        array = value.numpy()
        found[name] = (str(array.dtype), array.shape, array.tobytes())
    else:
        found[name] = repr(value)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of what is not the same to the last bit."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
