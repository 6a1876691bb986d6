"""What ``sessions`` and ``usage`` share: filters, times, and rows in two forms.

They read the database of a running daemon without disturbing it: the connection is
read-only and rows stream, so that a million of them need no memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from sqlalchemy import Connection

from daemon import clock
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.stored import note_unknown
from daemon.commands.tables import table
from daemon.stores import StoreError, opened
from storage.usage_queries import Filter

Rows = Callable[[Connection, Filter], Iterator[dict[str, Any]]]
Function = TypeVar("Function", bound=Callable[..., object])

# A terminal is for looking; --json lists all.
TABLE_ROWS = 100
STATES = ("open", "suspect", "closed")

# Calendars end with the year 9999, in every zone.
_LAST_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST_MOMENT = datetime(1, 12, 31, tzinfo=UTC)

_AGO = re.compile(r"(\d{1,9})([smhd])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[int]):
    """A time: ISO 8601 (UTC unless it says otherwise), epoch seconds, or 90s/5m/2h/7d
    ago."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return epoch seconds."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        try:
            return parse_moment(text, datetime.fromtimestamp(clock.now(), UTC))
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no time: 2026-01-31T12:00:00, 2h or epoch seconds")


def parse_moment(text: str, now: datetime) -> int:
    """Return ``text`` in epoch seconds; raises ValueError or OverflowError."""
    if text.isdecimal():
        moment = datetime.fromtimestamp(int(text), UTC)
    elif ago := _AGO.fullmatch(text):
        moment = now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
    else:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not _FIRST_MOMENT <= moment <= _LAST_MOMENT:
        raise ValueError(text)
    return int(moment.timestamp())


def listing_options(function: Function) -> Function:
    """Add the filters, ``--limit``, ``--json`` and ``-c``."""
    options = [
        configuration_option,
        click.option("--nas", help="Only of this NAS, by its name in the network."),
        click.option("--user", help="Only of this User-Name."),
        click.option("--session", help="Only of this Acct-Session-Id."),
        click.option("--state", type=click.Choice(STATES), help="Only such sessions."),
        click.option("--since", type=Moment(), help="Only what is after this time."),
        click.option("--until", type=Moment(), help="Only what is before this time."),
        click.option("--limit", type=NUMBER, help="Only the newest."),
        json_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def show(
    rows: Rows, columns: Sequence[str], configuration: Path | None, options: Any
) -> None:
    """Print the rows that match: as JSON all of them, as a table the newest."""
    as_json = options.pop("as_json")
    limit = options.pop("limit")
    since, until = options["since"], options["until"]
    if None not in (since, until) and until < since:
        raise click.UsageError("--until is before --since: nothing is between them")
    wanted = Filter(limit=limit or (None if as_json else TABLE_ROWS), **options)
    plan = load_or_exit(configuration)
    try:
        with opened(plan) as database, database.read.connect() as connection:
            found = rows(connection, wanted)
            if as_json:
                for row in found:
                    click.echo(msgspec.json.encode(row))
                return
            if not (count := print_table(found, columns)):
                note_unknown(connection, nas=wanted.nas)
    except StoreError as error:
        fail(str(error))
    if limit is None and count == TABLE_ROWS:
        click.echo(f"the newest {count}; --limit or --json shows more", err=True)


def print_table(found: Iterator[dict[str, Any]], columns: Sequence[str]) -> int:
    """Print the rows under the columns' names; give how many there were."""
    count = 0

    def cells() -> Iterator[list[str]]:
        nonlocal count
        yield list(columns)
        for row in found:
            count += 1
            yield ["-" if row[c] is None else str(row[c]) for c in columns]

    for line in table(cells()):
        click.echo(line)
    return count
