"""`metarun list`: what there is, one line each."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from metarun import options, terminal
from metarun.errors import MetarunError, did_you_mean
from metarun.schema import default_groups

_USE = {
    "experiment": "+experiment=NAME runs one",
    "strategy": "strategy=NAME, several as 'strategy=[online/sgd,meta/maml]'",
    "baseline": "'evaluate.against=[NAME,...]' judges against them",
}


def listing(
    group: Annotated[
        str | None, typer.Argument(help="experiment, strategy, strategy/meta, backbone, dataset, ...; all without it")
    ] = None,
) -> None:
    """List what there is: experiments, strategies, backbones, datasets, ..., one line each."""
    console = terminal.console()
    wanted, family = (group or "").strip("/").partition("/")[::2]
    if wanted and wanted not in options.groups():
        raise MetarunError(
            f"list {group}: there is no group '{wanted}'.{did_you_mean(wanted, options.groups())} "
            f"There are {', '.join(options.groups())}"
        )
    for name in [wanted] if wanted else options.groups():
        members = [option for option in options.names(name) if option.startswith(f"{family}/" if family else "")]
        if not members:
            raise MetarunError(f"list {group}: {options.unknown(name, family)}")
        if name == "strategy":
            chosen = [option for option in members if not option.startswith("baseline/")]
            _section(console, "strategy", _USE["strategy"], name, chosen)
            _section(console, "baselines", _USE["baseline"], name, [o for o in members if o not in chosen])
        else:
            _section(console, name, _USE.get(name, f"{name}=NAME"), name, members)
    console.print("[dim]A * marks the default. The fields of one of them:[/] metarun show GROUP/NAME")


def _section(console: Console, title: str, use: str, group: str, members: list[str]) -> None:
    if not members:
        return
    chosen = default_groups().get(group)
    mine = options.user_folder()
    terminal.title(console, title, use)
    pairs = []
    for name in members:
        option = f"{group}/{name}"
        yours = " (yours)" if mine is not None and (mine / f"{option}.yaml").is_file() else ""
        pairs.append((f"{name}{' *' if name == chosen else ''}", f"{options.header(option).about}{yours}"))
    terminal.rows(console, pairs)
