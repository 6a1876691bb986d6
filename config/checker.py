"""Holds a parsed document against msgspec Structs and finds every mistake in it.

msgspec itself stops at the first one. This walk goes on: an unknown key, a missing key,
a wrong type, a value out of range, or a value that the check attached to its type
(``Meta(extra={"check": function})``) refuses. It knows no key of Fairlane's; the
Structs say everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from config.problems import Finding, KeyPath, nearest

ValueCheck = Callable[[str], str]
"""Says what is wrong with a value, or an empty string."""


def find_mistakes(structure: type[msgspec.Struct], document: object) -> list[Finding]:
    """Find everything that keeps a document from being this structure."""
    return list(_value(inspect.type_info(structure), document, ()))


def field_type(structure: type[msgspec.Struct], path: KeyPath) -> inspect.Type | None:
    """Find the type that a key of nested tables has, None when there is no such key."""
    kind: inspect.Type = inspect.type_info(structure)
    for part in path:
        if not isinstance(kind, inspect.StructType):
            return None
        fields = {field.encode_name: field.type for field in kind.fields}
        if part not in fields:
            return None
        kind = fields[str(part)]
    return _bare(kind)


def _bare(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _value(kind: inspect.Type, value: object, path: KeyPath) -> Iterator[Finding]:
    match kind:
        case inspect.Metadata():
            yield from _checked(kind, value, path)
        case inspect.StructType():
            yield from _table(kind, value, path)
        case inspect.ListType() | inspect.VarTupleType():
            yield from _array(kind, value, path)
        case inspect.UnionType():
            # TOML has no null, so a union is an optional value: its first other type.
            wanted = next(t for t in kind.types if not isinstance(t, inspect.NoneType))
            yield from _value(wanted, value, path)
        case inspect.LiteralType():
            if value not in kind.values:
                choice = ", ".join(repr(item) for item in kind.values)
                meant = nearest(str(value), [str(item) for item in kind.values])
                yield Finding(path, f"must be one of {choice}", meant)
        case _:
            message = _scalar(kind, value)
            if message:
                yield Finding(path, message)


def _checked(kind: inspect.Metadata, value: object, path: KeyPath) -> Iterator[Finding]:
    wrong = list(_value(kind.type, value, path))
    yield from wrong
    check: ValueCheck | None = (kind.extra or {}).get("check")
    if check and not wrong and isinstance(value, str):
        message = check(value)
        if message:
            yield Finding(path, message)


def _table(kind: inspect.StructType, value: object, path: KeyPath) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield Finding(path, f"must be a table, not {_named(value)}")
        return
    fields = {field.encode_name: field for field in kind.fields}
    for key in value:
        if key not in fields:
            absent = [name for name in fields if name not in value]
            meant = nearest(key, absent) or nearest(key, fields)
            yield Finding((*path, key), "unknown key", meant)
    for name, field in fields.items():
        if name in value:
            yield from _value(field.type, value[name], (*path, name))
        elif field.required:
            yield Finding((*path, name), "missing")


def _array(
    kind: inspect.ListType | inspect.VarTupleType, value: object, path: KeyPath
) -> Iterator[Finding]:
    if not isinstance(value, list):
        of_tables = isinstance(kind.item_type, inspect.StructType)
        name = path[-1] if path else ""
        wanted = f"an array of tables, [[{name}]]" if of_tables else "an array"
        yield Finding(path, f"must be {wanted}, not {_named(value)}")
        return
    if kind.min_length is not None and len(value) < kind.min_length:
        yield Finding(path, f"must have at least {kind.min_length}")
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Finding(path, f"must have at most {kind.max_length}, not {len(value)}")
    for position, item in enumerate(value):
        yield from _value(kind.item_type, item, (*path, position))


def _scalar(kind: inspect.Type, value: Any) -> str:
    match kind:
        case inspect.BoolType():
            if not isinstance(value, bool):
                return f"must be true or false, not {_named(value)}"
        case inspect.IntType():
            span = _span(kind)
            if isinstance(value, bool) or not isinstance(value, int):
                return f"must be an integer{span}, not {_named(value)}"
            low, high = kind.ge, kind.le
            if (low is not None and value < low) or (high is not None and value > high):
                return f"must be an integer{span}, not {value}"
        case inspect.StrType():
            if not isinstance(value, str):
                return f"must be a string, not {_named(value)}"
            if kind.min_length and not value:
                return "must not be empty"
            if kind.max_length is not None and len(value) > kind.max_length:
                return f"must have at most {kind.max_length} characters"
        case _:  # a type the schema uses and this walk does not know is our own bug
            msg = f"the schema uses {type(kind).__name__}, which is not checked"
            raise TypeError(msg)
    return ""


def _span(kind: inspect.IntType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    return f" of at least {kind.ge}" if kind.ge is not None else ""


def _named(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a float"
        case str():
            return "a string"
        case list():
            return "an array"
        case Mapping():
            return "a table"
        case _:
            return "a date or time"
