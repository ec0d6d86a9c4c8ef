"""The verbs: list, show, data and report."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from metarun import config, options
from metarun.cli import main
from metarun.verbs import show

Out = pytest.CaptureFixture[str]
EXPERIMENTS = options.names("experiment")
OF_EPISODES = (
    "clinc150", "digits_protonet", "omniglot", "prior_classifier", "prior_regressor", "sinusoid_maml", "spoken_words",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_list_has_everything_one_line_each(capsys: Out) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for group in options.groups():
        for name in options.names(group):
            assert sum(line.split()[:1] == [name] for line in lines) >= 1, name
    assert any(line.split()[:2] == ["meta/maml", "*"] for line in lines)


def test_list_of_one_group_or_family(capsys: Out) -> None:
    assert main(["list", "strategy/meta"]) == 0
    out = capsys.readouterr().out
    assert "meta/ridge" in out
    assert "transfer/" not in out


def test_list_marks_what_is_yours(capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "mine.yaml").write_text("# metarun backbone=mine\n# A backbone of mine.\n")
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    assert main(["list", "backbone"]) == 0
    assert "A backbone of mine. (yours)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["list", "stratgy"], "there is no group 'stratgy'. Did you mean 'strategy'?"),
        (["list", "strategy/mta"], "there is no strategy 'mta'."),
        (["show", "strategy/meta/mamll"], "there is no strategy 'meta/mamll'. Did you mean 'meta/maml'?"),
        (["show", "ridge"], "there are several, choose one of strategy/transfer/ridge, strategy/meta/ridge"),
        (["show", "strategy"], "names a group; `metarun list strategy` lists it"),
        (["show", "backbone/mf", "seed=1"], "only an experiment is shown with changes"),
        (["show", "experiment/movielens_maml", "seed=x"], "seed=x: wrong type, give int >= 0"),
        (
            ["show", "experiment/movielens_mam"],
            "there is no experiment 'movielens_mam'. Did you mean 'movielens_maml'?",
        ),
        (["show"], "show: Missing argument"),
        (["report", "--cvs", "x"], "No such option"),
        (["data", "check", "ml-2m"], "2m"),
        (["report", "nothing_like_it"], "nothing_like_it"),
    ],
    ids=str,
)
def test_bad_words_are_refused_in_one_line(
    words: list[str], line: str, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("metarun: ")
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("word", ["strategy/meta/maml", "maml", "strategy=meta/maml", "strategy/meta/maml.yaml"])
def test_show_prints_the_file(word: str, capsys: Out) -> None:
    assert main(["show", word]) == 0
    assert capsys.readouterr().out == options.find("strategy/meta/maml").read_text(encoding="utf-8")


def test_shown_option_saved_runs(capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["show", "strategy/meta/maml"]) == 0
    place = tmp_path / "strategy" / "meta" / "mine.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(capsys.readouterr().out, encoding="utf-8")
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    assert config.compose(["strategy=meta/mine"]).strategy == config.compose(["strategy=meta/maml"]).strategy


@pytest.mark.parametrize("changes", [[], ["strategy=[meta/ridge,online/sgd]", "tuned.sgd.inner_lr=0.3", "seed=3"]])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_shown_experiment_saved_runs(
    name: str, changes: list[str], capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if changes and name in ("movielens_warm", "movielens_recbole"):  # their splits have nobody to adapt to
        changes = [*changes, "dataset.split=cold"]
    if changes and name in OF_EPISODES:  # nothing streams there
        changes = ["strategy=[meta/ridge,transfer/finetune]", "tuned.finetune.inner_lr=0.3", "seed=3"]
    if changes and name == "mnist_cnn":  # all its classes are known
        changes = ["dataset.split=seeded", "strategy=meta/protonet", "seed=3"]
    if changes and name == "movielens_online":  # its strategies are others
        changes = ["strategy.online.forgetting=0.3", "seed=3"]
    if changes and name == "split_digits":  # tasks one after another, none to adapt to
        changes = ["strategy=online/replay", "tuned.sgd.inner_lr=0.3", "seed=3"]
    if changes and name == "elec2_adaptive":  # no opening rows to meta-train on
        changes = ["strategy=online/sgd", "tuned.sgd.inner_lr=0.3", "seed=3"]
    assert main(["show", f"experiment/{name}", *changes]) == 0
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "FILE.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    expected = config.compose([f"+experiment={name}", *changes])
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    saved = config.compose(["+experiment=FILE"])
    assert {key: saved[key] for key in saved if key != "composed"} == {
        key: expected[key] for key in expected if key != "composed"
    }
    assert set(saved.composed.options) ^ set(expected.composed.options) == {f"experiment/{name}", "experiment/FILE"}


def test_shown_experiment_has_the_help_of_every_field(capsys: Out) -> None:
    assert main(["show", "experiment/movielens_maml"]) == 0
    text = capsys.readouterr().out
    assert "  dim: 32  # int >= 1; length K of the taste vector" in text
    assert "seed: 0  # int >= 0; " in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("option", ["strategy/meta/maml", "dataset/movielens", "config"])
def test_shown_yaml_fits_the_terminal_and_stays_yaml(option: str, width: int) -> None:
    text = options.find(option).read_text(encoding="utf-8")
    lines = list(show.fit(text, width))
    assert yaml.safe_load("\n".join(lines)) == yaml.safe_load(text)
    assert all(len(line) <= width or "#" not in line for line in lines)


def test_data_list(capsys: Out, tmp_path: Path) -> None:
    assert main(["data", "list", "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for name in ("latest-small", "1m", "32m", "sample"):
        assert f"  {name} " in out
    assert "1,000,209 ratings, 6,040 users" in out
    assert "metarun data fetch 1m" in out


def test_data_check_of_the_sample(capsys: Out) -> None:
    assert main(["data", "check", "sample"]) == 0
    assert "movielens/sample (synthetic)" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["list", "-h"], ["show", "--help"], ["data", "--help"], ["report", "--help"]])
def test_verbs_have_help(words: list[str], capsys: Out) -> None:
    assert main(words) == 0
    assert f"metarun {words[0]}" in capsys.readouterr().out
