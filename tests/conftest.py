"""Makes what the tests share (toys.py, laws.py, small_run.py) importable from every folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_run import SHORT, SMALL, attempt, bits, folder_of, write_ratings


@pytest.fixture(scope="session")
def few_ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a few ratings."""
    return write_ratings(tmp_path_factory.mktemp("data"))


@pytest.fixture
def words(few_ratings: Path, tmp_path: Path) -> list[str]:
    """The words of a short command."""
    return [*SMALL, *SHORT, f"paths.data={few_ratings}", f"paths.outputs={tmp_path}/outputs"]


@pytest.fixture(scope="session")
def undisturbed(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the short command leaves where nothing goes wrong."""
    home = tmp_path_factory.mktemp("undisturbed")
    assert attempt([*SMALL, *SHORT, f"paths.data={few_ratings}", f"paths.outputs={home}/outputs"], home) == 0
    return bits(folder_of(home))
