"""The processes of one run, each started here, so that one can be killed at a chosen step and each tells its losses."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from small_run import Changes, Kill, begin, ended

from metarun.supervisor import free_port

Losses = dict[str, list[float]]


def together(
    words: Sequence[str], home: Path, count: int, kill: dict[int, Kill] | None = None, changes: Changes = ()
) -> list[int]:
    """Do a run in `count` processes, some of which are killed, and return their exit codes; their losses are kept."""
    port, started = free_port(), []
    for number in range(count):
        own = [partial(become, number, count, port), partial(tell, str(home / f"losses-{number}")), *changes]
        started.append(begin(work, list(words), home, (kill or {}).get(number), own))
    return [ended(process) for process in started]


def work(overrides: list[str]) -> int:
    """Do the run in this process."""
    from metarun import config, run
    from metarun.errors import MetarunError

    try:
        run.run(config.compose(overrides))
    except MetarunError as error:
        print(f"metarun: {error}")
        return error.code
    return 0


def become(number: int, count: int, port: int) -> None:
    """Let this process be one of several."""
    os.environ |= {
        "RANK": str(number), "WORLD_SIZE": str(count), "LOCAL_RANK": str(number),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def tell(path: str) -> None:
    """Write down the loss of every step, and every judging of test tasks."""
    from metarun.evaluate import Judge
    from metarun.stages.loop import Guard

    guard, judge, file = _any(Guard), _any(Judge), Path(path).open("w", encoding="utf-8")  # noqa: SIM115
    counted, test = guard.on_train_batch_end, judge.test

    def step(self: Any, trainer: Any, module: Any, *rest: Any) -> None:
        file.write(json.dumps([self.last.parent.name, float(module.recent)]) + "\n")
        file.flush()
        counted(self, trainer, module, *rest)

    def judged(self: Any, *rest: Any) -> Any:
        file.write(json.dumps(["judged", 0.0]) + "\n")
        file.flush()
        return test(self, *rest)

    guard.on_train_batch_end, judge.test = step, judged


def _any(value: Any) -> Any:
    return value


def losses(home: Path, number: int = 0) -> Losses:
    """Return the losses of every stage as a process of the last attempt has seen them."""
    found: Losses = {}
    for line in (home / f"losses-{number}").read_text(encoding="utf-8").splitlines():
        stage, value = json.loads(line)
        found.setdefault(stage, []).append(value)
    return found
