"""TensorBoard: scalars per stage, hyper-parameters, and the results as text and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metarun.trackers.base import Results, Row, Tracker, columns, flat, require


class TensorBoard(Tracker):
    """Writes event files to FOLDER/tensorboard; each attempt adds one, and TensorBoard shows them as one run."""

    def __init__(self, *, folder: Path, run: str) -> None:
        require("tensorboard", "logger=tensorboard")
        self.folder = folder

    def begin(self, config: dict[str, Any]) -> None:
        """Open an event file."""
        from pytorch_lightning.loggers import TensorBoardLogger

        self.logger = TensorBoardLogger(self.folder, name="", version="tensorboard", default_hp_metric=False)
        self.logger.log_hyperparams(flat(config))

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Write scalars named STAGE/NAME."""
        self.logger.log_metrics({f"{stage}/{name}": value for name, value in values.items()}, step)

    def results(self, results: Results) -> None:
        """Write the table and the manifest as text, plots as images, and final values as scalars of their own."""
        import matplotlib.image

        writer = self.logger.experiment
        writer.add_text("results", markdown(results.table))
        writer.add_text(
            "manifest", "".join(f"    {line}\n" for line in json.dumps(results.manifest, indent=1).split("\n"))
        )
        for path in results.plots:
            writer.add_image(path.stem, matplotlib.image.imread(path)[..., :3], dataformats="HWC")

    def close(self) -> None:
        """Flush and close the event file."""
        self.logger.finalize("success")


def markdown(table: list[Row]) -> str:
    """Return a table as TensorBoard renders it.

    >>> print(markdown([{"method": "meta/maml", "value": 0.91234, "n": None}]))
    | method | value |
    |---|---|
    | meta/maml | 0.9123 |
    """
    names = columns(table)
    lines = [names, *([_short(row[name]) for name in names] for row in table)]
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(names), *text[1:]])


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
