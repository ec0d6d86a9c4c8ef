"""Weights & Biases: offline into the run's folder, to be sent by `wandb sync`, or online."""

from __future__ import annotations

import json
import secrets
import threading
from pathlib import Path
from typing import Any

from metarun import atomic
from metarun.errors import MetarunError
from metarun.trackers.base import Results, Tracker, columns, require

PATIENCE = 60
"""Seconds that it may take to reach the server, and again to send the rest at the end."""
SOON = 5
"""Seconds for the rest where the run was asked to leave: SLURM by default kills 30 s after it has asked."""
ID = "id.txt"


class WeightsAndBiases(Tracker):
    """One W&B run per run of ours; its id is kept in the folder, so a run that is taken up goes on in the same one."""

    def __init__(
        self,
        *,
        folder: Path,
        run: str,
        mode: str = "offline",
        project: str = "metarun",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str],
    ) -> None:
        require("wandb", "logger=wandb")
        self.folder, self.run, self.mode = folder, run, mode
        self.place = {"project": project, "entity": entity, "group": group, "tags": tags}
        if mode == "online":
            self._login()

    def _login(self) -> None:
        """Raise MetarunError where there is no key, for which W&B would ask in the middle of the run."""
        import wandb

        if not wandb.login(prompt=False, verify=False):
            raise MetarunError(
                "logger.wandb.mode=online needs a key: call `wandb login` once or set WANDB_API_KEY, "
                "or choose logger.wandb.mode=offline"
            )

    def begin(self, config: dict[str, Any]) -> None:
        """Open the run. Steps are counted per stage, so each stage has an axis of its own."""
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        # W&B must neither take over our terminal nor ask questions on it.
        settings = wandb.Settings(console="off", silent=True, init_timeout=PATIENCE)
        opened = wandb.init(
            id=self.identity(), name=self.run, dir=self.folder, mode=self.mode, resume="allow",  # type: ignore[arg-type]
            settings=settings, reinit="finish_previous", **self.place,  # type: ignore[arg-type]
        )  # fmt: skip
        self.logger = WandbLogger(experiment=opened)
        self.logger.log_hyperparams(config)
        self.stages: set[str] = set()

    def identity(self) -> str:
        """Return the W&B run's id. Ours says what was run, which others of the same project may have run too."""
        path = self.folder / "wandb" / ID
        if not path.exists():
            atomic.write_text(path, secrets.token_hex(8))
        return path.read_text(encoding="utf-8")

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Log numbers named STAGE/NAME against STAGE/step."""
        if stage not in self.stages:
            self.logger.experiment.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
            self.stages.add(stage)
        self.logger.log_metrics({f"{stage}/step": step} | {f"{stage}/{name}": value for name, value in values.items()})

    def results(self, results: Results) -> None:
        """Log table and plots, final values as the run's summary, and the manifest as a file of the run."""
        names = columns(results.table)
        cells = [[_cell(row[name]) for name in names] for row in results.table]
        self.logger.log_table("results", columns=names, data=cells)
        for path in results.plots:
            self.logger.log_image(path.stem, [str(path)])
        for row in results.table:
            place = [row["split"], row["method"], row["cell"], row["support"], row["metric"]]
            self.logger.experiment.summary["/".join(str(part) for part in place if part is not None)] = row["value"]
        copy = Path(self.logger.experiment.dir) / "manifest.json"
        copy.write_text(json.dumps(results.manifest, indent=1), encoding="utf-8")

    def close(self) -> None:
        """Finish the run; raises TimeoutError where the server takes too long, what is left is in the folder."""
        ending = threading.Thread(target=self.logger.experiment.finish, daemon=True)
        ending.start()
        seconds = SOON if self.hurry else PATIENCE
        ending.join(seconds)
        if ending.is_alive():
            raise TimeoutError(f"not all was sent in {seconds} s: wandb sync {self.folder / 'wandb'}/run-*")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value
