"""The figures of a benchmark as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path


def write_json(path: Path, figures: object) -> None:
    """Write figures as JSON.

    Args:
        path: The file; its folder is created if there is none.
        figures: What JSON can hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
