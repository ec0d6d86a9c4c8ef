"""Texts as numbers: words weighed by TF-IDF or hashed, reduced to a given width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metarun.data.features import Table
from metarun.errors import MetarunError

HASHES = 2**14  # columns of the hashing vectoriser before they are reduced
WAYS = ("tfidf", "hashing")


def text_table(texts: Sequence[str], how: str, width: int, seed: int, name: str = "text") -> Table:
    """Return `width` features of each text (fewer where there are fewer texts or words), (rows, width).

    how: "tfidf" (a vocabulary of the words that two texts or more have) or "hashing" (no vocabulary). Either is reduced
    by a truncated SVD, and scaled so that a text's features have a mean square sum of 1; empty texts have zeros.

    Raises:
        MetarunError: scikit-learn is not installed.
    """
    if how not in WAYS:
        raise MetarunError(f"dataset.text={how} is no way to read texts: use {' or '.join(WAYS)}")
    try:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
    except ImportError as error:
        raise MetarunError(
            "features of texts need scikit-learn: pip install scikit-learn, or leave title and plot out of "
            "dataset.content"
        ) from error
    if not any(any(letter.isalnum() for letter in text) for text in texts):
        return Table(np.zeros((len(texts), 0), np.float32), [])
    if how == "tfidf":
        try:
            words = TfidfVectorizer(stop_words="english", sublinear_tf=True, min_df=2).fit_transform(texts)
        except ValueError:  # no word stands in two texts
            return Table(np.zeros((len(texts), 0), np.float32), [])
    else:
        hashes = HashingVectorizer(stop_words="english", n_features=HASHES, alternate_sign=True, norm=None)
        words = TfidfTransformer(sublinear_tf=False).fit_transform(abs(hashes.fit_transform(texts)))
    return reduced(words, width, seed, f"{name}:{how}")


def reduced(values: Any, width: int, seed: int, name: str) -> Table:
    """Return a sparse or dense matrix (rows, F) reduced to at most `width` columns, mean square sum of a row 1."""
    from sklearn.decomposition import TruncatedSVD

    width = min(width, min(values.shape) - 1)
    if width < 1:
        return Table(np.zeros((values.shape[0], 0), np.float32), [])
    found = TruncatedSVD(width, random_state=seed).fit_transform(values).astype(np.float32)
    size = float(np.sqrt((found**2).sum(1).mean())) or 1.0
    return Table(found / np.float32(size), [f"{name}:{column}" for column in range(width)])
