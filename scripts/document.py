"""Writes the generated parts of docs/, and .env.example.

These are tables from the schemas, engines and models from their registries, and exit codes. With --check, fails if a
page is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.environment import example
from sensory_pipeline.cli.exit_codes import EXITS
from sensory_pipeline.engines.catalogue.models import Model, catalogue
from sensory_pipeline.engines.diagnosis import SUBJECTS
from sensory_pipeline.engines.registry import ENGINES, SETTINGS, engines_of
from sensory_pipeline.engines.spec import EngineChoice, EngineSpec
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.view_definitions import view_columns
from sensory_pipeline.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"
TABLES_HEAD = """# Tables

To ask questions about recordings, use these views in `sensory sql`. Times are in seconds from the start of the
recording. `make docs` writes this page from `sensory_pipeline/lake/tables.py`.

## Without `sensory sql`

`LAKE/data` has the same rows as Parquet files, one per table, date and shard, for any other reader:

```python
import pandas as pd

words = pd.read_parquet("LAKE/data/words")

import polars as pl

words = pl.scan_parquet("LAKE/data/words/**/*.parquet", hive_partitioning=True, missing_columns="insert").collect()

import duckdb

words = duckdb.sql(
    "SELECT * FROM read_parquet('LAKE/data/words/**/*.parquet', hive_partitioning = true, union_by_name = true)"
)

words = spark.read.option("mergeSchema", "true").parquet("LAKE/data/words")  # spark: a SparkSession
```

Who said what, and how, with the name of each file:

```sql
SELECT url_decode(parse_filename(uri)) AS name, start_ms / 1000 AS start_s, speaker, emotion, text
FROM read_parquet('LAKE/data/utterances/**/*.parquet', hive_partitioning = true, union_by_name = true)
JOIN read_parquet('LAKE/data/recordings/**/*.parquet', hive_partitioning = true, union_by_name = true)
USING (recording_id) ORDER BY name, start_s
```

A file is replaced in one step and holds only what is published now, so no row is there twice. The tables of a partition
are replaced one after another within milliseconds; joins may see the new version of one and the old one of another
during that time. Earlier versions lie in `LAKE/generations` for an hour or more, for queries that are still running;
leave that folder to `sensory`.

The files differ from the views below in three ways:

- Times are integers in milliseconds, such as `start_ms` instead of `start_s`.
- They have no `uri` (except in `recordings`), no `name`, and not the columns about the engine: join `recordings` and
  `stages` by `recording_id`.
- Recordings that are missing from their source still have rows, and recordings that wait (`pending`) have none. Only
  the views know `present`: `sensory sql "SELECT recording_id, present FROM recordings" --include-missing --format
  parquet > present.parquet` writes it to a file that you can join.
"""


def tables_page() -> str:
    """Return docs/tables.md."""
    parts = [TABLES_HEAD]
    for table in TABLES:
        lines = [f"\n## {table.name}\n", table.description, "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in view_columns(table)]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def engines_page(page: str) -> str:
    """Return docs/engines.md with its two tables replaced."""
    return _filled(_filled(page, "engines", _engines_table()), "models", _models_table())


def operations_page(page: str) -> str:
    """Return docs/operations.md with its table of exit codes replaced."""
    return _filled(page, "exit codes", _exits_table())


def _filled(page: str, mark: str, table: str) -> str:
    found = re.compile(rf"(<!-- {mark}: [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
    if not found.search(page):
        raise ValueError(f"the page has no place for the table of {mark}")
    return found.sub(lambda match: f"{match[1]}{table}\n{match[2]}", page)


def _exits_table() -> str:
    lines = ["| exit code | meaning | errors |", "|---:|---|---|"]
    for row in EXITS:
        names = ", ".join(f"`{error.__name__}`" for error in row.errors)
        lines.append(f"| {row.code} | {row.meaning} | {names} |")
    return "\n".join(lines)


def _engines_table() -> str:
    lines = ["| engine | task | what it is | chosen by | needs |", "|---|---|---|---|---|"]
    lines += [
        f"| {spec.name} | {SUBJECTS[spec.stage]} | {spec.about} | {_chosen_by(spec)} | {_needs(spec)} |"
        for spec in ENGINES
    ]
    return "\n".join(lines)


def _chosen_by(spec: EngineSpec) -> str:
    if spec.name == "channels":
        return "`SENSORY_STEREO=true`"
    default = engines_of(spec.stage)[0] is spec
    ways = ["(default)" if default else f"`{SETTINGS[spec.stage]}={spec.name}`"]
    if spec.model is not None:
        ways.append(f"`{Settings.variable(spec.model)}`")
    return ", ".join(ways)


def _needs(spec: EngineSpec) -> str:
    needs = [f"`make models` ({', '.join(spec.packages)})"] if spec.packages else []
    needs += [needed.name for needed in spec.weights(EngineChoice())]
    return ", ".join(needs) or "nothing"


def _models_table() -> str:
    lines = ["| model | what it is | languages | size | licence | comes from |", "|---|---|---|---|---|---|"]
    for model in catalogue().models.values():
        size = "?" if model.size_bytes is None else f"{model.size_bytes / 1e6:.0f} MB"
        places = ", ".join(_places(model))
        lines.append(f"| `{model.name}` | {model.about} | {model.languages} | {size} | {model.licence} | {places} |")
    return "\n".join(lines)


def _places(model: Model) -> Iterator[str]:
    if model.hub:
        yield f"the hub: {model.hub}"
    if model.origin:
        yield model.origin
    if model.carriers:
        yield f"PyPI: {', '.join(model.carriers)}"


def main() -> int:
    """Write or check the pages; return 1 if one is out of date."""
    engines, operations = DOCS / "engines.md", DOCS / "operations.md"
    pages = {
        DOCS / "tables.md": tables_page(),
        engines: engines_page(engines.read_text(encoding="utf-8")),
        DOCS.parent / ".env.example": example(),
        operations: operations_page(operations.read_text(encoding="utf-8")),
    }
    if "--check" in sys.argv[1:]:
        wrong = [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
        for name in wrong:
            print(f"{name} is not what the code says: run `make docs`")
        return 1 if wrong else 0
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
