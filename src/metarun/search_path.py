"""Puts the user's config folder, METARUN_CONF, before ours on Hydra's search path."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from metarun.options import user_folder


class UserConfigs(SearchPathPlugin):
    """Theirs win over ours; nothing is picked up that METARUN_CONF does not name."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Prepend the user's folder. Raises MetarunError if METARUN_CONF names a missing one."""
        folder = user_folder()
        if folder is not None:
            search_path.prepend(provider="METARUN_CONF", path=f"file://{folder}")


def register() -> None:
    """Tell Hydra of the plugin; a second call changes nothing."""
    Plugins.instance().register(UserConfigs)
