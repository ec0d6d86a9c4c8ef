"""Reviews of new kinds of products: whole products train, characters of training reviews are the vocabulary."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metarun import build, config
from metarun.datasets.chinese_sentiment import ChineseSentiment
from metarun.errors import MetarunError
from metarun.results import read_json
from metarun.run import run

pytest.importorskip("tokenizers")
PRODUCTS = ("书籍", "手机", "水果", "酒店", "平板")
VIEW: dict[str, Any] = {
    "tokens": "char", "vocabulary": 100, "length": 12, "split_seed": 0, "test_group": "hotels", "supports": [0, 4],
    "queries": 8, "train_shots": None, "train_queries": None, "test_tasks": 3,
}  # fmt: skip


def official(home: Path) -> Path:
    """Write 30 reviews of each product in the official layout; good ones say 好, bad ones 差, and one says nothing."""
    folder = home / "chinese-sentiment"
    folder.mkdir()
    text, draws = io.StringIO(newline=""), np.random.default_rng(0)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["cat", "label", "review"])
    for product in PRODUCTS:
        for number in range(30):
            said = "".join(draws.choice(list("这个东西用了几天"), 5)) + ("很好" if number % 2 else "太差")
            writer.writerow([product, number % 2, f"{product[0]},{said}"])
    writer.writerow(["手机", 1, " "])
    with zipfile.ZipFile(folder / "online_shopping_10_cats.zip", "w") as archive:
        archive.writestr("online_shopping_10_cats.csv", "\ufeff" + text.getvalue())
    return home


def test_products_are_kept_apart_and_the_vocabulary_is_of_training_reviews(tmp_path: Path) -> None:
    data = ChineseSentiment(str(official(tmp_path)), **VIEW)
    assert (len(data.table.label), data.table.classes) == (150, ["negative", "positive"])
    assert [data.table.groups[number] for number in data.parts["test"]] == ["hotels"]
    known = data.vocabulary.reader.get_vocab()
    assert "好" in known
    assert "酒" not in known, "only reviews of the new product say it"
    assert data.spec.vocabulary == len(data.vocabulary)
    assert data.spec.shared
    tested = data.tasks("test").batch(torch.arange(3))
    assert tested.query.x.shape == (3, 8, 9)


def test_a_run_beats_chance_and_stands_beside_tfidf(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    words = [
        "+experiment=chinese_sentiment", f"paths.data={official(tmp_path)}", "dataset.test_group=hotels",
        "dataset.supports=[0,4]", "dataset.queries=8", "dataset.test_tasks=4", "evaluate.validation_tasks=4",
        "dataset.train_queries=null", "backbone.width=8", "backbone.pairs=0", "pretrain.epochs=60", "pretrain.lr=0.03",
        "strategy=online/sgd",
        "evaluate.against=[baseline/tfidf,baseline/tfidf_pooled]", f"paths.outputs={tmp_path}",
    ]  # fmt: skip
    found = read_json(Path(run(config.compose(words))["folder"]) / "summary.json")["test"]["new product"]
    assert found["0"]["baseline/tfidf"]["accuracy"]["value"] <= 0.75
    for method in ("online/sgd", "baseline/tfidf_pooled"):
        assert found["4"][method]["accuracy"]["value"] > 0.9, method


def test_pooled_tfidf_is_that_of_scikit_learn(tmp_path: Path) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    cfg = config.compose(
        ["+experiment=chinese_sentiment", f"paths.data={official(tmp_path)}", "dataset.test_group=hotels"]
    )
    data = build.dataset(cfg)
    rule: Any = build.rule(cfg, "baseline/tfidf_pooled", build.model(cfg, data.spec))
    x, y = data.inputs.double().numpy(), data.label.numpy()
    names = [str(number) for number in range(len(data.vocabulary))]
    counter = text.TfidfVectorizer(sublinear_tf=True, vocabulary=names, lowercase=False, token_pattern=r"\d+")
    said = [" ".join(str(int(token)) for token in row if token) for row in x]
    own = linear.LogisticRegression(max_iter=1000).fit(counter.fit_transform(said), y)
    assert np.allclose(rule.make().fit(x, y).predict_proba(x), own.predict_proba(counter.transform(said)), atol=1e-6)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match="download it from https"):
        _ = ChineseSentiment(str(tmp_path), **VIEW).table
    home = official(tmp_path)
    path = home / "chinese-sentiment" / "online_shopping_10_cats.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(MetarunError, match="is damaged"):
        _ = ChineseSentiment(str(home), **VIEW).table
    plain = path.with_suffix(".csv")
    plain.write_text("cat,label,review\n酒店,2,好\n", encoding="utf-8")
    with pytest.raises(MetarunError, match="line 2: is no row of"):
        _ = ChineseSentiment(str(home), **VIEW).table
    plain.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(MetarunError, match="line 1: has other columns"):
        _ = ChineseSentiment(str(home), **VIEW).table
