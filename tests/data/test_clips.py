"""Clips: files to samples to spectrograms, speakers and words as tasks, and what is said of a file that is wrong."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spoken_files import RATE, SPEAKERS, spoken, tone

from metarun.data.audio.decode import FULL, decode, fitted
from metarun.data.audio.disturbance import changed, faster, louder, noisy
from metarun.data.audio.spectrogram import cepstra, log_mel
from metarun.datasets.audio_folder import AudioFolder
from metarun.datasets.audio_speakers import AudioSpeakers
from metarun.datasets.speaker_drift import SpeakerDrift
from metarun.datasets.spoken_digits import SpokenDigits
from metarun.datasets.spoken_words import SpokenWords
from metarun.errors import MetarunError

soundfile = pytest.importorskip("soundfile")
GROUPS: dict[str, Any] = {
    "split_seed": 0, "test_group": None, "supports": [0, 4], "queries": 8, "train_shots": None, "train_queries": None,
    "test_tasks": 4, "noise": [], "gain": [], "speed": [], "bands": 16, "train_changes": 1.0, "seconds": 0.5,
}  # fmt: skip
WORDS: dict[str, Any] = {
    "split": "seeded", "split_seed": 0, "ways": [2], "supports": [1], "queries": 2, "train_ways": None,
    "train_shots": None, "train_queries": None, "test_tasks": 4, "bands": 16, "train_changes": 1.0, "seconds": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken(tmp_path_factory.mktemp("spoken"))


def test_a_clip_is_brought_to_one_channel_and_rate(tmp_path: Path) -> None:
    both = np.stack([tone(300, 0.2), np.zeros(round(0.2 * RATE))], 1)
    soundfile.write(tmp_path / "a.flac", both, RATE)
    assert np.abs(decode(tmp_path / "a.flac", "a", RATE) - both[:, 0] / 2 * FULL).max() < 2
    assert len(decode(tmp_path / "a.flac", "a", 2 * RATE)) == 2 * len(both)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"not a sound", "cannot be read as sound"), (None, "is silent"), (0, "has no samples")],
)
def test_what_is_no_sound_is_named(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "a.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        soundfile.write(path, np.zeros(0 if content == 0 else 100), RATE)
    with pytest.raises(MetarunError, match=f"a.wav.*{said}|{said}"):
        decode(path, str(path), RATE)


def test_a_spectrogram_shows_the_pitch_and_not_the_loudness() -> None:
    clips = fitted([(FULL * tone(hertz)).astype(np.int16) for hertz in (300, 1200)], RATE // 2)
    found = log_mel(clips, RATE, 16)
    assert found.shape == (2, 1, 16, 26)
    loudest = found.max(3)[:, 0].argmax(1)
    assert loudest[0] < loudest[1]
    softer = log_mel(louder(clips, -12), RATE, 16)
    assert np.abs(found.astype(int) - softer).mean() < 3
    assert (found[:, :, :, 0] == 0).all()


def test_cepstra_do_not_count_the_silence_around_a_clip() -> None:
    clip = (FULL * tone(500, 0.3)).astype(np.int16)
    short, long = (cepstra(log_mel(fitted([clip], round(s * RATE)), RATE, 16), 8) for s in (0.5, 0.9))
    assert short.shape == (1, 32)
    assert np.allclose(short, long)


def test_disturbances_do_what_they_say() -> None:
    clips = fitted([(FULL * tone(500, 0.5)).astype(np.int16)], RATE // 2)
    power = np.square(clips[clips != 0].astype(float)).mean()
    noise = noisy(clips, np.array([7]), 10, seed=0).astype(float) - clips
    assert 10 * np.log10(power / np.square(noise).mean()) == pytest.approx(10, abs=0.2)
    assert np.array_equal(noisy(clips, np.array([7]), 10, 0), noisy(clips, np.array([7]), 10, 0))
    assert np.abs(louder(clips, 20)).max() == FULL
    peaks = [np.abs(np.fft.rfft(c[0])).argmax() for c in (clips, faster(clips, 1.25))]
    assert peaks[1] / peaks[0] == pytest.approx(1.25, rel=0.03)


def test_changes_are_a_function_of_the_key_alone() -> None:
    x = torch.randint(0, 256, (3, 1, 16, 20), dtype=torch.uint8)
    key = torch.tensor([1, 2, 3])
    both = changed(x, key, 1.0)
    assert both.dtype == torch.uint8
    assert torch.equal(both[1:], changed(x[1:], key[1:], 1.0))
    assert not torch.equal(both, changed(x, key + 1, 1.0))
    assert torch.equal(changed(x, key, 0.0), x)


def test_a_speaker_is_a_task_and_only_training_clips_are_changed(home: Path) -> None:
    data = SpokenDigits(str(home), **{**GROUPS, "test_group": "ben"})
    assert (data.table.groups, data.parts["test"]) == (list(SPEAKERS), [1])
    assert len(data.table.official["test"]) == 4 * 10 * 5
    rows = {tuple(row.flatten().tolist()) for row in data.inputs[data.table.group == 1]}
    asked = data.tasks("test").batch(torch.arange(4)).query.x
    assert all(tuple(row.flatten().tolist()) in rows for row in asked.flatten(0, 1))
    every = {tuple(row.flatten().tolist()) for row in data.inputs}
    trained = data.train_tasks(1, 1, 0).batch(torch.arange(4)).query.x
    assert not any(tuple(row.flatten().tolist()) in every for row in trained.flatten(0, 1))
    plain = data.training_task(torch.arange(4)).query.x
    assert all(tuple(row.flatten().tolist()) in every for row in plain.flatten(0, 1))
    _, x, _, _ = data.source(16, 0).batch(3)
    assert torch.equal(x, data.source(16, 0).batch(3)[1])
    assert not torch.equal(x, data.source(16, 0).batch(3 + len(data.source(16, 0)))[1])


def test_a_condition_changes_the_clips_of_who_is_judged_and_of_nobody_else(home: Path) -> None:
    data = SpokenDigits(str(home), **{**GROUPS, "test_group": "ben", "noise": [0], "gain": [-20], "speed": [1.25]})
    assert data.cells == ["new speaker", "noise 0 dB", "gain -20 dB", "speed 1.25"]
    clean = data.tasks("test").batch(torch.arange(4))
    for cell in data.cells[1:]:
        other = data.tasks("test", cell).batch(torch.arange(4))
        assert torch.equal(clean.query.y, other.query.y)
        assert not torch.equal(clean.query.x, other.query.x)
    changed_rows = (data.inputs_in("noise 0 dB", "test") != data.inputs).flatten(1).any(1)
    assert torch.equal(changed_rows, torch.from_numpy(data.table.group == 1))


def test_words_that_training_never_heard_are_classes(home: Path) -> None:
    data = SpokenWords(str(home), **WORDS)
    assert {part: len(classes) for part, classes in data.parts.items()} == {"train": 4, "validation": 3, "test": 3}
    task = data.tasks("test").batch(torch.arange(2))
    assert task.support.x.shape == (2, 2, 1, 16, 26)


def test_the_official_zip_reads_as_its_folder_does(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "free-spoken-digit-dataset"
    place.mkdir()
    with zipfile.ZipFile(place / "recordings.zip", "w") as archive:
        for path in sorted((home / "free-spoken-digit-dataset" / "recordings").iterdir()):
            archive.write(path, f"recordings/{path.name}")
    packed, plain = (SpokenWords(str(folder), **WORDS).table for folder in (tmp_path, home))
    assert packed.checksum == plain.checksum
    (place / "recordings.zip").write_bytes(b"PK no zip")
    with pytest.raises(MetarunError, match=r"recordings.zip is damaged"):
        _ = SpokenWords(str(tmp_path), **WORDS).table
    (place / "recordings.zip").unlink()
    with pytest.raises(MetarunError, match="clone https"):
        _ = SpokenWords(str(tmp_path), **WORDS).table


def test_folders_of_ones_own(tmp_path: Path) -> None:
    for who in ("eve", "fay", "gus"):
        for word in ("go", "stop", "left", "right", "up", "down"):
            folder = tmp_path / "people" / who / word
            folder.mkdir(parents=True)
            for number in range(4):
                soundfile.write(folder / f"{number}.wav", tone(300 + 100 * len(word) + 9 * number), RATE)
    (tmp_path / "people" / "notes.txt").write_text("mine")
    people = AudioSpeakers(path=str(tmp_path / "people"), rate=RATE, **GROUPS)
    assert (people.table.groups, len(people.table.classes)) == (["eve", "fay", "gus"], 6)
    words = AudioFolder(path=str(tmp_path / "people" / "eve"), rate=RATE, shares=[0.34, 0.33, 0.33], **WORDS)
    assert len(words.tasks("test").batch(torch.arange(2)).query.x) == 2
    with pytest.raises(MetarunError, match="has no clip: lay it out as"):
        _ = AudioFolder(path=str(tmp_path), rate=RATE, shares=[0.34, 0.33, 0.33], **WORDS).table
    with pytest.raises(MetarunError, match=r"dataset.path=.*nowhere does not exist"):
        _ = AudioFolder(path=str(tmp_path / "nowhere"), rate=RATE, shares=[0.34, 0.33, 0.33], **WORDS).table
    soundfile.write(tmp_path / "people" / "eve" / "go" / "quiet.wav", np.zeros(900), RATE)
    with pytest.raises(MetarunError, match=r"quiet.wav is silent"):
        _ = AudioFolder(path=str(tmp_path / "people" / "eve"), rate=RATE, shares=[0.34, 0.33, 0.33], **WORDS).table


def test_speakers_follow_one_another_and_the_first_are_the_opening(home: Path) -> None:
    view = {"supports": [4], "queries": 4, "test_tasks": 4, "split_seed": 1, "seconds": 0.5, "bands": 16}
    data = SpeakerDrift(str(home), opening_speakers=2, **view)
    x, y = data.whole
    assert (data.opening, data.found.drifts, data.truth["drifts"]) == (120, [60, 120, 180], [180])
    speaker = data.table.group[data.order]
    assert [len(set(speaker[i : i + 60])) for i in range(0, 240, 60)] == [1] * 4
    _, seen, label, _ = data.source(240, 0).batch(0)
    assert {tuple(row.tolist()) for row in seen} == {tuple(row.tolist()) for row in x[:120]}
    assert sorted(label.tolist()) == sorted(y[:120].tolist())
    with pytest.raises(MetarunError, match="opening_speakers=4"):
        SpeakerDrift(str(home), opening_speakers=4, **view)
