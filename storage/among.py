"""A condition that a column has one of many values, which are bound as one.

A list that is written out makes another statement for each length, to be put together,
parsed and planned again each time. Bound as one value it is the same statement, which
both databases keep prepared, and any number of values is planned without trouble.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Integer,
    Text,
    bindparam,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _Values(TypeDecorator[list[Any]]):
    """Texts, or ``whole`` numbers, as one value: an array, or JSON where there are no
    arrays."""

    impl = Text
    cache_ok = True

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.whole = whole

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        its = ARRAY(BigInteger() if self.whole else Text())
        postgresql = dialect.name == "postgresql"
        return dialect.type_descriptor(its if postgresql else Text())

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.encode(value).decode()


class _Among(FunctionElement[bool]):
    inherit_cache = True
    type = Boolean()
    _is_implicitly_boolean = True  # else SQLite gets "= 1" behind it, and no index


def among(column: Column[Any], name: str = "keys") -> _Among:
    """Say that a column has one of the values in the list that is bound to ``name``."""
    whole = isinstance(column.type, Integer)
    return _Among(column, bindparam(name, type_=_Values(whole=whole)))


@compiles(_Among, "postgresql")
def _array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(_Among, "sqlite")
def _json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608
