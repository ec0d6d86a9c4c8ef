import errno
import json
import os

import numpy as np
import pytest

from metarun import atomic
from metarun.errors import MetarunError
from metarun.results import (
    KEYS,
    Score,
    aligned,
    difference,
    load_scores,
    read_json,
    rows,
    save_scores,
    write_json,
    write_jsonl,
)

IDS = np.arange(3, dtype=np.int64)


def score(metric="mse", values=(1.0, 7.0, 4.0), ids=IDS, method="meta/maml", support=5, protocol="tasks"):
    return Score("test", protocol, method, "user-cold", support, metric, np.asarray(ids), np.asarray(values, float))


def test_rows_have_the_keys_of_the_design():
    (line,) = rows([score()], round=1, stage="evaluate", seed=3, params={"inner_lr": 0.1})
    assert tuple(line) == KEYS
    assert line["metric"] == "rmse"
    assert line["value"] == 2.0
    assert line["ci95"] == pytest.approx(4.3027 * 3 / 3**0.5 / 4)
    assert (line["n"], line["seed"], line["support"], line["round"], line["step"]) == (3, 3, 5, 1, None)
    assert line["params"] == {"inner_lr": 0.1}


def test_f1_comes_from_the_mean_precision_and_recall():
    pair = [
        score("precision@20", (0.5, 0.5, 0.5), support=None),
        score("recall@20", (0.5, 0.25, 0.0), ids=IDS[::-1], support=None),
    ]
    found = {line["metric"]: line["value"] for line in rows(pair, None, None, 0)}
    assert found == {"precision@20": 0.5, "recall@20": 0.25, "f1@20": pytest.approx(1 / 3)}


def test_a_diverged_method_is_null_in_json(tmp_path):
    lines = rows([score(values=(1.0, np.inf, 2.0)), score("mae", (1.0,), ids=[0])], 0, "evaluate", 0)
    assert [(line["value"], line["ci95"]) for line in lines] == [(None, None), (1.0, None)]
    write_jsonl(tmp_path / "metrics.jsonl", lines)
    assert [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()] == lines


def test_scores_survive_the_disk(tmp_path):
    kept = [
        score(),
        score("mae", support=None),
        score(ids=[4, 9, 2], method="baseline/ridge", protocol="rated-only/k=20"),
    ]
    save_scores(tmp_path / "task_scores.npz", kept)
    for before, after in zip(kept, load_scores(tmp_path / "task_scores.npz"), strict=True):
        assert before[:6] == after[:6]
        assert np.array_equal(before.ids, after.ids)
        assert np.array_equal(before.values, after.values)
    assert [file.name for file in tmp_path.iterdir()] == ["task_scores.npz"]


def test_equal_ids_are_stored_once(tmp_path):
    save_scores(tmp_path / "s.npz", [score(support=s) for s in (0, 1, 3)])
    with np.load(tmp_path / "s.npz") as arrays:
        assert sorted(arrays.files) == ["ids_0", "index", "values_0", "values_1", "values_2"]


def test_difference_is_paired_by_id():
    a, b = score(values=(1.0, 4.0, 7.0)), score(values=(7.0, 4.0, 1.0), ids=IDS[::-1], method="baseline/ridge")
    assert aligned(a, b).tolist() == [1.0, 4.0, 7.0]
    assert difference(a, b) == (0.0, 0.0, 3)
    with pytest.raises(ValueError, match="not the same tasks: meta/maml mse and baseline/ridge mse"):
        difference(a, score(ids=[0, 1, 5], method="baseline/ridge"))


def test_refusals():
    with pytest.raises(ValueError, match="judged twice"):
        rows([score(), score()], 0, None, 0)
    with pytest.raises(ValueError, match="one value per task"):
        rows([score(ids=[0, 1])], 0, None, 0)
    with pytest.raises(ValueError, match="one value per task"):
        rows([score(ids=[0, 1, 1])], 0, None, 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a zip"])
def test_broken_scores_are_an_error(tmp_path, content):
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(MetarunError, match="cannot read the task scores"):
        load_scores(tmp_path / "s.npz")


def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(MetarunError, match=r"summary\.json: No space left on device\. .* paths\.outputs=FOLDER"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "outputs").write_text("")
    with pytest.raises(MetarunError, match=r"paths\.outputs"):
        save_scores(tmp_path / "outputs" / "s.npz", [score()])


def test_numpy_scalars_and_names_in_any_script(tmp_path):
    write_json(tmp_path / "a.json", {"n": np.int64(3), "x": np.float32(0.5), "name": "元学习", "at": tmp_path})
    assert read_json(tmp_path / "a.json") == {"n": 3, "x": 0.5, "name": "元学习", "at": str(tmp_path)}
    with pytest.raises(TypeError, match="set does not fit in JSON"):
        write_json(tmp_path / "a.json", {"s": {1}})
    with pytest.raises(MetarunError, match="cannot read"):
        read_json(tmp_path / "none.json")
