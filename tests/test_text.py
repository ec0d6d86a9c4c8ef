"""Texts: vocabularies of training rows, backbones that padding never changes, TF-IDF, and runs from one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from metarun import build, config
from metarun.backbones.bag import Bag
from metarun.backbones.gru import GRU
from metarun.backbones.lstm import LSTM
from metarun.backbones.text import TextEncoder
from metarun.backbones.text_cnn import TextCNN
from metarun.backbones.transformer import Transformer
from metarun.data.tokens import Vocabulary, padded
from metarun.errors import MetarunError
from metarun.model import Spec
from metarun.results import read_json
from metarun.run import run

SPEC = Spec(shape=(6,), vocabulary=20)
BACKBONES: dict[str, Any] = {
    "bag": lambda: Bag(8, 0, spec=SPEC),
    "bag of pairs": lambda: Bag(8, 50, spec=SPEC),
    "text_cnn": lambda: TextCNN(4, 3, [1, 2, 3], spec=SPEC),
    "gru": lambda: GRU(4, 5, spec=SPEC),
    "lstm": lambda: LSTM(4, 5, spec=SPEC),
    "transformer": lambda: Transformer(8, 2, 2, False, spec=SPEC),
    "causal transformer": lambda: Transformer(8, 2, 2, True, spec=SPEC),
}
TOKENS = torch.tensor([[3, 4, 5, 0, 0, 0], [7, 8, 9, 10, 2, 1], [0, 0, 0, 0, 0, 0]])


@pytest.fixture(params=list(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> TextEncoder:
    torch.manual_seed(0)
    made: TextEncoder = BACKBONES[request.param]()
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.1 * torch.randn(value.shape))  # what begins at zero takes part as well
    return made


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_recurrent_networks_hear_each_moment_and_not_the_silence(kind: type[TextEncoder]) -> None:
    torch.manual_seed(0)
    made: Any = kind(4, 5, spec=Spec(shape=(1, 6, 8)))  # type: ignore[call-arg]
    x = torch.randint(1, 256, (3, 1, 6, 8), dtype=torch.uint8)
    x[:, :, :, 5:] = 0
    short: Any = kind(4, 5, spec=Spec(shape=(1, 6, 5)))  # type: ignore[call-arg]
    short.load_state_dict(made.state_dict())
    assert torch.allclose(made(x), short(x[..., :5]))
    assert torch.allclose(made(x), made(x.float() / 255))
    assert not torch.allclose(made(x), made(x.flip(3)), atol=1e-3)
    assert torch.isfinite(made(torch.zeros_like(x))).all()


def official(home: Path) -> Path:
    """Write a small CLINC150 in the official layout: 5 domains of 3 intents, 12 texts each."""
    folder = home / "clinc150"
    folder.mkdir(parents=True)
    domains = {f"d{d}": [f"do_{d}_{i}" for i in range(3)] for d in range(5)}
    texts: dict[str, list[list[str]]] = {"oos_train": [["what is this", "oos"]]}
    for part, number in (("train", 8), ("val", 2), ("test", 2)):
        texts[part] = [
            [f"please do thing{name} number{row} word{name[-3]}", name]
            for names in domains.values()
            for name in names
            for row in range(number)
        ]
    (folder / "data_full.json").write_text(json.dumps(texts))
    (folder / "domains.json").write_text(json.dumps(domains))
    return home


def words(home: Path, *more: str) -> list[str]:
    """Return the overrides of a small run on the small CLINC150."""
    return [
        "+experiment=clinc150", f"paths.data={home}", f"paths.outputs={home / 'outputs'}", "dataset.ways=[3]",
        "dataset.supports=[1,2]", "dataset.queries=2", "dataset.train_ways=null", "dataset.test_tasks=10",
        "evaluate.validation_tasks=5", "pretrain=none", "pipeline.meta.steps=3", "backbone.width=8", *more,
    ]  # fmt: skip


def test_the_vocabulary_is_of_training_rows_alone(tmp_path: Path) -> None:
    data = build.dataset(config.compose(words(official(tmp_path), "dataset.tokens=word", "dataset.ways=[2]")))
    known, (table, seen) = data.vocabulary.reader.get_vocab(), (data.table, data.seen)
    trained, other = ({word for text in table.inputs[rows] for word in text.split()} for rows in (seen, ~seen))
    hidden = other - trained
    assert hidden
    assert not hidden & set(known)
    assert {"please", "do"} <= set(known)
    unseen = data.inputs[torch.from_numpy(~seen)]
    assert bool((unseen == 1).any())  # unknown words are told apart from padding
    assert not bool((data.inputs[torch.from_numpy(seen)] == 1).any())


def test_no_domain_is_in_two_parts(tmp_path: Path) -> None:
    data = build.dataset(config.compose(words(official(tmp_path))))
    table = data.table
    domains = {p: {table.classes[c].split("_")[1] for c in classes} for p, classes in data.parts.items()}
    assert [len(domains[p]) for p in ("train", "validation", "test")] == [3, 1, 1]
    assert len(set.union(*domains.values())) == 5
    again = build.dataset(config.compose(words(tmp_path, "dataset.split_seed=1")))
    assert again.parts != data.parts


def test_official_test_texts_are_held_out_where_all_intents_are_known(tmp_path: Path) -> None:
    overrides = words(
        official(tmp_path), "dataset.split=rows", "pretrain=supervised", "strategy=[]", "evaluate.against=[]"
    )
    data = build.dataset(config.compose(overrides))
    assert int(data.held_out.sum()) == 15 * 2
    assert sorted(np.flatnonzero(~data.seen)) == sorted(data.table.official["test"])


def test_tokens_of_three_kinds() -> None:
    texts = ["Play a song", "play songs", "我要订机票"]
    word, char = Vocabulary(texts, "word", 100), Vocabulary(texts, "char", 100)
    assert word.numbers(["PLAY a xyz"])[0][2] == 1
    assert len(word.numbers(["我要订机票"])[0]) == len("我要订机票")  # Chinese by characters
    assert len(char.numbers(["a song"])[0]) == len("a song")
    pieces = Vocabulary(texts, "bpe", 100).numbers(["plays"])[0]
    assert 1 not in pieces
    assert len(pieces) > 1
    assert padded([[5, 6, 7], [8]], 2).tolist() == [[5, 6], [8, 0]]
    assert np.allclose(np.linalg.norm(word.bags(["play song", "nothing here"]), axis=1), [1, 0])


def test_padding_never_changes_the_features(backbone: TextEncoder) -> None:
    whole = backbone(TOKENS)
    assert whole.shape == (3, backbone.out_features)
    assert bool(whole.isfinite().all())
    assert torch.allclose(backbone(TOKENS[:1, :3]), whole[:1], atol=1e-6)
    assert torch.allclose(backbone(TOKENS[:1]), whole[:1], atol=1e-6)  # nor do other rows


def test_features_differ_between_tasks_under_vmap(backbone: TextEncoder) -> None:
    weights = {name: torch.stack([value, 1.1 * value]) for name, value in backbone.named_parameters()}
    both = vmap(lambda w, x: functional_call(backbone, w, (x,)))(weights, TOKENS[None].expand(2, -1, -1))
    for task in range(2):
        alone = functional_call(backbone, {name: value[task] for name, value in weights.items()}, (TOKENS,))
        assert torch.allclose(both[task], alone, atol=1e-5)


def test_second_derivatives(backbone: TextEncoder) -> None:
    backbone.double()
    names = [name for name, _ in backbone.named_parameters()]
    start = tuple(value.detach()[..., :2].clone().requires_grad_() for value in backbone.parameters())
    rest = [value.detach()[..., 2:] for value in backbone.parameters()]

    def loss(*first: Tensor) -> Tensor:
        given = {n: torch.cat([a, b], -1) for n, a, b in zip(names, first, rest, strict=True)}
        return functional_call(backbone, given, (TOKENS[:2],)).tanh().sum()

    assert torch.autograd.gradgradcheck(loss, start, fast_mode=True)


@pytest.mark.parametrize("name", ["gru", "lstm", "causal transformer"])
def test_a_causal_backbone_does_not_look_ahead(name: str) -> None:
    made = BACKBONES[name]()
    x = TOKENS[1:2]
    changed = x.clone()
    changed[0, 4:] = 11
    there = torch.ones(1, 6)
    first, second = made.places(made.vectors[x], there), made.places(made.vectors[changed], there)
    assert torch.allclose(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, 4:], second[:, 4:])


def test_loops_are_those_of_torch() -> None:
    made, theirs = GRU(4, 5, spec=SPEC), torch.nn.GRU(4, 5, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(made.of_token.weight)
        theirs.bias_ih_l0.copy_(made.of_token.bias)
        theirs.weight_hh_l0.copy_(made.of_state.weight)
        theirs.bias_hh_l0.copy_(made.of_state.bias)
    vectors = torch.randn(2, 6, 4)
    assert torch.allclose(made.places(vectors, torch.ones(2, 6)), theirs(vectors)[0], atol=1e-6)


def test_tfidf_is_that_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    cfg = config.compose(words(official(tmp_path), "dataset.tokens=bpe"))
    data = build.dataset(cfg)
    rule = build.rule(cfg, "baseline/tfidf", build.model(cfg, data.spec))
    trained = data.tasks("validation").batch(torch.arange(4))
    rule.prepare(iter([trained]))
    rows = torch.cat([trained.support.x, trained.query.x], 1).flatten(0, 1)
    theirs = TfidfTransformer().fit(rule.counts(rows).numpy())
    task = data.tasks("test").batch(torch.arange(1))
    one = type(task)(
        {k: v[0] for k, v in task.context.items()},
        *(type(b)(*(leaf[0] for leaf in b)) for b in (task.support, task.query)),
    )
    seen, asked = (theirs.transform(rule.counts(b.x).numpy()).toarray() for b in (one.support, one.query))
    fitted = LogisticRegression(C=rule.inverse_penalty, max_iter=1000).fit(seen, one.support.y)
    out = rule.predict(rule.adapt(one), one.query.x)[:, :3].softmax(-1)
    assert np.allclose(out.numpy(), fitted.predict_proba(asked), atol=1e-4)


@pytest.mark.parametrize(
    "changed", [[], ["backbone=gru", "~backbone.width", "backbone.hidden=8", "dataset.tokens=char"]]
)
def test_a_run_from_one_command(tmp_path: Path, changed: list[str]) -> None:
    overrides = words(official(tmp_path))
    if changed:
        overrides = [w for w in overrides if not w.startswith("backbone.width")] + [c for c in changed if c[0] != "~"]
    summary = read_json(Path(run(config.compose(overrides))["folder"]) / "summary.json")
    found = summary["test"]["3-way"]["2"]
    assert {"baseline/tfidf", "baseline/nearest_mean"} <= set(found)
    assert all(0 <= found[method]["accuracy"]["value"] <= 1 for method in found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["backbone=mlp"], "dataset/clinc150"),
        (["dataset=digits"], "text"),
        (["dataset.tokens=words"], "dataset.tokens"),
    ],
)
def test_texts_and_arrays_are_kept_apart(changes: list[str], said: str) -> None:
    with pytest.raises(MetarunError, match=said):
        build.dataset(config.compose(["+experiment=clinc150", *changes]))


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match=r"data_full\.json is not there: download .*METARUN_DATA"):
        build.dataset(config.compose(["+experiment=clinc150", f"paths.data={tmp_path}"])).read()
    official(tmp_path)
    (tmp_path / "clinc150" / "domains.json").write_text("{")
    with pytest.raises(MetarunError, match=r"domains\.json: is damaged"):
        build.dataset(config.compose(["+experiment=clinc150", f"paths.data={tmp_path}"])).read()


def own(home: Path, text: str | bytes, name: str = "texts.csv") -> Path:
    """Write a table of the user's own."""
    path = home / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = "".join(f"say {word} {row},{word}\n" for word in "abcdefghij" for row in range(6))


def of_own(path: Path, *more: str) -> Any:
    """Return the dataset of a table."""
    return build.dataset(config.compose(["+experiment=clinc150", "dataset=text_csv", f"dataset.path={path}", *more]))


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    data = of_own(own(tmp_path, "text,label\n" + ROWS))
    assert data.table.classes == list("abcdefghij")
    lines = "".join(json.dumps({"text": f"say {w} {r}", "label": w}) + "\n" for w in "abcdefghij" for r in range(6))
    same = of_own(own(tmp_path, lines, "texts.jsonl"))
    assert same.table.inputs.tolist() == data.table.inputs.tolist()
    assert same.table.label.tolist() == data.table.label.tolist()


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("text,label\n" + ROWS, ["dataset.label=lable"], r"dataset\.label=lable: .* has no such column.*'label'"),
        ("", [], "is empty"),
        ("text,label\nhello,a\n,b\n", [], r"line 3: column 'text' \(dataset\.text\) is empty"),
        ("text,label\nhello,a\nyou,\n", [], r"line 3: column 'label' \(dataset\.label\) is empty"),
        ("text,label\nhello,a\nyou,a\n", [], r"has one label only \('a'\)"),
        ("text,label\n你好,a\n再见,b\n".encode("gb18030"), [], r"encoding"),
    ],
)
def test_what_is_wrong_in_a_table_is_told(tmp_path: Path, content: str | bytes, more: list[str], said: str) -> None:
    with pytest.raises(MetarunError, match=said):
        of_own(own(tmp_path, content), *more).read()


def test_too_few_rows_of_a_label_are_told(tmp_path: Path) -> None:
    data = of_own(own(tmp_path, "text,label\n" + ROWS), "dataset.ways=[2]", "dataset.supports=[5]")
    with pytest.raises(MetarunError, match=r"5 shots and 5 queries need 10 rows of a class, but .* has 6"):
        data.tasks("test")
