"""What the tests of answers share; `made` lies beside it."""

from __future__ import annotations

from pathlib import Path

import made
import pytest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run's folder, and nothing else around it."""
    return made.run(tmp_path / "outputs" / "made" / "0123abcd")
