"""Which classes a config may name: ours, torch's, Lightning's, and what METARUN_TRUST names on the shell."""

from __future__ import annotations

import os

from metarun.errors import MetarunError

PREFIXES = ("metarun", "torch", "pytorch_lightning")


def trusted() -> tuple[str, ...]:
    """Return the packages whose classes may be built; METARUN_TRUST is read from the environment alone."""
    extra = (part.strip().rstrip(".") for part in os.environ.get("METARUN_TRUST", "").split(","))
    return (*PREFIXES, *(part for part in extra if part))


def check_home(key: str, target: str, found: object) -> None:
    """Raise MetarunError unless what a `_target_` leads to is a class, and from a trusted package itself.

    The name alone would not do: torch.serialization.os.system begins with torch too, and torch.hub.load is torch's own
    but runs what it downloads.
    """
    home = str(getattr(found, "__module__", None))
    if not any(home == package or home.startswith(f"{package}.") for package in trusted()):
        raise MetarunError(
            f"{key}={target}: leads to something of '{home}', which is not trusted; "
            f"give a class of {', '.join(trusted())}"
        )
    if not isinstance(found, type):
        raise MetarunError(f"{key}={target}: is no class; give a class of {', '.join(trusted())}")


def check_target(key: str, target: object) -> None:
    """Raise MetarunError unless the `_target_` found at `key` lies in a trusted package."""
    if isinstance(target, str) and any(target.startswith(f"{package}.") for package in trusted()):
        return
    package = str(target).split(".")[0]
    raise MetarunError(
        f"{key}={target}: '{package}' is not trusted; give a class of {', '.join(trusted())}, "
        f"or trust it on the shell: METARUN_TRUST={package}"
    )
