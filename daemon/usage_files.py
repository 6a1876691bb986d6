"""Usage records out of CSV with a header, or JSON lines, as ``fairlane usage`` lists.

Times are ISO 8601 (UTC unless they say otherwise) or epoch seconds. ``service`` (or
``user_name``) and ``session`` (or ``session_id``, or ``acct_session_id``) keep services
and sessions apart where there are several. A session began with its first record here,
unless ``session_started_at`` says when; what is not counted may be left out, and only a
``corrected`` record takes something back.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec

from controlplane.repeated_key import repeated_key
from daemon.commands.listing import parse_moment
from rating.charge import RatableUsage
from rating.counters import Derived

MAXIMUM_RECORDS = 2_000_000
"""A month of 600 services that report each 15 minutes; it is all held in memory."""

_LARGEST = 2**62
_COUNTS = ("seconds", "input_octets", "output_octets", "units")
_ANY_TIME = datetime.fromtimestamp(0, UTC)
"""Records have no "ago"; what looks like one is refused as too early."""


class UsageFileError(Exception):
    """A file that is not usage; the message names the line."""


def read_usage(lines: Iterable[str]) -> Iterator[RatableUsage]:
    """Read the records of a file; raises UsageFileError at the first bad line."""
    sessions: dict[str, tuple[int, int]] = {}
    for number, (line, row) in enumerate(_rows(lines), start=1):
        if number > MAXIMUM_RECORDS:
            raise UsageFileError(f"more than {MAXIMUM_RECORDS} records")
        try:
            yield _record(row, number, sessions)
        except (ValueError, OverflowError) as error:
            raise UsageFileError(f"line {line}: {error}") from error


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    stream = iter(lines)
    first = next(stream, "").removeprefix("\ufeff")
    if first.lstrip().startswith("{"):
        for number, line in enumerate(chain((first,), stream), start=1):
            if line.strip():
                yield number, _object(line, number)
        return
    reader = csv.DictReader(chain((first,), stream))
    header = reader.fieldnames or ()
    if len(set(header)) != len(header):
        raise UsageFileError("line 1: the header has a name twice")
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = reader.line_num  # the last that could be read
            raise UsageFileError(f"behind line {last}: {error}") from error
        if None in row or None in row.values():
            how = "more" if None in row else "fewer"
            raise UsageFileError(f"line {reader.line_num}: {how} cells than the header")
        yield reader.line_num, row


def _object(line: str, number: int) -> Mapping[str, Any]:
    try:
        twice = repeated_key(line)
        if twice is not None:
            raise UsageFileError(f"line {number}: {twice.reason}")
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageFileError(f"line {number}: {error}") from error


def _record(
    row: Mapping[str, Any], number: int, sessions: dict[str, tuple[int, int]]
) -> RatableUsage:
    started_at, ended_at = (_moment(row, key) for key in ("started_at", "ended_at"))
    if not 0 < started_at <= ended_at:
        msg = "started_at must be after 1970 and not after ended_at"
        raise ValueError(msg)
    derived = Derived(row.get("derived") or Derived.REPORTED)
    least = -_LARGEST if derived is Derived.CORRECTED else 0
    counts = [_count(row, key, least) for key in _COUNTS]
    seconds, octets_in, octets_out, units = counts
    service = str(row.get("service") or row.get("user_name") or "service")
    ids = (row.get(key) for key in ("session", "session_id", "acct_session_id"))
    name = next((str(given) for given in ids if given), f"line {number}")
    began_at = started_at
    if row.get("session_started_at"):
        began_at = _moment(row, "session_started_at")
    session_id, session_started_at = sessions.setdefault(
        f"{service} {name}", (len(sessions) + 1, began_at)
    )
    return RatableUsage(
        service,
        number,
        session_id,
        session_started_at,
        started_at,
        ended_at,
        ended_at - started_at if seconds is None else seconds,
        octets_in or 0,
        octets_out or 0,
        derived,
        units or 0,
    )


def _moment(row: Mapping[str, Any], key: str) -> int:
    text = row.get(key)
    if text is None or text == "":
        msg = f"{key} is missing"
        raise ValueError(msg)
    try:
        return parse_moment(str(text).strip(), _ANY_TIME)
    except (ValueError, OverflowError) as error:
        msg = f"{key}: {text!r} is no time"
        raise ValueError(msg) from error


def _count(row: Mapping[str, Any], key: str, least: int) -> int | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    number = value
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        number = int(value)
    if type(number) is not int or not least <= number < _LARGEST:
        msg = f"{key}: {value!r} is no whole number from {least} on"
        raise ValueError(msg)
    return number
