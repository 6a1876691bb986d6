"""``fairlane leases``: which line has which address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from daemon import clock
from daemon.commands.addresses import Ipv4
from daemon.commands.listing import TABLE_ROWS, print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.stored import note_unknown
from daemon.stores import StoreError, opened
from storage.lease_queries import STATES, LeaseFilter, list_leases

COLUMNS = (
    "address",
    "line",
    "hardware",
    "service",
    "isp",
    "borrower",
    "state",
    "kind",
    "started_at",
    "expires_at",
)


@click.command()
@configuration_option
@click.option("--address", type=Ipv4(), help="Only of this address.")
@click.option("--line", help="Only of this line.")
@click.option("--isp", help="Only of services of this ISP.")
@click.option("--pool", help="Only of this pool.")
@click.option("--state", type=click.Choice(STATES), help="Only such leases.")
@click.option("--limit", type=NUMBER, help="Only the first.")
@json_option
def command(
    configuration: Path | None, as_json: bool, limit: int | None, **options: Any
) -> None:
    """List the last lease of each address, in order of address."""
    shown = limit or (None if as_json else TABLE_ROWS)
    wanted = LeaseFilter(now=int(clock.now()), limit=shown, **options)
    try:
        with (
            opened(load_or_exit(configuration)) as database,
            database.read.connect() as connection,
        ):
            found = list_leases(connection, wanted)
            if as_json:
                for row in found:
                    click.echo(msgspec.json.encode(row))
                return
            if not (count := print_table(found, COLUMNS)):
                names = {"isp": wanted.isp, "pool": wanted.pool, "line": wanted.line}
                note_unknown(connection, **names)
    except StoreError as error:
        fail(str(error))
    if limit is None and count == TABLE_ROWS:
        click.echo(f"the first {count}; --limit or --json shows more", err=True)
