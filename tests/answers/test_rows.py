"""What a finished run says of rows of a file: that it is what the run itself would say, and what is wrong in a file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import metarun
from metarun import cli, config, verbs
from metarun.answers import audit, rows
from metarun.errors import MetarunError
from metarun.run import run

LABELLED = "age,smokes,ill\n70,yes,ill\n30,no,well\n52,yes,ill\n48,no,well\n"


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on a table of 4 clinics, in which the old are ill."""
    home = tmp_path_factory.mktemp("clinics")
    generator = np.random.default_rng(0)
    lines = ["age,smokes,clinic,ill"]
    for number in range(160):
        age = generator.integers(20, 80)
        lines.append(f"{age},{'yes' if number % 3 else 'no'},{number % 4},{'ill' if age > 50 else 'well'}")
    (home / "patients.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = run(config.compose([
        "+experiment=table", f"dataset.path={home}/patients.csv", "dataset.target=ill", "dataset.group=clinic",
        "dataset.test_tasks=4", "evaluate.validation_tasks=4", "evaluate.against=[]", "dataset.supports=[0,4]",
        "evaluate.reference=baseline/logistic", f"paths.outputs={home}", "pretrain.epochs=20", "strategy=meta/maml",
        "pipeline.meta.steps=2", "pipeline.meta.tasks=2",
    ]))  # fmt: skip
    return Path(found["folder"])


def file(folder: Path, name: str, text: str) -> Path:
    """Write a file and return it."""
    path = folder / name
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def test_predictions_are_those_of_the_adapted_rule(clinics: Path, tmp_path: Path) -> None:
    support = file(tmp_path, "s.csv", LABELLED)
    query = file(tmp_path, "q.csv", "smokes,age,ill\nyes,71,ill\nmaybe,20,well\n,,well\n")
    answers = rows.load(clinics)
    found = answers.predict(support, query)
    assert (found.label[:2].tolist(), found.classes) == (["ill", "well"], ["ill", "well"])
    assert np.allclose(found.chance.sum(1), 1)
    rule, reader = answers.found.rule, answers.reader
    given, asked = reader.read(support, "--support", True), reader.read(query, "--query", False)
    with rule.set(answers.found.chosen[4]), torch.no_grad():
        state = rule.init({"key": torch.zeros((), dtype=torch.int64), "classes": torch.ones(2)})
        batch = metarun.rule.Batch(given.x, torch.tensor([0, 1, 0, 1]), torch.ones(4), torch.ones(4), torch.tensor(0))
        out = rule.predict(rule.update(state, batch), asked.x)
    assert np.allclose(out.double().softmax(-1).numpy(), found.chance, atol=1e-5)


def test_without_support_the_run_answers_as_it_was_pretrained(clinics: Path, tmp_path: Path) -> None:
    query = file(tmp_path, "q.csv", "age,smokes\n75,yes\n22,no\n")
    assert rows.load(clinics).predict(None, query).label.tolist() == ["ill", "well"]


def test_taking_away_the_heaviest_rows_moves_predictions_more_than_others(clinics: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    ages = generator.integers(20, 80, 24)
    lines = [f"{age},{'yes' if age % 3 else 'no'},{'ill' if age > 50 else 'well'}" for age in ages]
    support = file(tmp_path, "s.csv", "\n".join(["age,smokes,ill", *lines[:16]]) + "\n")
    query = file(tmp_path, "q.csv", "\n".join(["age,smokes,ill", *lines[16:]]) + "\n")
    answers = rows.load(clinics)
    found, change = answers.explain(support, query)
    assert change.shape == (8, 16)
    given, asked, classes = answers.rows(support, query)
    best, moved = found.chance.argmax(1), []
    for order in (np.argsort(-np.abs(change), 1), generator.permuted(np.tile(np.arange(16), (8, 1)), axis=1)):
        known = torch.ones(8, 16).scatter(1, torch.from_numpy(order[:, :4].copy()), 0.0)
        out = answers.outputs(given, asked, classes, known).double().softmax(-1).numpy()
        rest = out[np.arange(8), np.arange(8), best]
        moved.append(np.abs(rest - found.chance[np.arange(8), best]).mean())
    assert moved[0] > moved[1]


def test_from_the_shell(clinics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    support = file(tmp_path, "s.csv", LABELLED)
    query = file(tmp_path, "q.csv", "age,smokes,ill\n71,yes,ill\n22,no,well\n")
    words = [str(clinics), "--support", str(support), "--query", str(query)]
    assert cli.main(["predict", *words, "--out", str(tmp_path / "out.csv")]) == 0
    assert "accuracy 1 on the 2 rows" in capsys.readouterr().out.replace("1.000", "1")
    with (tmp_path / "out.csv").open(encoding="utf-8") as given:
        assert [row["predicted"] for row in csv.DictReader(given)] == ["ill", "well"]
    assert cli.main(["explain", *words, "-k", "2"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if " ill " in line or " well " in line]) == 4


@pytest.mark.parametrize(
    ("support", "query", "said"),
    [
        ("age,smokes,ill\n71,yes,sick\n", "age,smokes\n1,no\n", r"line 2: column 'ill' has 'sick', and the classes"),
        ("age,smokes\n71,yes\n", "age,smokes\n1,no\n", "has no column 'ill', which the run reads"),
        (LABELLED, "age,smoke\n1,no\n", "has no column 'smokes', which the run reads. Did you mean 'smoke'"),
        (LABELLED, "age,smokes\n", "has a header, but no rows"),
        (LABELLED, "age,smokes\n1,\udcff\n", "line 2: byte 0xff is not utf-8 text; save the file as UTF-8"),
        (LABELLED, "age,smokes\nold,no\n", r"line 2: column 'age': 'old' is not a number"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    clinics: Path, tmp_path: Path, support: str, query: str, said: str
) -> None:
    with pytest.raises(MetarunError, match=said):
        rows.load(clinics).predict(file(tmp_path, "s.csv", support), file(tmp_path, "q.csv", query))


def test_an_audit_compares_groups_before_and_after_adapting(
    clinics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fairlearn")
    ages = range(20, 80, 2)
    lines = [f"{age},{'yes' if age % 4 else 'no'},{'ill' if age > 50 else 'well'}" for age in ages]
    query = file(tmp_path, "q.csv", "\n".join(["age,smokes,ill", *lines]) + "\n")
    support = file(tmp_path, "s.csv", LABELLED)
    kind, found = audit.audit(rows.load(clinics), support, query, "smokes", None)
    assert list(found) == ["before", "after"]
    for state, given in (("before", None), ("after", support)):
        prediction = rows.load(clinics).predict(given, query)
        right = prediction.label == prediction.truth
        accuracy, *_, specificity = found[state].gaps
        own = {name: right[kind == name].mean() for name in ("no", "yes")}
        assert accuracy.groups == pytest.approx(own)
        assert accuracy.gap == pytest.approx(abs(own["no"] - own["yes"]))
        assert accuracy.low <= accuracy.gap <= accuracy.high
        ill = (kind == "yes") & (prediction.truth == "ill")
        assert specificity.metric == "specificity"  # "well" is looked for, the later by alphabet
        assert specificity.groups["yes"] == pytest.approx((prediction.label[ill] == "ill").mean())
        line = found[state].reliability
        assert line.right.mean() == pytest.approx(right.mean())
    words = ["audit", str(clinics), "--query", str(query), "--support", str(support), "--by", "smokes"]
    assert cli.main([*words, "--positive", "ill", "--plot", str(tmp_path / "r.png")]) == 0
    out = capsys.readouterr().out
    assert "predicted ill" in out
    assert (tmp_path / "r.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--by", "smoke"], "--by=smoke: .*Did you mean 'smokes'"),
        (["--by", "age"], "12 different values"),
        (["--by", "smokes", "--positive", "sick"], "no such class; choose ill, well"),
        (["--by", "smokes", "--plot", "r.txt"], "written as .png, .svg or .pdf"),
    ],
)
def test_an_audit_says_what_is_wrong(clinics: Path, tmp_path: Path, more: list[str], said: str) -> None:
    pytest.importorskip("fairlearn")
    lines = [f"{20 + i},{'yes' if i % 2 else 'no'},{'ill' if i > 5 else 'well'}" for i in range(12)]
    query = file(tmp_path, "q.csv", "\n".join(["age,smokes,ill", *lines]) + "\n")
    with pytest.raises(MetarunError, match=said):
        verbs.main(["audit", str(clinics), "--query", str(query), *more])
