"""``fairlane quarantine``: the records that could not be applied, and another try.

What is applied again, the ledger of the running daemon applies: it alone has what the
record belongs to. Asked while no daemon runs, it does so when one is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from config.moment import moment
from daemon.appliers import ACCOUNTING, kind_of
from daemon.commands.asking import look_until, read, show_rows
from daemon.commands.listing import TABLE_ROWS
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.stores import StoreError, opened
from radius.records import RecordReader
from storage.database import Database
from storage.quarantine import Place, ask_again, find_quarantined, list_quarantined

COLUMNS = ("journal", "position", "records", "received_at", "state", "reason")


@click.group()
def command() -> None:
    """Records that could not be applied: list, show, retry."""


@command.command("list")
@configuration_option
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def list_(configuration: Path | None, *, limit: int | None, as_json: bool) -> None:
    """List the records, the one received last first."""
    most = limit or (None if as_json else TABLE_ROWS)
    rows = read(load_or_exit(configuration), lambda c: list_quarantined(c, most))
    show_rows([_fact(row) for row in rows], COLUMNS, as_json=as_json)


@command.command()
@configuration_option
@click.argument("journal")
@click.argument("position", type=NUMBER)
@json_option
def show(
    configuration: Path | None, journal: str, position: int, *, as_json: bool
) -> None:
    """Show the record that was at POSITION of JOURNAL, octets included.

    `fairlane decode` reads the packet of an accounting record.
    """
    place = Place(journal, position)
    row = read(load_or_exit(configuration), lambda c: find_quarantined(c, place))
    if row is None:
        fail(f"no record {position} of {journal} is in quarantine")
    fact = _fact(row) | {"octets": bytes(row.octets).hex()} | _packet(row)
    if as_json:
        click.echo(msgspec.json.encode(fact))
        return
    for name, value in fact.items():
        click.echo(f"{name:16} {value}")


@command.command()
@configuration_option
@click.argument("journal", required=False)
@click.argument("position", type=NUMBER, required=False)
@click.option("--all", "every", is_flag=True, help="Every record of accounting.")
def retry(
    configuration: Path | None,
    journal: str | None,
    position: int | None,
    *,
    every: bool,
) -> None:
    """Apply the record at POSITION of JOURNAL again, or with --all every one.

    Exit code 0 when all were applied, 1 when one was put back or no ledger took them
    within ten seconds.
    """
    if every == (position is not None):
        raise click.UsageError("name a journal and a position, or give --all")
    place = None
    if journal is not None and position is not None:
        place = Place(journal, position)
    elif journal is not None:
        raise click.UsageError("a journal needs a position")
    try:
        with opened(load_or_exit(configuration)) as database:
            if place is not None:
                _check(database, place)
            with database.write.begin() as connection:
                asked = ask_again(connection, place)
            if not asked:
                click.echo("nothing new to apply again")
                return
            left = _outcome(database, asked)
    except IntegrityError:
        fail("someone else asked at the same moment; ask again")
    except StoreError as error:
        fail(str(error))
    for row in left:
        click.echo(f"{row.position} of {row.journal}: {_state(row)}: {row.reason}")
    click.echo(f"{len(asked) - len(left)} of {len(asked)} applied")
    raise SystemExit(1 if left else 0)


def _check(database: Database, place: Place) -> None:
    """Exit with 1 when there is no such record, or none that can be applied again."""
    with database.read.connect() as connection:
        row = find_quarantined(connection, place)
    if row is None:
        fail(f"no record {place.position} of {place.journal} is in quarantine")
    if kind_of(place.journal) != ACCOUNTING:
        fail(
            f"a record of {place.journal} cannot be applied again: it has no time of"
            " its own, and what came after it stands"
        )


def _outcome(database: Database, asked: list[Place]) -> list[Row[Any]]:
    """Look until the ledger has tried each; give those that are still here."""
    wanted = set(asked)

    def look(connection: Connection) -> list[Row[Any]]:
        rows = list_quarantined(connection, None)
        return [row for row in rows if (row.journal, row.position) in wanted]

    return look_until(
        database, look, lambda left: all(row.retry_position is None for row in left)
    )


def _state(row: Row[Any]) -> str:
    return "put aside" if row.retry_position is None else "to be applied again"


def _fact(row: Row[Any]) -> dict[str, Any]:
    return {
        "journal": row.journal,
        "position": row.position,
        "records": row.records,
        "received_at": moment(row.received_at_ns // 1_000_000_000),
        "quarantined_at": moment(row.quarantined_at),
        "state": _state(row),
        "reason": row.reason,
    }


def _packet(row: Row[Any]) -> dict[str, Any]:
    """Say where a packet came from, and what it is for ``fairlane decode``."""
    if kind_of(row.journal) != ACCOUNTING:
        return {}
    ((origin, packet),) = RecordReader().read(bytes(row.octets))
    return {"nas": origin.nas, "packet": packet.hex()}
