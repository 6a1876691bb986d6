"""Statement files and the records of their recipients, read line by line.

A statement is CSV, or JSON lines as ``fairlane statement show --json`` prints them. The
recipient's own records are CSV with a header or JSON lines, with a reference and an
amount in each; what else is there is passed over.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from controlplane.repeated_key import repeated_key
from daemon.commands.amounts import micro_of

LEGS = (
    "subscriber_amount",
    "isp_amount",
    "party_amount",
    "network_amount",
    "tax_amount",
)


# An amount is in a column of 64 bits wherever it is kept.
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_LARGEST = 2**63 - 1

_SHOWN = 60
"""Letters of what is wrong that are shown."""


class FileError(Exception):
    """A file that is not what it should be; the message has the line."""


class StatementLine(NamedTuple):
    """What a check needs of a line: its place, reference, own amount and legs, and the
    recipient's own ids behind it."""

    place: int
    reference: str
    amount: int
    legs: tuple[int, ...]
    records: tuple[str, ...] = ()


def statement_lines(path: Path) -> Iterator[StatementLine]:
    """Read a statement; raises FileError."""
    for place, row in _rows(path, needed=("amount", *LEGS)):
        if row.get("object") == "summary":
            continue
        try:
            amount, *legs = (_micro(row, name) for name in ("amount", *LEGS))
            reference = row.get("reference") or f"entry-{row.get('entry')}"
            if not isinstance(reference, str):
                raise _CellError(f"reference: {reference!r} is no text")
            records = _records(row.get("records"))
        except _CellError as error:
            raise FileError(f"{path}:{place}: {error}") from error
        yield StatementLine(place, reference, amount, tuple(legs), records)


class _CellError(Exception):
    """A cell that is not what its column holds; the message has the column."""


def _micro(row: dict[str, Any], name: str) -> int:
    if name not in row:
        raise _CellError(f"there is no column {name}")
    value = row[name]
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
        shown = repr(value) if value not in (None, "") else "nothing"
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        raise _CellError(f"{name}: {shown} is no whole number of micro-units")
    return value


def _records(text: Any) -> tuple[str, ...]:
    if text in (None, ""):
        return ()
    try:
        return tuple(msgspec.json.decode(text, type=list[str]))
    except (msgspec.DecodeError, TypeError) as error:
        raise _CellError(f"records: {str(text)[:_SHOWN]!r}: {error}") from error


def own_records(path: Path) -> Iterator[tuple[str, int]]:
    """Read references and amounts (decimals of the currency); raises FileError."""
    for place, row in _rows(path):
        try:
            yield str(row["reference"]), micro_of(str(row["amount"]))
        except KeyError as error:
            raise FileError(f"{path}:{place}: there is no {error}") from error
        except ValueError as error:
            raise FileError(f"{path}:{place}: {error}") from error


def _rows(
    path: Path, needed: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.read(1)
            file.seek(0)
            if first == "{":
                for place, text in enumerate(file, start=1):
                    try:
                        # No amount goes by a float.
                        row = json.loads(text, parse_float=str, parse_constant=str)
                        twice = repeated_key(text)
                    except json.JSONDecodeError as error:
                        raise FileError(f"{path}:{place}: {error}") from error
                    if twice is not None:
                        raise FileError(f"{path}:{place}: {twice.reason}")
                    if not isinstance(row, dict):
                        raise FileError(f"{path}:{place}: no JSON object")
                    yield place, row
                return
            reader = csv.DictReader(file)
            header = reader.fieldnames or ()
            if len(set(header)) != len(header):
                raise FileError(f"{path}:1: the header has a name twice")
            for name in needed:
                if name not in header:
                    raise FileError(f"{path}:1: there is no column {name}")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: {error}") from error
