"""Where the jobs of a sweep run: side by side on this machine, or on a SLURM cluster.

A job is the same command as a single run, in a process of its own, and so is its folder: started again, a sweep skips
what is finished and takes up what is not.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

PACKAGE = "hydra_plugins"
"""Hydra takes launchers from this package alone, so ours are put into a module of it that no file has."""

OURS = ("joblib", "submitit_slurm")


def register() -> None:
    """Tell Hydra of our launchers; a second call changes nothing."""
    from metarun.launchers.pool import Pool
    from metarun.launchers.slurm import Slurm

    if importlib.util.find_spec(PACKAGE) is None:
        sys.modules[PACKAGE] = ModuleType(PACKAGE)
    home = sys.modules.setdefault(f"{PACKAGE}.metarun", ModuleType(f"{PACKAGE}.metarun"))
    for launcher in (Pool, Slurm):
        setattr(home, launcher.__name__, launcher)
        Plugins.instance().register(launcher)
    stored = ConfigStore.instance().repo["hydra"]["launcher"]
    for name in OURS:  # the plugins of these names may be installed too; Hydra refuses a file beside their schema
        stored.pop(f"{name}.yaml", None)
