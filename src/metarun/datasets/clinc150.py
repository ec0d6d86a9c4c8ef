"""CLINC150 as a dataset of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from metarun.data.few_shot_text import FewShotText
from metarun.data.images.official import data_folder
from metarun.data.labelled import LabelledRows, assemble
from metarun.errors import MetarunError

FOLDER, TEXTS, DOMAINS = "clinc150", "data_full.json", "domains.json"
HOME = "https://github.com/clinc/oos-eval, folder data"
PARTS = ("train", "val", "test")


class Clinc150(FewShotText):
    """22,500 questions to an assistant with 150 intents of 10 domains; Larson et al., EMNLP 2019."""

    def __init__(self, folder: str | None, **view: Any) -> None:
        """folder: of datasets; view: what all texts are asked for."""
        super().__init__(**view)
        self.folder = Path(folder) if folder else None

    def read(self) -> LabelledRows:
        """Return the texts of the 150 intents; those outside of every intent ("oos") are left out."""
        home = data_folder(self.folder) / FOLDER
        texts, domains = parsed(home / TEXTS), parsed(home / DOMAINS)
        owner = {intent: domain for domain, intents in domains.items() for intent in intents}
        rows = [(text.strip(), intent, part) for part in PARTS for text, intent in texts.get(part, [])]
        stray = next((intent for _, intent, _ in rows if intent not in owner), None)
        if stray is not None:
            raise MetarunError(f"{home / TEXTS}: intent '{stray}' is in no domain of {DOMAINS}; fetch both from {HOME}")
        classes, groups = sorted({intent for _, intent, _ in rows}), sorted(domains)
        place, where = {name: i for i, name in enumerate(classes)}, {name: i for i, name in enumerate(groups)}
        return assemble(
            FOLDER,
            np.array([text for text, _, _ in rows], dtype=object),
            np.array([place[intent] for _, intent, _ in rows], np.int64),
            classes,
            np.array([where[owner[intent]] for _, intent, _ in rows], np.int64),
            groups,
            {"test": np.flatnonzero([part == "test" for _, _, part in rows])},
        )


def parsed(path: Path) -> dict[str, Any]:
    """Return an official file. Raises MetarunError where it is missing or no JSON."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MetarunError(
            f"clinc150: {path} is not there: download {path.name} from {HOME}, and put it into {path.parent}, "
            f"or set METARUN_DATA (paths.data) to the folder that has {FOLDER}/{path.name}"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MetarunError(f"{path}: is damaged ({error}): fetch it again from {HOME}") from None
    if not isinstance(found, dict):
        raise MetarunError(f"{path}: is no JSON object: fetch it again from {HOME}")
    return found
