"""A whole run over a stream, from the command to the run folder: what it says, killed, taken up, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import Kill, attempt, bits, command, complaint, differing, folder_of, steps_taken

from metarun.datasets.drifting import Drifting
from metarun.events import BINARY, DETECTORS, Events
from metarun.rule import Batch
from metarun.stages.loop import fit
from metarun.stages.stream import Follow, Plan
from metarun.strategies.gradient import Gradient

PROTOCOL = "prequential/chunk=1/delay=0/from=400"
FOLLOWER = "follow-adaptive-fixed_share"


def words(home: Path, *more: str) -> list[str]:
    return [
        "+experiment=streams_compare", "dataset.rows=3000", "dataset.opening=400", "dataset.every=500",
        "evaluate.against=[baseline/last_label,baseline/frozen,online/sgd,meta/ridge]", "evaluate.stream_blocks=10",
        "pipeline.meta.steps=3", "pipeline.save_every=2", f"paths.outputs={home}/outputs", *more,
    ]  # fmt: skip


def short_steps() -> None:
    from metarun.stages import stream

    stream.ROWS = 200


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("stream")
    assert attempt(words(home), home, changes=[short_steps]) == 0
    return home


def test_the_summary_has_every_row_that_a_stream_is_read_beside(undisturbed: Path) -> None:
    summary = json.loads((folder_of(undisturbed) / "summary.json").read_text(encoding="utf-8"))
    found = summary["stream"][PROTOCOL]
    mixed = "adaptive/fixed_share"
    assert set(found) == {
        mixed, f"hindsight/{mixed}", f"uniform/{mixed}", "baseline/last_label", "baseline/frozen", "online/sgd",
        "meta/ridge",
    }  # fmt: skip
    assert summary["winner"] == mixed
    more = summary["pass"]["more"]
    loss = {name: values["log_loss"]["value"] for name, values in found.items()}
    regret = 2600 * (loss[mixed] - loss[f"hindsight/{mixed}"])
    assert more[mixed]["static_regret"] == pytest.approx(regret, rel=1e-3)
    assert more[mixed]["tracking_regret"] >= more[mixed]["static_regret"]
    assert more["baseline/last_label"]["kappa_t"] == pytest.approx(0.0, abs=1e-6)
    assert summary["pass"]["drifts"] == [500, 1000, 1500, 2000, 2500]
    assert loss[mixed] < loss["baseline/frozen"]
    assert loss["baseline/frozen"] == pytest.approx(np.log(2), abs=1e-5)
    said = (undisturbed / "log").read_text(encoding="utf-8")
    assert "each row predicted before it is learned from" in said
    assert "rows to" in said
    assert (folder_of(undisturbed) / "stream.png").read_bytes().startswith(b"\x89PNG")
    curves = json.loads((folder_of(undisturbed) / "curves.json").read_text(encoding="utf-8"))[mixed]
    assert len(curves["row"]) == len(curves["trust"]) == 13
    assert np.allclose(np.sum(curves["trust"], 1), 1, atol=1e-3)


@pytest.mark.slow
def test_a_stream_killed_anywhere_ends_with_the_same_bits(undisturbed: Path, tmp_path: Path) -> None:
    kills = [
        *(Kill("step", FOLLOWER, at) for at in (1, 4, 11)),
        Kill("write", f"{FOLLOWER}/last.ckpt", 1, "half"),
        Kill("write", f"{FOLLOWER}/model.ckpt", 1, "before"),
        Kill("step", "follow-online-sgd", 6),
        Kill("write", "summary.json", 1, "before"),
    ]
    for kill in kills:
        assert attempt(words(tmp_path), tmp_path, kill, [short_steps]) != 0, kill
    assert attempt(words(tmp_path), tmp_path, changes=[short_steps]) == 0
    assert not differing(bits(folder_of(undisturbed)), bits(folder_of(tmp_path)))
    extra = len(steps_taken(tmp_path)) - len(steps_taken(undisturbed))
    assert extra <= len(kills) * 2, "no more is repeated than what lies between two checkpoints"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["warn_swap", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("recall", "surgical", "tta"))]
)
def test_a_rule_that_listens_is_taken_up_with_what_it_had_heard(name: str, tmp_path: Path) -> None:
    pytest.importorskip("river")
    more = [
        f"strategy=adaptive/{name}", "dataset.rows=900", "dataset.opening=100", "dataset.every=300",
        "evaluate.delay=30",
        "evaluate.against=[]", "evaluate.tasks=false", "evaluate.events=[detector]", "pipeline.save_every=1",
        "evaluate.detector=adwin",
    ]  # fmt: skip
    homes = [tmp_path / home for home in ("whole", "killed")]
    for home in homes:
        home.mkdir()
    assert attempt(words(homes[0], *more), homes[0], changes=[short_steps]) == 0
    kill = Kill("step", f"follow-adaptive-{name}", 3)
    assert attempt(words(homes[1], *more), homes[1], kill, [short_steps]) != 0
    assert attempt(words(homes[1], *more), homes[1], changes=[short_steps]) == 0
    assert not differing(*(bits(folder_of(home)) for home in homes))
    summary = json.loads((folder_of(homes[0]) / "summary.json").read_text(encoding="utf-8"))
    assert summary["pass"]["more"][f"adaptive/{name}"]["alarms"] > 0


@pytest.mark.parametrize(
    "strategy", ["[adaptive/fixed_share,meta/maml]", pytest.param("[online/sgd,meta/ridge]", marks=pytest.mark.nightly)]
)
def test_the_meta_stage_learns_between_rounds(strategy: str, tmp_path: Path) -> None:
    given = words(tmp_path, f"strategy={strategy}", "pipeline.rounds=3", "evaluate.against=[]")
    assert attempt(given, tmp_path) == 0
    kept = {path.name for path in (folder_of(tmp_path) / "checkpoints").iterdir()}
    follower = f"follow-{strategy[1:].split(',')[0].replace('/', '-')}"
    assert {f"{n}-{follower}" for n in (1, 2, 3)} | {"1-meta", "2-meta"} <= kept
    starts = [torch.load(folder_of(tmp_path) / f"checkpoints/{n}-meta/model.ckpt")["model"] for n in (1, 2)]
    assert not torch.equal(starts[0]["head.weight"], starts[1]["head.weight"])


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["dataset.lags=[1]", "evaluate.delay=1"], "dataset.lags: 1 rows back there is no label yet"),
        (["dataset.opening=0"], "meta/ridge is meta-trained on the first rows, of which dataset.opening=0 leaves none"),
        (["dataset.opening=3000"], "has 3000 rows, of which none is left to predict"),
        (["dataset.opening=50"], "a stretch has 100 rows"),
        (["strategy.adaptive.sets=[[lags]]"], "the groups of features of this dataset are inputs: dataset.lags="),
        (["evaluate.detector=adwn"], "Did you mean 'adwin'?"),
    ],
    ids=str,
)
def test_bad_words_are_refused_in_one_line(more: list[str], line: str, tmp_path: Path) -> None:
    assert line in complaint(command(words(tmp_path, *more), tmp_path))


def test_events_that_cannot_be_told_are_refused_before_anything_is_followed(tmp_path: Path) -> None:
    more = ["strategy=adaptive/warn_swap", "dataset.drift=none", "evaluate.events=[random,oracle]"]
    assert "where this stream drifts is not known" in complaint(command(words(tmp_path, *more), tmp_path))
    assert not list(tmp_path.glob("outputs/*/*/checkpoints/*"))


def test_rows_in_order_are_judged_as_a_stream(tmp_path: Path) -> None:
    assert "use evaluate=stream" in complaint(command(["+experiment=elec2_adaptive", "evaluate=episodes"], tmp_path))


def follower(data: Drifting, rule: Gradient, folder: Path, delay: int | None, chunk: int) -> Follow:
    total = len(data.found.y)
    with torch.no_grad():
        state = rule.init({})
    return Follow(rule, state, data, Plan(data.opening, total, chunk, 50), delay, Events([]), folder, "online/sgd")


@pytest.mark.parametrize(("delay", "chunk"), [(0, 1), (0, 7), (5, 1), (5, 7), (400, 1), (None, 1)])
def test_following_predicts_before_it_learns_and_learns_when_labels_come(
    delay: int | None, chunk: int, tmp_path: Path
) -> None:
    from metarun import build, config

    cfg = config.compose(["+experiment=streams_compare", "dataset.rows=300", "dataset.opening=20"])
    data = build.dataset(cfg)
    rule = Gradient(model=build.model(cfg, data.spec), inner_lr=0.1)
    stage = follower(data, rule, tmp_path, delay, chunk)
    fit(stage, stage.plan.batch, len(stage.plan), tmp_path, "x", trainer=cfg.trainer, save_every=10**9)
    x, y = data.whole
    ones, weight = torch.ones(280, 1), torch.zeros(11, 2)
    x, y, expected = torch.cat([x[20:], ones], 1), y[20:], []
    for first in range(0, 280, chunk):
        rows = slice(first, min(first + chunk, 280))
        expected.append(torch.nn.functional.cross_entropy(x[rows] @ weight, y[rows], reduction="none"))
        if delay is None:
            continue
        then = slice(max(rows.start - delay, 0), max(rows.stop - delay, 0))
        if then.start < then.stop:
            slope = (x[then] @ weight).softmax(1) - torch.nn.functional.one_hot(y[then], 2)
            weight = weight - 0.1 * x[then].T @ slope / (then.stop - then.start)
    torch.testing.assert_close(
        torch.from_numpy(np.array(stage.losses()[:, 0])), torch.cat(expected), rtol=1e-3, atol=1e-4
    )


class Listener(Gradient):
    """Starts again where it is told of drift, and remembers what it was told."""

    listens = True
    heard: list[int]

    def update(self, state: Any, batch: Batch) -> Any:
        """Note the event."""
        self.heard.append(int(batch.event))
        return super().update(state, batch)


def test_who_listens_is_told_where_the_concept_changes(tmp_path: Path) -> None:
    from metarun import build, config

    cfg = config.compose(
        ["+experiment=streams_compare", "dataset.rows=300", "dataset.opening=0", "evaluate.against=[]"]
    )
    data = build.dataset(cfg)
    rule = Listener(model=build.model(cfg, data.spec), inner_lr=0.1)
    rule.heard = []
    stage = follower(data, rule, tmp_path, 0, 1)
    stage.events = Events([100, 200])
    fit(stage, stage.plan.batch, len(stage.plan), tmp_path, "x", trainer=cfg.trainer, save_every=10**9)
    assert [row for row, event in enumerate(rule.heard) if event == 3] == [100, 200] == stage.alarms


@pytest.mark.parametrize("detector", [*DETECTORS, *BINARY])
def test_a_detector_notices_that_a_label_turns_round(detector: str) -> None:
    pytest.importorskip("river")
    from metarun.events import told

    events = told("detector", 0, 2000, drifts=[], number=0, detector=detector, seed=0)
    draws, rows = np.random.default_rng(0), []
    for row in range(2000):
        events.saw(float(draws.random() < (0.05 if row < 1000 else 0.9)))
        if events.at(row) == 3:
            rows.append(row)
    assert rows
    assert 1000 < next(row for row in rows if row > 1000) < 1300
    assert len([row for row in rows if row < 1000]) < 5


def test_a_warning_is_told_where_it_begins() -> None:
    river = pytest.importorskip("river")
    from metarun.events import told

    events, alone = told("detector", 0, 2000, drifts=[], number=0, detector="ddm", seed=0), river.drift.binary.DDM()
    draws, found, states = np.random.default_rng(0), [], []
    for row in range(2000):
        error = float(draws.random() < (0.05 if row < 1000 else 0.3))
        events.saw(error)
        alone.update(error)
        found.append(events.at(row))
        states.append(3 if alone.drift_detected else 2 if alone.warning_detected else 0)
    assert states.count(2) > found.count(2) > 0
    before = [0, *states[:-1]]
    assert found == [0 if s == 2 == b else s for s, b in zip(states, before, strict=True)]


@pytest.mark.parametrize(("hears", "rows"), [(3, [100, 200]), (2, [50, 100, 200])])
def test_what_is_an_alarm_is_the_rules_to_say(hears: int, rows: list[int], tmp_path: Path) -> None:
    from metarun import build, config
    from metarun.events import WARNING

    class Warned(Events):
        def at(self, row: int) -> int:
            return WARNING if row == 50 else super().at(row)

    cfg = config.compose(
        ["+experiment=streams_compare", "dataset.rows=300", "dataset.opening=0", "evaluate.against=[]"]
    )
    data = build.dataset(cfg)
    rule = Listener(model=build.model(cfg, data.spec), inner_lr=0.1)
    rule.heard, rule.hears = [], hears
    stage = follower(data, rule, tmp_path, 0, 1)
    stage.events = Warned([100, 200])
    fit(stage, stage.plan.batch, len(stage.plan), tmp_path, "x", trainer=cfg.trainer, save_every=10**9)
    assert stage.alarms == rows


def test_controls_tell_as_often_as_they_are_asked_to() -> None:
    from metarun.events import told

    for kind in ("random", "periodic"):
        events = told(kind, 100, 2000, drifts=[], number=7, detector="", seed=1)
        assert len(events.rows) == 7
        assert all(100 <= row < 2000 for row in events.rows)
    assert told("oracle", 0, 9, drifts=[4], number=0, detector="", seed=0).rows == {4}
