"""Characters that a terminal would obey rather than show."""

from __future__ import annotations

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    r"""The text with its control characters as they are written in Python; lines and tabs stay.

    A file may be named so that it would colour a terminal, retitle it or rewrite what stands there.

    >>> print(visible("a\x1b[31m.wav"))
    a\x1b[31m.wav
    """
    return text.translate(_ESCAPED)
