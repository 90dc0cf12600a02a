"""Whisper's tokens: a byte-level BPE, followed by special tokens and timestamps at fixed positions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

LANGUAGES = (
    *("en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg".split()),
    *("lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so".split()),
    *("af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su".split()),
)
"""Of the first models, in the order of their tokens; large-v3 adds `yue`."""
PUBLISHED_TEXT = 50_256
"""Text tokens in the published vocabularies."""
TIMESTAMP_S = 0.02
TIMESTAMPS = 1501


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A vocabulary.

    Attributes:
        text: The byte-level BPE, whose ids come first.
        languages: In the order of their tokens.
    """

    text: Tokenizer
    languages: tuple[str, ...] = LANGUAGES

    @cached_property
    def special(self) -> list[str]:
        """Special tokens in Whisper's order, from `<|endoftext|>` to `<|notimestamps|>`."""
        languages = [f"<|{language}|>" for language in self.languages]
        tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
        return ["<|endoftext|>", "<|startoftranscript|>", *languages, *tasks, "<|notimestamps|>"]

    @cached_property
    def all(self) -> list[str]:
        """Every token in the order of the ids. The empty one makes CTranslate2 treat the model as multilingual."""
        ids = self.text.get_vocab()
        text = sorted(ids, key=ids.__getitem__)
        timestamps = [f"<|{index * TIMESTAMP_S:.2f}|>" for index in range(TIMESTAMPS)]
        return [*text, "", *self.special, *timestamps]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.all)}

    def id(self, name: str) -> int:
        """Return the id of a special token, given its name without brackets."""
        return self._ids[f"<|{name}|>"]

    def timestamp(self, at_s: float) -> int:
        """Return the id of the timestamp nearest to a time in the window."""
        return self.id("0.00") + round(at_s / TIMESTAMP_S)

    def word(self, text: str) -> int:
        """Return the id of a word that is a single token.

        Raises:
            ValueError: It is not a single token.
        """
        (only,) = self.text.encode(f" {text}").ids
        return int(only)

    @property
    def language_ids(self) -> list[int]:
        return [self.id(language) for language in self.languages]

    @property
    def suppressed(self) -> list[int]:
        """Tokens that are never generated."""
        names = ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech")
        return [self.id(name) for name in names]

    @property
    def suppressed_at_start(self) -> list[int]:
        """A space, and the end of the text."""
        return [self._ids["Ġ"], self.id("endoftext")]

    def tokenizer_json(self) -> str:
        """Return `tokenizer.json` of a model folder; like the published ones it has no timestamps."""
        described: dict[str, Any] = json.loads(self.text.to_str())
        described["model"]["vocab"].update({token: self._ids[token] for token in self.special})
        described["added_tokens"] = [
            {
                "id": self._ids[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in self.special
        ]
        return json.dumps(described, ensure_ascii=False)


def word_tokens(words: list[str]) -> Tokens:
    """Return a vocabulary in which each of the words, after a space, is one token."""
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=5000,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f" {word}" for word in words], trainer)
    return Tokens(text=tokenizer)


def pair_tokens(languages: tuple[str, ...] = LANGUAGES) -> Tokens:
    """Return a vocabulary of the published models' size: all bytes, and as many pairs of bytes as fit."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda byte: (not byte.isalpha(), byte))
    pairs = list(islice(product(alphabet, alphabet), PUBLISHED_TEXT - len(alphabet)))
    vocabulary = {token: index for index, token in enumerate([*alphabet, *(first + second for first, second in pairs)])}
    return Tokens(text=_byte_level(models.BPE(vocab=vocabulary, merges=pairs)), languages=languages)


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
