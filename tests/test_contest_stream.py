"""A whole pass from the command to the run folder, killed and taken up, and what is refused."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import Kill, attempt, bits, command, complaint, differing, folder_of, steps_taken

from metarun import config
from metarun.errors import MetarunError
from metarun.results import load_scores
from metarun.strategies.baseline.river_mf import RiverMF

AGAINST = [f"baseline/{name}" for name in ("last_rating", "last_rating_of_user", "running_item_mean", "running_bias")]
PROTOCOL = "prequential/chunk=1/delay=0/from=0.1"


def words(data: Path, home: Path, *more: str) -> list[str]:
    return [
        "+experiment=movielens_online", "dataset.version=100k", "pipeline.save_every=3", "evaluate.stream_blocks=10",
        f"evaluate.against=[{','.join(AGAINST)}]", "evaluate.reference=baseline/running_bias",
        f"paths.data={data}", f"paths.outputs={home}/outputs", *more,
    ]  # fmt: skip


def short_steps() -> None:
    from metarun.data import whole

    whole.ROWS = 250


@pytest.fixture(scope="module")
def undisturbed_pass(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pass")
    assert attempt(words(few_ratings, home), home, changes=[short_steps]) == 0
    return home


def test_the_run_folder_holds_every_row_of_the_table(undisturbed_pass: Path) -> None:
    folder = folder_of(undisturbed_pass)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    methods = {*AGAINST, *(f"{kind}online/incremental_mf" for kind in ("", "hindsight/", "frozen/"))}
    found = summary["stream"][PROTOCOL]
    assert set(found) == methods == set(summary["pass"]["by_block"])
    assert set(summary["pass"]["paired"]) == methods - {"baseline/running_bias"}
    assert all(entry["n"] == 10 for entries in found.values() for entry in entries.values())
    assert found["hindsight/online/incremental_mf"]["rmse"]["value"] <= found["online/incremental_mf"]["rmse"]["value"]
    scores = {(score.method, score.metric): score for score in load_scores(folder / "task_scores.npz")}
    mse, rows = (scores["online/incremental_mf", name].values for name in ("mse", "rows"))
    assert rows.sum() == 4500 - 450
    assert found["online/incremental_mf"]["rmse"]["value"] == pytest.approx(np.sqrt((mse * rows).sum() / rows.sum()))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    tested = {(line["method"], line["metric"]) for line in lines if line["split"] == "test"}
    assert tested == {(method, metric) for method in methods for metric in ("rmse", "mae")}
    chosen = [line for line in lines if line["split"] == "validation"]
    assert {line["protocol"] for line in chosen} == {"prequential/chunk=1/delay=0/until=0.1"}
    assert (folder / "error_over_time.png").read_bytes().startswith(b"\x89PNG")
    text = (undisturbed_pass / "log").read_text(encoding="utf-8")
    assert "RMSE less running_bias" in text
    assert "online/incremental_mf: RMSE" in text


@pytest.mark.slow
def test_a_pass_killed_anywhere_ends_with_the_same_bits(
    undisturbed_pass: Path, few_ratings: Path, tmp_path: Path
) -> None:
    key = "pass-online-incremental_mf"
    kills = [
        *(Kill("step", key, at) for at in (1, 4, 11, 18)),
        Kill("write", f"{key}/last.ckpt", 1, "half"),
        Kill("write", f"{key}/model.ckpt", 1, "half"),
        Kill("step", "pass-baseline-running_bias", 8),
        Kill("write", "summary.json", 1, "before"),
        Kill("write", "summary.json", 1, "after"),
    ]
    given = words(few_ratings, tmp_path)
    for kill in kills:
        assert attempt(given, tmp_path, kill, [short_steps]) != 0, f"never reached: {kill}"
    assert attempt(given, tmp_path, changes=[short_steps]) == 0
    assert len(steps_taken(tmp_path)) - len(steps_taken(undisturbed_pass)) <= 3 * len(kills)
    manifest = json.loads((folder_of(tmp_path) / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["model"]["labels"], manifest["attempts"][-1]["exit"]) == (4500, "finished")
    assert len(manifest["attempts"]) == len(kills), "the last of them had finished"
    assert not differing(bits(folder_of(tmp_path)), bits(folder_of(undisturbed_pass)))


def test_a_pass_is_saved_by_the_clock_too(few_ratings: Path, tmp_path: Path) -> None:
    given = words(few_ratings, tmp_path, "pipeline.save_minutes=0.00001")
    given[given.index("pipeline.save_every=3")] = "pipeline.save_every=1000"
    assert attempt(given, tmp_path, Kill("step", "pass-online-incremental_mf", 11), [short_steps]) != 0
    assert list(folder_of(tmp_path).glob("checkpoints/pass-online-incremental_mf/last.ckpt"))


def test_a_check_counts_what_it_has_done(few_ratings: Path, tmp_path: Path) -> None:
    given = [word for word in words(few_ratings, tmp_path, "trainer=smoke") if "evaluate.against" not in word]
    assert attempt([*given, "evaluate.against=[]"], tmp_path, changes=[short_steps]) == 0
    summary = json.loads((folder_of(tmp_path) / "summary.json").read_text(encoding="utf-8"))
    manifest = json.loads((folder_of(tmp_path) / "manifest.json").read_text(encoding="utf-8"))
    assert summary["optimiser_steps"] == len(steps_taken(tmp_path))
    assert sum(one["steps"] for one in summary["cost"].values()) == len(steps_taken(tmp_path))
    assert manifest["model"]["labels"] == summary["pass"]["ratings"] == 2 * 250


def test_it_shows_a_finished_run(undisturbed_pass: Path, few_ratings: Path) -> None:
    before = len(steps_taken(undisturbed_pass))
    code, text = command(words(few_ratings, undisturbed_pass), undisturbed_pass)
    assert (code, len(steps_taken(undisturbed_pass))) == (0, before)
    assert "is finished" in text


def test_without_an_opening_the_values_of_the_config_stand(few_ratings: Path, tmp_path: Path) -> None:
    given = words(few_ratings, tmp_path, "evaluate.stream_start=0.0", "evaluate.against=[]")
    assert attempt(given, tmp_path) == 0
    summary = json.loads((folder_of(tmp_path) / "summary.json").read_text(encoding="utf-8"))
    assert summary["trials"] == {"online/incremental_mf": 1, "baseline/running_bias": 1}
    assert set(summary["stream"]) == {"prequential/chunk=1/delay=0/from=0"}
    assert not [method for method in summary["pass"]["by_block"] if method.startswith("frozen")]


def test_river_stands_beside_it_where_it_is_installed(few_ratings: Path, tmp_path: Path) -> None:
    pytest.importorskip("river")
    given = words(
        few_ratings, tmp_path, "evaluate.against=[baseline/river_default]", "evaluate.reference=baseline/river"
    )
    kill = Kill("step", "pass-baseline-river", 11)
    assert attempt(given, tmp_path, kill, [short_steps]) != 0
    assert attempt(given, tmp_path, changes=[short_steps]) == 0
    other = tmp_path / "other"
    other.mkdir()
    whole = [*given[:-1], f"paths.outputs={other}/outputs", given[-1]]
    assert attempt(whole, other, changes=[short_steps]) == 0
    assert not differing(bits(folder_of(tmp_path)), bits(folder_of(other)))


def test_a_missing_river_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "river":
            raise ImportError(name)
        return known(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MetarunError, match=r"pip install river.*reference=baseline/running_bias"):
        RiverMF()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["strategy=online/incremental_mf"], "dataset.split=cold deals them out to tasks: use dataset.split=stream"),
        (["evaluate.against=[baseline/running_bias]"], "evaluate.against=baseline/running_bias learns"),
        (["+experiment=movielens_online", "strategy=meta/maml"], "strategy=meta/maml adapts to tasks"),
        (["+experiment=movielens_online", "evaluate.reference=baseline/ridge"], "allowed are online/incremental_mf, "),
        (["+experiment=movielens_online", "pipeline.rounds=2"], "passes once over the ratings; allowed is 1"),
        (["evaluate.against=[baseline/retrained]"], "use dataset.split=time, or leave it out"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(given: list[str], said: str) -> None:
    with pytest.raises(MetarunError) as error:
        config.compose(given)
    assert said in str(error.value)


def test_ratings_without_a_time_are_refused(tmp_path: Path, few_ratings: Path) -> None:
    data = tmp_path / "data" / "ml-100k"
    data.mkdir(parents=True)
    for file in (few_ratings / "ml-100k").iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    text = (data / "u.data").read_text(encoding="latin-1").splitlines()
    text[5] = "\t".join([*text[5].split("\t")[:3], "0"])
    (data / "u.data").write_text("\n".join(text) + "\n", encoding="latin-1")
    said = complaint(command(words(tmp_path / "data", tmp_path), tmp_path))
    assert "dataset.split=stream needs a time for every rating, but 1 of 4500" in said
