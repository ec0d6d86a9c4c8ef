"""`metarun show`: the YAML of an option with its fields and their help; what is printed, saved, is a YAML that runs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any

import typer
import yaml
from rich.text import Text

from metarun import options, terminal
from metarun.errors import MetarunError
from metarun.schema import Known


def show(
    name: Annotated[str, typer.Argument(help="GROUP/NAME as metarun list prints it, or config for the root")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="of an experiment: what to change, as for a run", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Print the YAML of an option, its fields and their help. An experiment is shown as composed, every field of it."""
    option = name.removesuffix(".yaml").removeprefix("+").replace("=", "/", 1).strip("/")
    if option in options.groups():
        raise MetarunError(
            f"show {name}: names a group; `metarun list {option}` lists it, then metarun show {option}/NAME"
        )
    if "/" not in option and option != options.ROOT:
        option = _guess(option)
    path = options.find(option)
    if option.startswith("experiment/"):
        text = experiment(option.removeprefix("experiment/"), overrides or [])
    elif overrides:
        raise MetarunError(f"show {name} {' '.join(overrides)}: only an experiment is shown with changes")
    else:
        text = path.read_text(encoding="utf-8")
    if sys.stdout.isatty():
        console = terminal.console()
        for line in fit(text, terminal.width()):
            console.print(_colour(line))
    else:
        print(text, end="" if text.endswith("\n") else "\n")


def _guess(word: str) -> str:
    """Return the one option whose last name is `word`. Raises MetarunError where there is none, or several."""
    found = [
        f"{group}/{name}" for group in options.groups() for name in options.names(group) if name.split("/")[-1] == word
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise MetarunError(f"show {word}: there are several, choose one of {', '.join(found)}")
    return f"experiment/{word}" if "/" not in word else word


def experiment(name: str, overrides: list[str]) -> str:
    """Return the composed config of an experiment as the YAML of an experiment: its choices, then every field."""
    from omegaconf import OmegaConf

    from metarun import config
    from metarun.validation import fields

    cfg = config.compose([f"+experiment={name}", *overrides])
    known = fields(list(cfg.composed.options))
    lines = ["# @package _global_", "# metarun +experiment=FILE", *_about(name, overrides), "defaults:"]
    chosen = [option for option in cfg.composed.options if not option.startswith("experiment/")]
    strategies = config.strategies(cfg)
    for option in chosen:
        group, _, rest = option.partition("/")
        if group != "strategy":
            lines.append(f"  - override /{group}: {rest}")
    # None is a choice too: without this line the root's default would come back.
    lines.append(f"  - override /strategy: [{', '.join(strategies)}]")
    raw = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(raw, dict)
    raw.pop("composed")
    order = ["name", "seed", "resume", "paths"]
    sections = [key for key in order if key in raw] + [key for key in raw if key not in order]
    for key in sections:
        lines.extend(_field({str(key): raw[key]}, "", known))
    return "\n".join(lines) + "\n"


def _about(name: str, overrides: list[str]) -> list[str]:
    about = options.header(f"experiment/{name}").about
    again = " ".join([f"metarun +experiment={name}", *overrides])
    prose = f"{about} As composed by `{again}`; saved as experiment/FILE.yaml in the folder METARUN_CONF, it runs."
    return [f"# {line}" for line in textwrap.wrap(prose, 118)]


def _field(node: dict[str, Any], prefix: str, known: dict[str, Known]) -> Iterator[str]:
    """Yield the lines of a mapping, every field with the comment that stands behind it in its own file."""
    pad = "  " * prefix.count(".")
    for key, value in node.items():
        path = f"{prefix}{key}"
        entry = known.get(path)
        comment = f"  # {entry.field.spec}; {entry.field.help}" if entry and entry.field.help else ""
        if isinstance(value, dict) and value and entry is None:
            yield f"{pad}{key}:"
            yield from _field(value, f"{path}.", known)
        elif isinstance(value, dict) and value:
            yield f"{pad}{key}:{comment}"
            for line in yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=10**6).splitlines():
                yield f"{pad}  {line}"
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
            text = text.rstrip("\n").removesuffix("\n...")
            yield f"{pad}{key}: {text}{comment}"


def fit(text: str, width: int) -> Iterator[str]:
    """Yield lines no wider than the terminal: a comment that does not fit goes above its field."""
    for line in text.splitlines():
        if len(line) <= width:
            yield line
            continue
        code, mark, comment = line.partition("  # ")
        if line.lstrip().startswith("#"):
            code, mark, comment = "", "# ", line.lstrip("# ")
        pad = code[: len(code) - len(code.lstrip())]
        if mark:
            yield from (f"{pad}# {part}" for part in textwrap.wrap(comment, max(20, width - len(pad) - 2)))
        if code:
            yield code


def _colour(line: str) -> Text:
    code, mark, comment = line.partition("# ")
    key, colon, value = code.partition(":")
    return Text.assemble((key, "cyan"), colon, value, (mark + comment, "dim"))
