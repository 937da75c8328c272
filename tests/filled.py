"""A row in every table that a database has, whatever its revision."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    insert,
    select,
)

TEXTS = "quoted \" ' \\ and beyond ASCII: ß 猫 \N{CAT FACE}"
BYTES = bytes(range(256))


def reflected(connection: Connection) -> MetaData:
    """The tables as the database itself tells."""
    found = MetaData()
    found.reflect(connection)
    found.remove(found.tables["alembic_version"])
    return found


def fill(connection: Connection, tables: MetaData) -> None:
    """Where a migration wrote a row, that stays."""
    for table in tables.sorted_tables:
        if connection.execute(select(table)).first() is None:
            connection.execute(insert(table).values({column.name: value_for(column) for column in table.columns}))


def contents(connection: Connection, tables: MetaData) -> dict[str, list[dict[str, Any]]]:
    return {
        table.name: [
            dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        ]
        for table in tables.sorted_tables
    }


def value_for(column: Column[Any]) -> Any:
    """The largest or the strangest that the type holds. The special types come before the general."""
    for kind, value in _VALUES.items():
        if isinstance(column.type, kind):
            return value
    return f"{TEXTS} {column.name}"


_VALUES = {
    SmallInteger: 32767,
    BigInteger: 1_790_000_000_000,
    Integer: 2_147_483_647,
    Float: 0.1,
    LargeBinary: BYTES,
    JSON: {"porn": 0.1, "names": [TEXTS, None]},
}
