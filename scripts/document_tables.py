"""Write docs/tables.md from the schemas; with --check, fail when it is not what they say."""

from __future__ import annotations

import sys
from pathlib import Path

from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.views import view_columns

TARGET = Path(__file__).parent.parent / "docs" / "tables.md"
HEAD = """# Tables

Written by `make docs` from `sensory_pipeline/lake/tables.py`. These are the views that `sensory sql`
serves; times are in seconds from the start of the recording.
"""


def document() -> str:
    """The whole page."""
    parts = [HEAD]
    for table in TABLES:
        lines = [f"\n## {table.name}\n", table.description, "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in view_columns(table)]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def main() -> int:
    if "--check" in sys.argv[1:]:
        if TARGET.read_text(encoding="utf-8") == document():
            return 0
        print(f"{TARGET.name} is not what the schemas say: run `make docs`")
        return 1
    TARGET.write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
