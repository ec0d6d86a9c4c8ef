"""metarun: learning that adapts. One protocol for transfer, online, adaptive and meta-learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from metarun.answers.api import Answers
    from metarun.answers.rows import RowAnswers
    from metarun.estimators import MetaClassifier as MetaClassifier
    from metarun.estimators import MetaRegressor as MetaRegressor

__version__ = "0.1.0"


def load(run: str | Path, outputs: str | Path = "outputs") -> Answers | RowAnswers:
    """Return a finished run as an object that answers for people, or for rows of a file: `predict`, `explain`.

    run: its folder, `latest`, an experiment, the start of a run's id (looked for in `outputs`), or a saved file.
    """
    from metarun.answers.locate import of_arrays

    if of_arrays(run, outputs):
        from metarun.answers import rows

        return rows.load(run, outputs)
    from metarun.answers.api import load as found  # torch is imported by those who need it

    return found(run, outputs)


def __getattr__(name: str) -> Any:
    """Return an estimator; torch and scikit-learn are imported by those who ask for one."""
    if name in ("MetaClassifier", "MetaRegressor"):
        try:
            from metarun import estimators
        except ModuleNotFoundError as error:
            from metarun.errors import MetarunError

            if (error.name or "").split(".")[0] != "sklearn":
                raise
            raise MetarunError(f"metarun.{name} needs scikit-learn: pip install 'metarun[estimators]'") from None
        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
