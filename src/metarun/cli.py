"""From argv to a verb or a run. Torch is imported only once a run has been composed and found valid."""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarun import stopping
from metarun.errors import MetarunError

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERBS = ("list", "show", "data", "report", "recommend", "update")
BAD_INPUT = 2
_refused: list[str] | None = None
"""Complaints of the runs of this command; None in a process that a launcher started elsewhere."""
_beside: str | None = None
"""The folder of a single run that resume=never has started."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command says; return its exit code: 0, 1 (a crash), 2 (bad input), 130 (Ctrl-C), 128 + a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    _printable()
    try:
        with stopping.listening():
            return _dispatch(words)
    except MetarunError as error:
        number = stopping.asked(error)
        if number:
            return _stopped(words, argv is None, number)
        _complain(error)
        return BAD_INPUT
    except KeyboardInterrupt as stop:
        return _stopped(words, argv is None, stopping.asked(stop) or signal.SIGINT)
    except SystemExit as stop:
        number = stopping.asked(stop)
        if number:
            return _stopped(words, argv is None, number)
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
    global _refused, _beside
    from metarun import commandline, config, overrides

    line = commandline.read(words)
    checked = commandline.check(line)
    if "--hydra-help" not in line.flags:
        composed = [config.compose(point) for point in overrides.points(checked)]
        if not line.inspects:
            _writable(Path(composed[0].paths.outputs).expanduser())
            pinned = _pinned(composed)
            if pinned:
                checked = [*checked, *pinned]
                composed = [config.compose(point) for point in overrides.points(checked)]
            for folder in map(config.run_folder, composed):
                if folder.exists():  # Hydra writes here too, and would answer with a traceback
                    _writable(folder)
    import hydra
    from hydra.core.hydra_config import HydraConfig

    before, sys.argv = sys.argv, ["metarun", *line.flags, *checked]
    _refused, _beside = [], None
    try:
        hydra.main(config_path=config.MODULE, config_name="config", version_base="1.3")(_job)()
        return BAD_INPUT if _refused else 0
    finally:
        sys.argv, _refused = before, None
        HydraConfig.instance().cfg = None


def _pinned(composed: Sequence[DictConfig]) -> list[str]:
    """Return the override that pins `dataset.version=auto` once per command, so that all jobs of a sweep agree."""
    if any(cfg.dataset.get("version") != "auto" for cfg in composed):
        return []
    from metarun.data.movielens import resolve

    folder = composed[0].dataset.folder
    return [f"dataset.version={resolve('auto', Path(folder) if folder else None)}"]


def _job(_cfg: DictConfig) -> Any:
    """Compose this job's config, check it where the job runs, and run it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from metarun import config

    global _beside
    try:
        cfg = config.compose(list(HydraConfig.get().overrides.task))
        if cfg.resume == "never" and HydraConfig.get().mode == RunMode.RUN:
            _beside = str(config.run_folder(cfg))
        from metarun.run import run

        return run(cfg)
    except MetarunError as error:
        if _refused is None:
            raise
        _refused.append(str(error))
        _complain(error)
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
    if leaving:  # what comes now has nothing left to stop
        for every in stopping.SIGNALS:
            signal.signal(every, signal.SIG_IGN)
    code, said = stopping.code(number), stopping.words(number)
    if words and words[0] in VERBS:
        print(f"\n{said}.", file=sys.stderr)
        return code
    how = "The same command takes the run up where it was saved"
    if _beside:
        words = [*(word for word in words if not word.startswith("resume=")), f"hydra.run.dir={_beside}"]
        how = "This takes the run up where it was saved"
    print(f"\n{said}. {how}: {shlex.join(['metarun', *words])}", file=sys.stderr)
    return code
