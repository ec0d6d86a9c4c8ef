"""A whole run over a sequence of tasks: what it says, killed and taken up, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_run import Kill, attempt, bits, command, complaint, differing, folder_of

pytest.importorskip("sklearn")
METHODS = "baseline/majority,online/sgd,online/ewc,online/derpp,online/slda,online/rls"


def words(home: Path, *more: str) -> list[str]:
    return [
        "+experiment=split_digits", f"evaluate.against=[{METHODS}]", "dataset.rows=40", "pipeline.save_every=1",
        f"paths.outputs={home}/outputs", *more,
    ]  # fmt: skip


def short_steps() -> None:
    from metarun.stages import stream

    stream.ROWS = 30


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sequence")
    assert attempt(words(home), home, changes=[short_steps]) == 0
    return home


def test_the_summary_has_accuracy_on_all_tasks_so_far_and_the_matrix(undisturbed: Path) -> None:
    folder = folder_of(undisturbed)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    matrices = json.loads((folder / "accuracy_matrix.json").read_text(encoding="utf-8"))
    assert list(summary["test"]["seen"]) == ["1", "2", "3", "4", "5"]
    assert set(matrices) == {"online/replay", *METHODS.split(",")}
    for method, figures in summary["sequence"].items():
        r = np.array(matrices[method])
        assert r.shape == (6, 5)
        assert figures["final"] == pytest.approx(r[-1].mean(), abs=1e-5)
        first = summary["test"]["seen"]["1"][method]["accuracy"]
        assert first["value"] == pytest.approx(r[1, 0], abs=1e-5)
    assert summary["sequence"]["online/slda"]["final"] > 0.7 > summary["sequence"]["online/sgd"]["final"]
    assert summary["stream"] == {}, "a stream sorted by class is never ranked by how well its rows were predicted"
    assert (folder / "sequence.png").stat().st_size > 10_000


@pytest.mark.parametrize("method", ["online-replay", "online-derpp", "online-ewc", "online-slda"])
def test_a_sequence_killed_in_a_task_ends_with_the_same_bits(method: str, undisturbed: Path, tmp_path: Path) -> None:
    assert attempt(words(tmp_path), tmp_path, Kill("step", f"follow-{method}", 5), [short_steps]) != 0
    assert attempt(words(tmp_path), tmp_path, changes=[short_steps]) == 0
    assert not differing(bits(folder_of(undisturbed)), bits(folder_of(tmp_path)))


@pytest.mark.parametrize("strategy", ["online/replay", "online/derpp"])
def test_kept_rows_of_other_tasks_are_learned_where_classes_are_told(strategy: str, tmp_path: Path) -> None:
    more = ["dataset.kind=task", f"strategy={strategy}", "evaluate.against=[online/sgd]", "dataset.rows=null"]
    assert attempt(words(tmp_path, *more), tmp_path) == 0
    summary = json.loads((folder_of(tmp_path) / "summary.json").read_text(encoding="utf-8"))
    assert summary["sequence"][strategy]["final"] > summary["sequence"]["online/sgd"]["final"] > 0.5


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["dataset.size=3"], "dataset.size=3: digits has 10 classes"),
        (["evaluate.delay=5"], "evaluate.delay=5: a sequence of tasks"),
        (["evaluate.metric=log_loss"], "evaluate.metric=log_loss: a sequence of tasks"),
        (["pipeline.rounds=2"], "pipeline.rounds=2: a sequence of tasks"),
        (["strategy=meta/maml"], "needs tasks"),
    ],
)
def test_bad_words_are_refused_in_one_line(more: list[str], line: str, tmp_path: Path) -> None:
    assert line in complaint(command(words(tmp_path, *more), tmp_path))
