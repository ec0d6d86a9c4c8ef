"""What finished runs on clips, images and texts say of files: what the run itself would say, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from metarun import config
from metarun.answers import rows
from metarun.data.audio import template
from metarun.errors import MetarunError
from metarun.run import run


def table(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on clips, two levels below which the clips lie."""
    pytest.importorskip("soundfile")
    home = tmp_path_factory.mktemp("heard")
    template.write(home / "words", speakers=False)
    found = run(config.compose([
        "+experiment=spoken_words", "dataset=audio_folder", f"dataset.path={home}/words", "dataset.ways=[2]",
        "dataset.test_tasks=4", "evaluate.validation_tasks=4", "evaluate.against=[]", f"paths.outputs={home}/runs",
        "evaluate.reference=baseline/svm", "pipeline.meta.steps=3", "backbone.channels=4",
    ]))  # fmt: skip
    return Path(found["folder"])


def test_clips_are_heard_as_in_training(heard: Path) -> None:
    home = heard.parents[2]
    support = table(home, "s.csv", "file,label", "words/go/0.wav,go", "words/yes/0.wav,yes")
    query = table(home, "q.csv", "file", "words/go/3.wav", "words/yes/3.wav")
    answers = rows.load(heard)
    read = answers.reader.read(query, "--query", False).x
    from metarun import build

    data = build.dataset(config.compose([
        "+experiment=spoken_words", "dataset=audio_folder", f"dataset.path={home}/words", "dataset.ways=[2]"
    ]))  # fmt: skip
    each = template.CLIPS
    where = [template.WORDS.index(word) * each + 4 for word in ("go", "yes")]  # 0, 1, 10, 11, 2, 3 by name
    known = torch.stack([data.inputs[place + offset] for place, offset in zip(where, (1, 1), strict=True)])
    assert torch.equal(read, known)
    assert answers.predict(support, query).label.tolist() == ["go", "yes"]
    assert answers.explain(support, query)[1].shape == (2, 2)


def test_what_is_wrong_in_a_file_of_clips_is_named(heard: Path) -> None:
    home = heard.parents[2]
    support = table(home, "s.csv", "file,label", "words/go/0.wav,go", "words/yes/0.wav,yes")
    answers = rows.load(heard)
    (home / "text.wav").write_text("no sound")
    for lines, said in (
        (("clip,note", "words/go/1.wav,mine"), "no column 'file', which a run on clips reads"),
        (("file", "words/go/99.wav"), r"line 2: .*99.wav is no file"),
        (("file", "words/go/1.wav", "text.wav"), r"line 3: .*text.wav cannot be read as sound"),
        (("file,label", "words/go/1.wav,"), "line 2: column 'label' is empty"),
        (("file,label", "words/go/1.wav,stop"), "'stop' is in no row of the support"),
        (("file",), "has a header, but no rows"),
    ):
        with pytest.raises(MetarunError, match=said):
            answers.predict(support, table(home, "q.csv", *lines))


def test_images_are_read_from_files_and_from_columns(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    pytest.importorskip("sklearn")
    found = run(config.compose([
        "+experiment=digits_protonet", "dataset.ways=[2]", "dataset.test_tasks=4", "evaluate.validation_tasks=4",
        "evaluate.against=[]", f"paths.outputs={tmp_path}", "pipeline.meta.steps=3", "backbone=conv4",
        "backbone.channels=8", "dataset.supports=[1]",
    ]))  # fmt: skip
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (4, 8, 8)).astype(np.uint8)
    for number, image in enumerate(pixels):
        images.fromarray(image).save(tmp_path / f"{number}.png")
    support = table(tmp_path, "s.csv", "file,label", "0.png,a", "1.png,b")
    files = rows.load(found["folder"]).predict(support, table(tmp_path, "q.csv", "file", "2.png", "3.png"))
    columns = ",".join(f"x{i}" for i in range(64))
    lines = [",".join(f"{value / 255:.9f}" for value in image.flatten()) for image in pixels]
    plain = table(tmp_path, "t.csv", f"{columns},label", f"{lines[0]},a", f"{lines[1]},b")
    again = rows.load(found["folder"]).predict(plain, table(tmp_path, "u.csv", columns, *lines[2:]))
    assert np.allclose(files.chance, again.chance, atol=1e-5)


def test_texts_are_read_with_the_vocabulary_of_training(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    from metarun.data import row_template

    texts = row_template.write("texts", tmp_path)
    found = run(config.compose([
        "+experiment=clinc150", "dataset=text_csv", f"dataset.path={texts}", "dataset.ways=[2]",
        "dataset.train_ways=[4]", "dataset.test_tasks=4", "evaluate.validation_tasks=4", "evaluate.against=[]",
        f"paths.outputs={tmp_path}", "pipeline.meta.steps=3", "evaluate.reference=baseline/tfidf",
    ]))  # fmt: skip
    support = table(tmp_path, "s.csv", "text,label", "where is my refund,refund", "reset my password,password")
    query = table(tmp_path, "q.csv", "text", "my refund please", "a password")
    answers = rows.load(found["folder"])
    assert answers.predict(support, query).label.tolist() == ["refund", "password"]
    with pytest.raises(MetarunError, match="no column 'text'"):
        answers.predict(support, table(tmp_path, "b.csv", "said,note", "my refund,mine"))
