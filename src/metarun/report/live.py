"""A run on a terminal: a few calm lines that stay in place, and above them one line for everything that is done."""

from __future__ import annotations

import sys

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from metarun.report.progress import Progress, Silent

HERTZ = 4
BAR = 40


class Screen(Silent):
    """Redraws the progress a few times a second from a thread of its own, so that time passes between steps too."""

    calm = 1 / HERTZ

    def __init__(self, progress: Progress, console: Console) -> None:
        super().__init__(progress)
        self.console = console
        self.live = Live(
            get_renderable=self.picture, console=console, refresh_per_second=HERTZ, transient=True,
            vertical_overflow="crop",
            # Without it a pipe would lose what belongs to it, with it what is printed stays above the picture.
            redirect_stdout=sys.stdout.isatty(),
        )  # fmt: skip

    def __enter__(self) -> Screen:
        self.live.start(refresh=True)
        # A process killed by force cannot bring the cursor back, so it never goes.
        self.console.show_cursor(True)
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def say(self, line: str) -> None:
        """Leave a line above the picture."""
        self.console.print(Text(line), soft_wrap=True)

    def picture(self) -> RenderableType:
        """Return where the run is, as high as it is now, for any width."""
        progress, ascii_only = self.progress, self.console.options.ascii_only
        comma, overflow = (", ", "crop") if ascii_only else (" · ", "ellipsis")

        def text(parts: list[str], style: str = "") -> Text:
            return Text(comma.join(part for part in parts if part), style, no_wrap=True, overflow=overflow)  # type: ignore[arg-type]

        done = f"done {', '.join(progress.done)}" if progress.done else ""
        come = f"next {', '.join(progress.next)}" if progress.next else ""
        lines: list[RenderableType] = [text([progress.where(), *progress.used()], "bold")]
        if progress.steps:
            lines.append(self.bar(text([progress.label], "cyan")))
        lines.append(text(progress.numbers()))
        if done or come:
            lines.append(text([come, done], "dim"))
        return Group(*lines)

    def bar(self, label: Text) -> RenderableType:
        """Return the stage, a bar where there is room for one, and its steps."""
        progress, width = self.progress, self.console.width
        count = Text(f"{progress.step}/{progress.steps}", no_wrap=True)
        room = min(BAR, width - len(label) - len(count) - 4)
        if room < 5:
            return Text.assemble(label, " ", count, no_wrap=True, overflow=label.overflow or "crop")
        row = Table.grid(Column(no_wrap=True), Column(width=room), Column(no_wrap=True), padding=(0, 1))
        row.add_row(label, ProgressBar(progress.steps, progress.step, room), count)
        return row


def fits(console: Console) -> bool:
    """Return whether a console can draw its lines again: a terminal, whatever FORCE_COLOR says, and no dumb one."""
    return console.file.isatty() and not console.is_dumb_terminal and not console.is_jupyter
