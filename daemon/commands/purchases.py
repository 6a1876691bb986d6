"""``fairlane purchases``: what was bought at BSPs, and what could not be priced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from config.moment import moment
from daemon import clock
from daemon.commands.amounts import decimal_of
from daemon.commands.listing import TABLE_ROWS, print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    json_option,
)
from daemon.commands.stored import database_of, network_in, note_unknown
from rating.purchase import State
from services import purchases
from services.catalogue import Catalogue
from storage.purchases import list_purchases

_COLUMNS = (
    "id",
    "at",
    "bsp",
    "reference",
    "service",
    "product",
    "currency",
    "authorised",
    "captured",
    "refunded",
    "state",
    "reason",
)


@click.group()
def command() -> None:
    """Purchases at BSPs: list them, try again what could not be priced."""


@command.command("list")
@configuration_option
@click.option("--isp", "tenant", help="Only by this ISP's subscribers.")
@click.option("--bsp", help="Only at this BSP.")
@click.option("--service", help="Only by this service.")
@click.option("--state", type=click.Choice([s.value for s in State]))
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def list_command(configuration: Path | None, *, as_json: bool, **options: Any) -> None:
    """List purchases, the newest last."""
    given = options["limit"]
    options["limit"] = given or (None if as_json else TABLE_ROWS)
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        found = (_object(row) for row in list_purchases(connection, **options))
        if as_json:
            for row in found:
                click.echo(msgspec.json.encode(row))
        elif not (count := print_table(found, _COLUMNS)):
            names = {"isp": options["tenant"], "bsp": options["bsp"]}
            note_unknown(connection, **names, service=options["service"])
        elif count == TABLE_ROWS and not given:
            click.echo(f"the newest {count}; --limit or --json shows more", err=True)


@command.command()
@configuration_option
@json_option
def recycle(configuration: Path | None, *, as_json: bool) -> None:
    """Price pending sales again, after the catalogue was mended."""
    with database_of(configuration) as database:
        with database.read.connect() as connection:
            catalogue = Catalogue(network_in(connection))
        answers = purchases.recycle(database, catalogue, int(clock.now()))
    for answer in answers:
        if as_json:
            fact = {"id": answer.purchase, "state": answer.state}
            click.echo(msgspec.json.encode(fact | {"denial": answer.denial}))
            continue
        click.echo(f"{answer.purchase}: {answer.denial or answer.state}")


@command.command()
@configuration_option
@json_option
def expire(configuration: Path | None, *, as_json: bool) -> None:
    """Let go of authorisations that were not captured in time."""
    with database_of(configuration) as database:
        count = purchases.expire(database, int(clock.now()))
    fact = msgspec.json.encode({"expired": count})
    click.echo(fact if as_json else f"{count} expired")


def _object(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": moment(row.at),
        "isp": row.tenant if row.service else None,
        "bsp": row.bsp,
        "reference": row.reference,
        "service": row.service,
        "product": row.product,
        "currency": row.currency,
        "authorised": decimal_of(row.authorised_amount),
        "captured": decimal_of(row.captured_amount),
        "refunded": decimal_of(row.refunded_amount),
        "state": row.state,
        "reason": row.reason,
        "entry": row.entry_id,
    }
