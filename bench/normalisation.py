"""Text as it is compared: normalised by the rules published with Whisper (arXiv 2212.04356, appendix C).

English: lower case, no punctuation or fillers, numbers in digits, contractions in full, British spelling made American.
Other languages: lower case without punctuation. Two exceptions are ours: combining marks stay, since in Hindi they are
vowels, except in Arabic, where they are not normally written. Chinese and Japanese have no spaces between words, so
each character counts as a word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

WITHOUT_BLANKS = frozenset({"zh", "ja"})


def normalised(text: str, language: str) -> str:
    """Return the words with single spaces between them.

    >>> normalised("Mm-hmm, I'd say twenty-one, Mr. Smith.", "en")
    'i would say 21 mister smith'
    >>> normalised("今日は、", "ja"), normalised("Дом. Ёлка!", "ru")
    ('今 日 は', 'дом ёлка')

    Args:
        text: The text.
        language: ISO 639-1 code.
    """
    return " ".join(_normaliser(language)(text).split())


def spelled(text: str, language: str) -> str:
    """Return the characters with spaces between them, and `_` between words if the language separates words.

    >>> spelled("To be", "en"), spelled("今日は", "ja")
    ('t o _ b e', '今 日 は')
    """
    separator = "" if language in WITHOUT_BLANKS else "_"
    return " ".join(separator.join(normalised(text, language).split()))


@lru_cache
def _normaliser(language: str) -> Callable[[str], str]:
    if language == "en":
        english: Callable[[str], str] = EnglishTextNormalizer()
        return english
    basic: Callable[[str], str] = BasicTextNormalizer(
        remove_diacritics=language == "ar", preserve_marks=language != "ar", split_letters=language in WITHOUT_BLANKS
    )
    return basic
