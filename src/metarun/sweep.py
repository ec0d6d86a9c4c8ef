"""The points of a sweep as configs: composed before anything is computed, refused in the words of a sweep."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from metarun import config, options, ranks
from metarun.errors import MetarunError
from metarun.overrides import chosen, group, parse, searches, values
from metarun.schema import Field, schema
from metarun.tuned import tuned_fields

SAMPLER = "hydra/sweeper/sampler"


def compose(words: Sequence[str], points: Iterable[Sequence[str]]) -> list[DictConfig]:
    """Return the configs of points of the sweep `words`. Raises MetarunError for the first that is refused."""
    found = []
    for point in points:
        try:
            found.append(config.compose([word for word in point if not _launches(word)]))
        except MetarunError as error:
            raise MetarunError(of_one_method(words, point) or str(error)) from None
    return found


def _launches(word: str) -> bool:
    """Return whether a word says how jobs are made and where they run, which is no part of a run."""
    return re.match(r"[+~]*hydra[./](launcher|sweeper)", word) is not None


def of_one_method(words: Sequence[str], point: Sequence[str]) -> str | None:
    """Return why a setting does not fit all strategies of a sweep, with its form for one method; None if none is such.

    words: of the command; point: of the job that was refused.
    """
    picks = [value for word in words if group(word) == "strategy" for value in values(parse(word))]
    swept = list(dict.fromkeys(name for value in picks for name in chosen(value)))
    here = [name for word in point if group(word) == "strategy" for name in chosen(word.partition("=")[2])]
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        parts = key.split(".")
        if parts[0] != "strategy" or len(parts) < 3 or len(picks) < 2:
            continue
        family, field = parts[1], ".".join(parts[2:])
        have = [name for name in swept if name.startswith(f"{family}/") and field in _fields(name)]
        if have and not set(have) & set(here):
            forms = [f"{_tuned(name, field)}={value}" for name in have if _tuned(name, field)]
            form = f"set it for one method: {', '.join(forms)}" if forms else "give the others a command of their own"
            return f"{word}: {', '.join(here)} of this sweep has no field '{field}', only {', '.join(have)} has; {form}"
    return None


def _fields(strategy: str) -> list[str]:
    return [field.name for field in schema(f"strategy/{strategy}")] if strategy in options.names("strategy") else []


def _tuned(strategy: str, field: str) -> str | None:
    """Return the tuned key of a strategy's field, None where its YAML reads none."""
    for method, fields in tuned_fields().items():
        if f"strategy/{strategy}" in fields.get(field, []):
            return f"tuned.{method}.{field}"
    return None


def settings(cfg: DictConfig, words: Sequence[str]) -> list[str]:
    """Return what a search is told beyond its command: which way is better, and how it can be started again.

    The same seed of the sampler asks for the same jobs again, whose runs are finished by then. A job that fails is no
    reason to end the others. Raises MetarunError for a run without a validation value to go by.
    """
    if not searches(words):
        return []
    if not config.strategies(cfg):
        raise MetarunError("a search goes by the validation value of a strategy, and this run has none: strategy=...")
    for name in ("alembic", "optuna"):  # they tell of plugins and of studies without a name
        logging.getLogger(name).setLevel(logging.WARNING)
    from metarun.report.notation import higher_is_better  # after the check: it brings numpy

    way = "maximize" if higher_is_better(str(cfg.evaluate.metric)) else "minimize"
    told = {"direction": way, "max_failure_rate": "1.0"}
    if _has_a_seed(next((word.partition("=")[2] for word in words if group(word) == SAMPLER), "tpe")):
        told["sampler.seed"] = "0"
    typed = {group(word).removeprefix("hydra.sweeper.") for word in words}
    return [f"hydra.sweeper.{key}={value}" for key, value in told.items() if key not in typed]


def _has_a_seed(sampler: str) -> bool:
    """Return whether a sampler of Optuna's plugin draws anything at random."""
    stored = ConfigStore.instance().repo["hydra"]["sweeper"].get("sampler", {}).get(f"{sampler}.yaml")
    return stored is not None and "seed" in stored.node


def check_processes(configs: Iterable[DictConfig], words: Sequence[str]) -> None:
    """Raise MetarunError where jobs of this machine would be several processes each; on a cluster they may be."""
    names = [word.partition("=")[2] for word in words if group(word) == "hydra/launcher"]
    option = f"hydra/launcher/{names[-1]}" if names else ""
    if any(field.name == "_target_" and str(field.default).endswith(".Slurm") for field in _declared(option)):
        return
    for cfg in configs:
        count = ranks.local(cfg)
        if count:
            raise MetarunError(
                f"trainer.devices={cfg.trainer.devices} in a sweep: a job of this machine is one process, and {count} "
                "for each would take the cores and GPUs from one another; run the points without -m, or give each job "
                "one device (trainer=cpu, trainer=gpu), or send them to a cluster (hydra/launcher=submitit_slurm)"
            )


def _declared(option: str) -> list[Field]:
    """Return the fields of a launcher of ours or of the user's; none of Hydra's own."""
    there = any((folder / f"{option}.yaml").is_file() for folder in options.folders())
    return schema(option) if option and there else []


# ---------------------------------------------------------------------- their data


def resolved(cfg: DictConfig, looking: bool = False) -> str:
    """Return what `dataset.version=auto` is here; asked once per command, so that all jobs of a sweep agree.

    looking: nothing is downloaded, so that it is what would be taken without a network.
    """
    from metarun.data import movielens

    return movielens.at_hand(_folder(cfg)) if looking else str(movielens.resolve("auto", _folder(cfg)))


def pinned(words: Sequence[str], version: str) -> list[str]:
    """Return the words with `dataset.version=auto` replaced by a version, and with the version if they name none."""
    kept, said = [], False
    for word in words:
        if group(word) == "dataset.version":
            versions = [version if value == "auto" else value for value in values(parse(word))]
            word, said = f"dataset.version={','.join(dict.fromkeys(versions))}", True
        kept.append(word)
    return kept if said else [*kept, f"dataset.version={version}"]


def fetch(configs: Iterable[DictConfig]) -> None:
    """Get the named versions that the jobs need before any is sent; where they run there may be no network.

    Raises MetarunError where one is not there and cannot be downloaded.
    """
    from metarun.data.movielens import fetch as fetched
    from metarun.data.versions import VERSIONS

    needed = {(str(cfg.dataset.get("version")), _folder(cfg)) for cfg in configs}
    for version, folder in sorted(needed, key=str):
        if version in VERSIONS:
            fetched(version, folder)


def _folder(cfg: DictConfig) -> Path | None:
    folder = cfg.dataset.get("folder")
    return Path(folder) if folder else None
