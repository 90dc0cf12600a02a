"""Where a sentence ends and where blanks go, as far as single words tell."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import east_asian_width

_OPENING = "\"'“‘«‹([{「『（"
_CLOSING = "\"'”’»›)]}」』）"
_ALWAYS = frozenset("!?！？。｡؟।")
_MOSTLY = frozenset(".…")
_ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "fig", "approx", "gen", "col", "sgt", "rev"),
        *("hr", "fr", "nr", "bzw", "ca", "usw", "mme", "mlle", "sra", "dra"),
        *("гг", "ул", "им", "стр", "рис", "тыс", "руб", "млн", "млрд", "др", "пр"),
    )
)


def ends_sentence(text: str, following: str | None) -> bool:
    """Whether a sentence ends with the word `text`, given the word after it (None: there is none).

    A full stop ends none after an initial or a common abbreviation, nor before a small letter.

    >>> [ends_sentence(*words) for words in (("home.", "Then"), ("Dr.", "Who"), ("3.5", "percent"))]
    [True, False, False]
    >>> ends_sentence("「そうです。」", "はい"), ends_sentence("well...", "you")
    (True, False)
    """
    bare = text.rstrip(_CLOSING)
    mark = bare[-1:]
    if mark not in _MOSTLY or following is None:
        return mark in _ALWAYS | _MOSTLY
    stem = bare.rstrip(".…").lstrip(_OPENING).lower()
    initial = len(stem) == 1 and stem.isalpha() and stem != "i"
    abbreviated = mark == "." and (initial or stem in _ABBREVIATIONS)
    return not abbreviated and not following.lstrip(_OPENING)[:1].islower()


def join(words: Iterable[str]) -> str:
    """Words as one writes them: a blank between two, save between Chinese or Japanese characters.

    >>> join(["it", "is"]), join(["東京", "です。", "はい"])
    ('it is', '東京です。はい')
    """
    text = ""
    for word in words:
        text += word if not text or (_solid(text[-1]) and _solid(word[:1])) else f" {word}"
    return text


def _solid(char: str) -> bool:
    """Whether the script of a character is written without blanks; Korean, also wide, is not."""
    return east_asian_width(char or " ") in "WF" and not "가" <= char <= "힣"
