"""TensorBoard and Weights & Biases, without a network: what they get, what a run does without them."""

from __future__ import annotations

import json
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from small_run import Kill, command, complaint, differing, folder_of, steps_taken
from small_run import bits as bits_of

from metarun.errors import MetarunError
from metarun.stages.curve import Point
from metarun.trackers import Results, Tracker, Trackers, base, chosen, weights_and_biases
from metarun.trackers.tensorboard import TensorBoard
from metarun.trackers.weights_and_biases import WeightsAndBiases

ROW = {
    "round": 1, "stage": "evaluate", "split": "test", "protocol": "tasks", "method": "meta/maml", "cell": "user-cold",
    "support": 5, "step": 20, "metric": "rmse", "value": 0.91, "ci95": 0.02, "n": 90, "seed": 0, "params": {"lr": 0.1},
}  # fmt: skip
CURVE = [Point(1, 0.5, 0.01), Point(2, 0.25, 0.005)]


def picture(folder: Path) -> Path:
    """Write a small plot."""
    from matplotlib.figure import Figure

    Figure(figsize=(1, 1)).savefig(folder / "error.png")
    return folder / "error.png"


def fed(tracker: Tracker, folder: Path) -> None:
    """Give a tracker all that a short run gives, in two attempts."""
    for points in (CURVE[:1], CURVE[1:]):
        time.sleep(1.1)  # both name their files by the second
        tracker.begin({"seed": 0, "backbone": {"dim": 4}, "supports": [0, 1]})
        for point in points:
            tracker.log("1-meta", point.step, {"loss": point.loss, "rate": point.rate})
    tracker.log("1-meta", 20, {"validation_rmse": 0.93})
    tracker.results(Results([ROW], [picture(folder)], {"format": 1, "exit": "finished"}))
    tracker.close()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return all scalars that TensorBoard shows for a run, and check what it has beside them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(e.step, round(e.value, 6)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_gets_curves_config_table_plots_and_manifest(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fed(TensorBoard(folder=tmp_path, run="exp abc"), tmp_path)
    found = scalars(tmp_path)
    assert found["1-meta/loss"] == [(1, 0.5), (2, 0.25)]
    assert found["1-meta/rate"] == [(1, 0.01), (2, 0.005)]
    assert found["1-meta/validation_rmse"] == [(20, 0.93)]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert tags["images"] == ["error"]
    text = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    assert "| meta/maml | user-cold | 5 |" in text["results/text_summary"]
    assert '"exit": "finished"' in text["manifest/text_summary"]
    assert "backbone.dim: 4" in (tmp_path / "tensorboard" / "hparams.yaml").read_text(encoding="utf-8")


def test_wandb_offline_keeps_one_run_over_two_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    folder = tmp_path / "1a2b3c4d.2"
    folder.mkdir()
    fed(WeightsAndBiases(folder=folder, run="exp 1a2b3c4d.2", tags=["a"], group="exp", project="own"), folder)
    runs = list(folder.glob("wandb/offline-run-*"))
    assert runs
    records = [record for run in sorted(runs) for record in logged(run)]
    kept = (folder / "wandb" / "id.txt").read_text(encoding="utf-8")
    assert {record.run.run_id for record in records if record.run.run_id} == {kept}
    assert {record.run.project for record in records if record.run.run_id} == {"own"}
    steps = [item for record in records for item in values(record) if "1-meta/loss" in item]
    assert [(item["1-meta/step"], item["1-meta/loss"], item["1-meta/rate"]) for item in steps] == [
        tuple(point) for point in CURVE
    ]
    final = {item.key or "/".join(item.nested_key): item.value_json for r in records for item in r.summary.update}
    assert final["test/meta/maml/user-cold/5/rmse"] == "0.91"
    (copy,) = folder.glob("wandb/offline-run-*/files/manifest.json")
    assert json.loads(copy.read_text(encoding="utf-8"))["exit"] == "finished"
    assert list(folder.glob("wandb/offline-run-*/files/media/table/results*"))
    assert list(folder.glob("wandb/offline-run-*/files/media/images/error*"))


def test_the_same_run_of_somebody_else_is_another_wandb_run(tmp_path: Path) -> None:
    mine, again, theirs = (
        WeightsAndBiases(folder=tmp_path / who / "1a2b3c4d", run="exp 1a2b3c4d", tags=[]).identity()
        for who in ("me", "me", "them")
    )
    assert mine == again != theirs


@pytest.mark.parametrize(("hurry", "seconds"), [(True, "0.1"), (False, "0.3")])
def test_a_server_that_is_slow_does_not_hold_a_run_that_was_asked_to_leave(
    hurry: bool, seconds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_and_biases, "SOON", 0.1)
    monkeypatch.setattr(weights_and_biases, "PATIENCE", 0.3)
    tracker, said = WeightsAndBiases(folder=tmp_path, run="exp abc", tags=[]), list[str]()
    tracker.logger = SimpleNamespace(experiment=SimpleNamespace(finish=lambda: time.sleep(2)))  # type: ignore[assignment]
    Trackers({"wandb": tracker}, said.append).close(hurry)
    (line,) = said
    assert f"not all was sent in {seconds} s: wandb sync" in line


def logged(run: Path) -> Iterator[Any]:
    """Yield the records of an offline run: a file header of 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = run.glob("*.wandb")
    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        room = 2**15 - place % 2**15
        if room < 7:
            place += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def values(record: Any) -> list[dict[str, Any]]:
    """Return what one record adds to the history."""
    items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
    return [items] if items else []


# ---------------------------------------------------------------------- what goes wrong


class Breaks(Tracker):
    """Fails at one of its calls and counts the others."""

    def __init__(self, at: str) -> None:
        self.at, self.calls = at, []  # type: ignore[var-annotated]

    def __getattribute__(self, name: str) -> Any:
        if name in ("begin", "log", "results", "close"):
            self.calls.append(name)
            if name == self.at:
                raise OSError(28, "No space left on device\nmore")
            return lambda *_: None
        return super().__getattribute__(name)


@pytest.mark.parametrize("at", ["begin", "log", "results", "close"])
def test_a_tracker_that_fails_is_one_line_and_the_other_goes_on(at: str) -> None:
    said: list[str] = []
    bad, good = Breaks(at), Breaks("never")
    members = Trackers({"tensorboard": bad, "wandb": good}, said.append)
    members.begin({})
    sent = members.curve("1-meta", CURVE, {})
    members.value("1-meta", 2, "validation_rmse", 0.9)
    members.results(Results([], [], {}))
    members.close()
    (line,) = said
    assert line.startswith("warning: logger=tensorboard failed ([Errno 28] No space left on device")
    assert "\n" not in line
    assert bad.calls.count(at) == 1, "it is not asked again"
    assert good.calls == ["begin", "log", "log", "log", "results", "close"]
    assert sent["wandb"] == 2


def test_a_curve_is_sent_once() -> None:
    one = Breaks("never")
    members = Trackers({"csv": one}, print)
    sent = members.curve("1-meta", CURVE[:1], {})
    assert sent == {"csv": 1}
    assert members.curve("1-meta", CURVE, sent) == {"csv": 2}
    assert one.calls == ["log", "log"]
    assert Trackers({}, print).curve("1-meta", CURVE, {}) == {}


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    node = {"logger": {"wandb": {"_target_": "metarun.trackers.weights_and_biases.WeightsAndBiases", "tags": []}}}
    with pytest.raises(MetarunError, match=r"^logger=wandb needs the package wandb: pip install 'metarun\[trackers\]'"):
        chosen(OmegaConf.create({"name": "run", **node}), tmp_path)


def test_online_without_a_key_is_refused_before_it_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import wandb

    monkeypatch.setattr(wandb, "login", lambda **_: False)
    with pytest.raises(MetarunError, match=r"wandb login.*logger\.wandb\.mode=offline"):
        WeightsAndBiases(folder=tmp_path, run="exp abc", mode="online", tags=[])


def without_trackers() -> None:
    """Let no tracker be installed."""
    from metarun.trackers import base

    base.find_spec = lambda _: None  # type: ignore[assignment]


def without_room() -> None:
    """Let TensorBoard's disk be full."""
    from tensorboard.summary.writer import record_writer

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    record_writer.RecordWriter.write = full


def without_network() -> None:
    """Let nobody answer where W&B is called."""
    from metarun.trackers import weights_and_biases

    weights_and_biases.PATIENCE = 3
    os.environ |= {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}


BOTH = "logger=[tensorboard,wandb]"


@pytest.mark.slow
def test_a_missing_package_is_told_before_anything_is_trained(words: list[str], tmp_path: Path) -> None:
    line = complaint(command([*words, BOTH], tmp_path, changes=[without_trackers]))
    assert "pip install 'metarun[trackers]'" in line
    assert steps_taken(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("changes", [[], pytest.param([without_room], marks=pytest.mark.nightly)])
def test_a_run_with_trackers_has_the_same_bits(
    changes: list[Callable[[], None]], words: list[str], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    code, text = command([*words, BOTH], tmp_path, Kill("step", "1-meta", 13))
    assert code == -signal.SIGKILL, text
    code, text = command([*words, BOTH], tmp_path, changes=changes)
    assert code == 0, text
    folder = folder_of(tmp_path)
    assert differing(bits_of(folder), undisturbed) == []
    assert ("warning: logger=tensorboard failed" in text) == bool(changes)
    if not changes:
        rows = [json.loads(line) for line in undisturbed["metrics"]]
        mine = [(row["step"], pytest.approx(row["value"])) for row in rows if row["stage"] == "1-meta"]
        assert scalars(folder)["1-meta/loss"] == mine[:-1]


@pytest.mark.slow
def test_a_run_without_a_network_goes_on_without_wandb(
    words: list[str], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    online = ["logger=wandb", "logger.wandb.mode=online"]
    code, text = command([*words, *online], tmp_path, changes=[without_network])
    assert code == 0, text
    (line,) = [line for line in text.splitlines() if line.startswith("warning: logger=")]
    assert line.startswith("warning: logger=wandb failed (")
    assert differing(bits_of(folder_of(tmp_path)), undisturbed) == []


@pytest.mark.slow
def test_a_folder_goes_on_with_another_logger(words: list[str], tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    assert command(words, tmp_path, Kill("step", "1-meta", 13))[0] == -signal.SIGKILL
    code, text = command([*words, "logger=tensorboard"], tmp_path)
    assert code == 0, text
    assert differing(bits_of(folder_of(tmp_path)), undisturbed) == []
    assert scalars(folder_of(tmp_path))["1-meta/loss"][0][0] == 1, "what it had not seen is sent later"
