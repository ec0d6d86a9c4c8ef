"""Verbs: what metarun does besides running. Typer reads their arguments; only those that answer import torch."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from typer.core import TyperGroup

from metarun.errors import MetarunError
from metarun.verbs import advise, data, listing, predict, recommend, report, show, update

app = typer.Typer(
    name="metarun",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("advise")(advise.advise)
app.command("list")(listing.listing)
app.command("show")(show.show)
app.add_typer(data.app, name="data")
app.command("report")(report.report)
app.command("recommend")(recommend.recommend)
app.command("update")(update.update)
app.command("predict")(predict.predict)
app.command("explain")(predict.explain)
app.command("audit")(predict.audit)


def main(words: Sequence[str]) -> int:
    """Run one verb and return its exit code. Raises MetarunError for words that the verb does not take."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    try:
        code = command.main(list(words), prog_name="metarun", standalone_mode=False)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            raise
        raise MetarunError(f"{' '.join(words)}: {usage()} (metarun {words[0]} --help)") from None
    if code == 130:  # what Typer makes of Ctrl-C, without a word
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
