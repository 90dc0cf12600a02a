"""Characters that a terminal would interpret instead of showing."""

from __future__ import annotations

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    r"""The text with its control characters escaped as in Python; line breaks and tabs stay.

    A file name may contain codes that would change a terminal's colours or title, or overwrite its text.

    >>> print(visible("a\x1b[31m.wav"))
    a\x1b[31m.wav
    """
    return text.translate(_ESCAPED)
