"""Texts as numbers of tokens: a vocabulary that is learned from some texts and read from any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.errors import MetarunError

PADDING, UNKNOWN = 0, 1
SPECIAL = ("[PAD]", "[UNK]")
HAN = r"\p{Han}"


class Vocabulary:
    """Tokens of lower-case texts; numbers 0 and 1 are padding and what is unknown.

    `kind`: "word", "bpe" (pieces of words; Sennrich et al., ACL 2016) or "char". A Chinese character is always a word
    of its own, for no spaces tell Chinese words apart.
    """

    def __init__(self, texts: Sequence[str], kind: str, size: int) -> None:
        """texts: what may be learned from; size: at most so many tokens, the frequent ones."""
        try:
            from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
        except ImportError as error:
            raise MetarunError(
                "texts are read by the package tokenizers, which is not installed: pip install 'metarun[text]'"
            ) from error
        given: dict[str, Any] = {"vocab_size": size, "special_tokens": list(SPECIAL), "show_progress": False}
        if kind == "bpe":
            # A piece inside a word is another token than the same letters at its beginning.
            model: Any = models.BPE(unk_token=SPECIAL[UNKNOWN], continuing_subword_prefix="##")
            trainer: Any = trainers.BpeTrainer(continuing_subword_prefix="##", **given)
        else:
            model, trainer = models.WordLevel(unk_token=SPECIAL[UNKNOWN]), trainers.WordLevelTrainer(**given)
        self.reader: Any = Tokenizer(model)
        self.reader.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        cut = Regex(r"\X") if kind == "char" else Regex(HAN)
        self.reader.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(cut, "isolated")] if kind == "char"
            else [pre_tokenizers.Split(cut, "isolated"), pre_tokenizers.Whitespace()]
        )  # fmt: skip
        self.reader.train_from_iterator(texts, trainer)

    @classmethod
    def of(cls, plain: str) -> Vocabulary:
        """Return the vocabulary from what `plain` returned."""
        from tokenizers import Tokenizer

        found = cls.__new__(cls)
        found.reader = Tokenizer.from_str(plain)
        return found

    def plain(self) -> str:
        """Return all that it has learned, as text."""
        return str(self.reader.to_str())

    def __len__(self) -> int:
        """Return how many numbers there are, those of padding and of the unknown included."""
        return int(self.reader.get_vocab_size())

    def numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text."""
        return [found.ids for found in self.reader.encode_batch(list(texts))]

    def bags(self, texts: Sequence[str]) -> np.ndarray:
        """Return how often each token is in each text (N, V), padding and the unknown never, rows of length 1."""
        found = np.zeros((len(texts), len(self)), np.float32)
        for row, numbers in enumerate(self.numbers(texts)):
            np.add.at(found[row], numbers, 1.0)
        found[:, : len(SPECIAL)] = 0.0
        scaled: np.ndarray = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1.0)
        return scaled


def rarity(tokens: Tensor, size: int) -> Tensor:
    """Return the inverse document frequency (V, 1) of V = `size` tokens in texts (N, L), smoothed as scikit-learn's is.

    Spärck Jones, "A statistical interpretation of term specificity", Journal of Documentation 28(1), 1972.
    """
    having = torch.zeros(size)
    for text in torch.split(tokens, 1024):
        having += torch.zeros(len(text), size).scatter_(1, text, 1.0).sum(0)
    return ((1 + len(tokens)) / (1 + having)).log()[:, None] + 1


def padded(numbers: Sequence[Sequence[int]], length: int) -> Tensor:
    """Return token numbers (N, L) of the first L = `length` tokens of each text, PADDING behind the shorter ones.

    >>> padded([[5, 6, 7], [8]], 2).tolist()
    [[5, 6], [8, 0]]
    """
    found = torch.full((len(numbers), length), PADDING, dtype=torch.int64)
    for row, tokens in enumerate(numbers):
        kept = torch.tensor(tokens[:length], dtype=torch.int64)
        found[row, : len(kept)] = kept
    return found
