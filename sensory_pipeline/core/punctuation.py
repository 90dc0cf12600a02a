"""Where sentences end and where spaces go, judged from single words."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import east_asian_width

from sensory_pipeline.core.transcripts import Word

_OPENING = "\"'“‘«‹([{「『（"
_CLOSING = "\"'”’»›)]}」』）"
_ALWAYS = frozenset("!?！？。｡؟।")
_MOSTLY = frozenset(".…")
_DASHES = frozenset("—–―…")
_ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "fig", "approx", "gen", "col", "sgt", "rev"),
        *("hr", "fr", "nr", "bzw", "ca", "usw", "mme", "mlle", "sra", "dra"),
        *("гг", "ул", "им", "стр", "рис", "тыс", "руб", "млн", "млрд", "др", "пр"),
    )
)


def ends_sentence(text: str, following: str | None) -> bool:
    """Whether a sentence ends with a word.

    A full stop after an initial or a common abbreviation, or before a lower-case letter, does not end one.

    >>> [ends_sentence(*words) for words in (("home.", "Then"), ("Dr.", "Who"), ("3.5", "percent"))]
    [True, False, False]
    >>> ends_sentence("「そうです。」", "はい"), ends_sentence("well...", "you")
    (True, False)

    Args:
        text: The word with its punctuation.
        following: The next word; None if there is none.
    """
    bare = text.rstrip(_CLOSING)
    mark = bare[-1:]
    if mark not in _MOSTLY or following is None:
        return mark in _ALWAYS | _MOSTLY
    stem = bare.rstrip(".…").lstrip(_OPENING).lower()
    initial = len(stem) == 1 and stem.isalpha() and stem != "i"
    abbreviated = mark == "." and (initial or stem in _ABBREVIATIONS)
    return not abbreviated and not following.lstrip(_OPENING)[:1].islower()


def join(words: Iterable[Word]) -> str:
    """The text of words as they were written. If that is unknown: a space between two, except in Chinese and Japanese.

    >>> from sensory_pipeline.core.spans import Span
    >>> def word(text, space_before=None):
    ...     return Word(text=text, span=Span(start_ms=0, end_ms=1), probability=1, space_before=space_before)
    >>> join([word("it"), word("is")]), join(map(word, ["東京", "です。", "はい"]))
    ('it is', '東京です。はい')
    >>> join([word("Wi", True), word("-Fi", False), word("here", True)])
    'Wi-Fi here'
    """
    text = ""
    for word in words:
        blank = word.space_before
        if blank is None:
            blank = not (solid(text[-1:]) and solid(word.text[:1]))
        text += f" {word.text}" if text and blank else word.text
    return text


def solid(char: str) -> bool:
    """Whether a character's script is written without spaces. Korean, though wide, is not."""
    return east_asian_width(char or " ") in "WF" and not "가" <= char <= "힣"


def goes_on(before: str, text: str) -> bool:
    """Whether `text`, which has no space before it, is the rest of the word `before` that a decoder has cut.

    A dash between words starts a new word, and so does text of a script without spaces.

    >>> [goes_on(*parts) for parts in (("twenty", "-one"), ("3", ".5"), ("100", "%"), ("d'", "avoir"), ("$", "3"))]
    [True, True, True, True, True]
    >>> goes_on("東", "京"), goes_on("สวัส", "ดี"), goes_on("well", "—no")
    (False, False, False)
    """
    last, first = before[-1:], text[:1]
    letters = last.isalpha() and first.isalpha()
    return not letters and not {last, first} & _DASHES and not solid(last) and not solid(first)
