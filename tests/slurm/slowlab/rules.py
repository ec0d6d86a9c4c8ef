"""MAML whose outer steps are written down, and last as long as the shell says."""

from __future__ import annotations

import os
import time
from pathlib import Path

from torch import Tensor

from metarun.strategies.gradient import Gradient


class Slow(Gradient):
    """Writes "PROCESS\\n" into SLOWLAB_STEPS at each outer step and then waits SLOWLAB_PAUSE seconds."""

    def regulariser(self) -> Tensor:
        """Return what MAML adds; asked for once per outer step."""
        with Path(os.environ["SLOWLAB_STEPS"]).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(float(os.environ["SLOWLAB_PAUSE"]))
        found: Tensor = super().regulariser()
        return found
