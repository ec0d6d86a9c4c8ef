"""From argv to a verb or a run. Torch is imported only once a run has been composed and found valid."""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarun import ranks, stopping
from metarun.errors import MetarunError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from metarun.commandline import CommandLine

VERBS = ("list", "show", "data", "advise", "report", "predict", "explain", "audit", "recommend", "update")
CRASH = 1
_code = 0
"""The exit code of a single run that Hydra has started."""
_beside: str | None = None
"""The folder of a single run that resume=never has started."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do a command; return its exit code: 0, 1 (a crash), 2 (bad input), 75 (a process has gone), 128 + a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    _printable()
    return _answered(_dispatch, words, argv is None)


def job(words: Sequence[str]) -> int:
    """Do one single run, in a process of its own, and return its exit code as `main` does.

    For a job of a sweep and for a rank of a run: the same command, without what Hydra does around it.
    """
    _printable()
    return _answered(_single, list(words), False)


def _answered(do: Callable[[list[str]], int], words: list[str], leaving: bool) -> int:
    """Turn what ends a command into its exit code, with a line that says why."""
    try:
        with stopping.listening():
            return do(words)
    except MetarunError as error:
        number = stopping.asked(error)
        if number:
            return _stopped(words, leaving, number)
        _complain(error)
        return error.code
    except KeyboardInterrupt as stop:
        return _stopped(words, leaving, stopping.asked(stop) or signal.SIGINT)
    except SystemExit as stop:
        number = stopping.asked(stop)
        if number:
            return _stopped(words, leaving, number)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    if words and words[0] in VERBS:
        from metarun import verbs

        return verbs.main(words)
    if not words or words[0] in ("--version", "--help", "-h", "help"):
        from metarun import pages

        page = {"--version": pages.version, "--help": pages.guide, "-h": pages.guide, "help": pages.guide}
        page[words[0]]() if words else pages.welcome()
        return 0
    if "--help" in words or "-h" in words:
        from metarun import pages

        pages.guide()
        return 0
    return _run(words)


def _run(words: list[str]) -> int:
    """Check every point of the command, then hand it to Hydra."""
    global _beside, _code
    from metarun import commandline, config

    line = commandline.read(words)
    checked = commandline.check(line)
    if "--hydra-help" not in line.flags:
        checked = _composed(line, checked)
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from metarun import launchers
    from metarun.launchers import base, plan

    launchers.register()
    base.begin(checked)
    if line.dry:
        return plan.show(checked)
    before, sys.argv = sys.argv, ["metarun", *line.flags, *checked]
    _beside, _code = None, 0
    try:
        hydra.main(config_path=config.MODULE, config_name="config", version_base="1.3")(_job)()
        return _code or base.close()
    except SystemExit:  # a crash that Hydra has told of; of a search without any result its sweeper's
        if not base.ended:
            raise
        return base.close() or CRASH
    finally:
        sys.argv = before
        HydraConfig.instance().cfg = None


def _composed(line: CommandLine, checked: list[str]) -> list[str]:
    """Compose the points of a command, see that they can be written, and return its words with `auto` pinned."""
    from metarun import config, overrides, sweep

    found = [*checked, *overrides.space(checked)]
    composed = sweep.compose(found, overrides.points(found))
    checked = [*checked, *sweep.settings(composed[0], checked)]
    if line.multirun:
        sweep.check_processes(composed, checked)
    if line.inspects and not line.dry:
        return checked
    if not line.dry:
        _writable(Path(composed[0].paths.outputs).expanduser())
    if any(cfg.dataset.get("version") == "auto" for cfg in composed):
        version = sweep.resolved(composed[0], looking=line.dry)
        checked, found = sweep.pinned(checked, version), sweep.pinned(found, version)
        composed = sweep.compose(checked, overrides.points(found))
    if line.dry:
        return checked
    if line.multirun:
        sweep.fetch(composed)
    for folder in map(config.run_folder, composed):
        if folder.exists():  # Hydra writes here too, and would answer with a traceback
            _writable(folder)
    return checked


def _single(words: list[str]) -> int:
    """Compose a single run, keep what it was composed of, and run it."""
    from metarun import config

    cfg = config.compose(words)
    if ranks.first() and not (config.run_folder(cfg) / ".hydra").exists():
        _keep(cfg, words)
    from metarun.run import run

    run(cfg)
    return 0


def _keep(cfg: DictConfig, words: list[str]) -> None:
    """Write what a run was composed of, as Hydra does."""
    from omegaconf import OmegaConf

    from metarun import atomic, config

    home = config.run_folder(cfg) / ".hydra"
    kept = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "composed"])
    atomic.write_text(home / "config.yaml", OmegaConf.to_yaml(kept))
    atomic.write_text(home / "overrides.yaml", OmegaConf.to_yaml(words))


def _job(_cfg: DictConfig) -> Any:
    """Compose the config of a run in this process, check it, and run it; a job of a sweep that fails is noted."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    words = list(hydra.overrides.task)
    if hydra.mode == RunMode.RUN:
        return _alone(words)
    return _one_of_a_sweep(words, int(hydra.job.num))


def _alone(words: list[str]) -> None:
    """Run a single run, here or in several processes; Hydra would print a traceback of what it is refused for."""
    global _beside, _code
    from metarun import config, supervisor

    try:
        cfg = config.compose(words)
        folder = config.run_folder(cfg)
        if cfg.resume == "never":
            _beside = str(folder)
        if ranks.local(cfg):
            _code = supervisor.run(words, cfg, folder)
            return
        from metarun.run import run

        run(cfg)
    except MetarunError as error:
        if stopping.asked(error):
            raise
        _complain(error)
        _code = error.code


def _one_of_a_sweep(words: list[str], number: int) -> float | None:
    """Run one job of a sweep in this process and return its objective; one that fails does not end the others."""
    import traceback

    from metarun import config
    from metarun.launchers import base
    from metarun.results import objective

    (job,) = base.described([words], number)
    log = job.folder / base.LOG
    try:
        cfg = config.compose(job.words)
        from metarun.run import run

        summary = run(cfg)
        base.ended.append(base.Outcome(job, "finished"))
        return objective(summary or {})
    except MetarunError as error:
        if stopping.asked(error):
            raise
        base.ended.append(base.Outcome(job, base.state_of(error.code), str(error)))
        _complain(error)
    except Exception as error:
        if stopping.asked(error):
            raise
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        reason = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        base.ended.append(base.Outcome(job, "failed", reason, log))
        print(base.line(base.ended[-1], len(base.ended)), file=sys.stderr)
    return None


def _writable(folder: Path) -> None:
    """Raise MetarunError where no run can be written, before anything is computed."""
    probe = folder / f".metarun-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("metarun", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise MetarunError(f"paths.outputs={folder}: cannot be written ({error.strerror}); set paths.outputs") from None


def _printable() -> None:
    """Print ? for what the terminal's encoding lacks (LANG=C) instead of ending a run over a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _complain(error: MetarunError) -> None:
    sys.stdout.flush()
    print(f"metarun: {error}", file=sys.stderr)


def _stopped(words: Sequence[str], leaving: bool, number: int) -> int:
    from metarun.config import FOLDER

    if leaving:  # what comes now has nothing left to stop
        for every in stopping.SIGNALS:
            signal.signal(every, signal.SIG_IGN)
    code, said = stopping.code(number), stopping.words(number)
    spoken_for = FOLDER in os.environ and ranks.place().world > 1  # by what has started the processes
    if spoken_for or not ranks.first():
        return code
    if words and words[0] in VERBS:
        print(f"\n{said}.", file=sys.stderr)
        return code
    how = "The same command takes the run up where it was saved"
    if _beside:
        words = [*(word for word in words if not word.startswith("resume=")), f"hydra.run.dir={_beside}"]
        how = "This takes the run up where it was saved"
    print(f"\n{said}. {how}: {shlex.join(['metarun', *words])}", file=sys.stderr)
    return code
