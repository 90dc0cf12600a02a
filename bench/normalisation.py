"""Text as it is compared: by the rules that were published with Whisper (arXiv 2212.04356, appendix C).

English: small letters, no punctuation nor fillers, numbers in digits, contractions in full, British spelling made
American. Other languages: small letters without punctuation. Two exceptions are ours: combining marks stay, since in
Hindi they are vowels, but in Arabic, where nobody who types writes them. Chinese and Japanese have no blanks between
words: their letters are taken for words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

WITHOUT_BLANKS = frozenset({"zh", "ja"})


def normalised(text: str, language: str) -> str:
    """Words with a blank between two of them. language: ISO 639-1.

    >>> normalised("Mm-hmm, I'd say twenty-one, Mr. Smith.", "en")
    'i would say 21 mister smith'
    >>> normalised("今日は、", "ja"), normalised("Дом. Ёлка!", "ru")
    ('今 日 は', 'дом ёлка')
    """
    return " ".join(_normaliser(language)(text).split())


def spelled(text: str, language: str) -> str:
    """Its letters with a blank between two of them; between words a mark, where the language has blanks there.

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
