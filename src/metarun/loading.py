"""Loads an option that the run names but did not choose: a baseline, a wrapped rule."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metarun import options
from metarun.errors import MetarunError
from metarun.schema import parents


def load_option(cfg: DictConfig, option: str) -> DictConfig:
    """Return an option that the run did not choose, such as "strategy/baseline/ridge", resolved against its config.

    Raises MetarunError for an unknown name and for an interpolation that leads nowhere.
    """
    merged = _raw(option)
    merged._set_parent(cfg)
    try:
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise MetarunError(f"{option}: {str(error).splitlines()[0]}") from None
    result = OmegaConf.create(plain)
    assert isinstance(result, DictConfig)
    return result


def _raw(option: str) -> DictConfig:
    """Return the YAML of an option over the ones that its defaults list builds on."""
    try:
        own = OmegaConf.load(options.find(option))
    except OmegaConfBaseException as error:
        raise MetarunError(f"{option}: {str(error).splitlines()[0]}") from None
    assert isinstance(own, DictConfig)
    own.pop("defaults", None)
    merged = OmegaConf.merge(*(_raw(parent) for parent in parents(option)), own)
    assert isinstance(merged, DictConfig)
    return merged
