"""Tables as Arrow knows them: the columns of a table, made from its row class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa

from sensory_pipeline.core.stages import Stage

_ARROW = {
    str: pa.string(),
    int: pa.int32(),
    float: pa.float32(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us"),
    tuple[float, ...]: pa.list_(pa.float32()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column as it is in the files.

    Attributes:
        name: Its name.
        type: Its Arrow type.
        nullable: Whether it may be null.
        description: What it means.
    """

    name: str
    type: pa.DataType
    nullable: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table.

    Attributes:
        name: Its name.
        row: Class of its rows.
        stage: Stage that its rows come from; None if from several.
        order: Columns by which its files are sorted.
    """

    name: str
    row: type
    stage: Stage | None
    order: tuple[str, ...]

    @property
    def description(self) -> str:
        return (self.row.__doc__ or "").strip()

    @property
    def columns(self) -> tuple[Column, ...]:
        hints = get_type_hints(self.row, include_extras=True)
        return tuple(_column(field.name, hints[field.name]) for field in fields(self.row))

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [
                pa.field(c.name, c.type, nullable=c.nullable, metadata={"description": c.description})
                for c in self.columns
            ]
        )

    def arrow(self, rows: Sequence[object]) -> pa.Table:
        """Return the rows as an Arrow table.

        Raises:
            pyarrow.ArrowInvalid: A value does not fit its column.
        """
        schema = self.schema
        return pa.table(
            {name: pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in schema.names},
            schema=schema,
        )


def _column(name: str, hint: Any) -> Column:
    kind, description = get_args(hint)
    nullable = get_origin(kind) is UnionType
    if nullable:
        (kind,) = (option for option in get_args(kind) if option is not NoneType)
    # a recording can be larger than 2 GiB, but not longer than 24 days (32-bit milliseconds)
    arrow = pa.int64() if name.endswith("_bytes") else _ARROW[kind]
    return Column(name=name, type=arrow, nullable=nullable, description=description)
