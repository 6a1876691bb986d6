"""``fairlane inventory``: CSV in and out, and who changed what."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click
import msgspec

from config.moment import moment
from daemon.commands.listing import print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.orders import staff, transaction_of
from daemon.stores import StoreError, opened
from services import inventory, inventory_csv
from services.inventory_csv import ALL_KINDS

_LOG = ("at", "actor", "channel", "action", "kind", "name", "reason")


@click.group()
def command() -> None:
    """Export and import the inventory as CSV; show the change log."""


@command.command()
@configuration_option
@click.argument("kind", type=click.Choice(ALL_KINDS))
@click.option("--isp", help="Only what is this ISP's.")
def export(configuration: Path | None, kind: str, *, isp: str | None) -> None:
    """Write one kind of object as CSV; secrets are blotted out."""
    plan = load_or_exit(configuration)
    try:
        with opened(plan) as database, database.read.connect() as connection:
            for line in inventory_csv.export(connection, kind, isp):
                click.echo(line)
    except StoreError as error:
        fail(str(error))


@command.command("import")
@configuration_option
@click.argument("kind", type=click.Choice(ALL_KINDS))
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--complete", is_flag=True, help="Delete what FILE does not have.")
def import_(
    configuration: Path | None,
    kind: str,
    file: IO[str],
    *,
    dry_run: bool,
    complete: bool,
) -> None:
    """Make objects what FILE says, all or none; what it does not name stays."""
    rows, mistakes = inventory_csv.read(kind, file)
    _tell(file, mistakes)
    with transaction_of(load_or_exit(configuration)) as transaction:
        changes, mistakes = inventory_csv.difference(
            transaction, kind, rows, complete=complete
        )
        _tell(file, mistakes)
        found = inventory_csv.mistakes_between(transaction, changes, rows)
        _tell(file, found)
        if not dry_run:
            inventory.take(transaction, staff(), kind, changes, "CSV import")
    for change in changes:
        click.echo(inventory_csv.shown(change))
    verb = "would change" if dry_run else "changed"
    click.echo(f"{len(changes)} {verb}" if changes else "nothing to change")


def _tell(file: IO[str], mistakes: list[inventory_csv.Mistake]) -> None:
    name = getattr(file, "name", "-")  # standard input may have none
    for mistake in mistakes:
        place = f"{name}:{mistake.line}" if mistake.line else name
        click.echo(f"{place}: {mistake.message}", err=True)
    if mistakes:
        sys.exit(1)


@command.command()
@configuration_option
@click.option("--kind", help="Only of this kind.")
@click.option("--name", help="Only of the object called so.")
@click.option("--isp", help="Only what is this ISP's.")
@click.option("--limit", type=NUMBER, default=100, show_default=True)
@json_option
def log(
    configuration: Path | None,
    *,
    kind: str | None,
    name: str | None,
    isp: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show who changed what, the newest first."""
    plan = load_or_exit(configuration)
    try:
        with opened(plan) as database, database.read.connect() as connection:
            rows = inventory.log_of(
                connection, kind=kind, name=name, tenant=isp, limit=limit
            )
    except StoreError as error:
        fail(str(error))
    for row in rows:
        row["at"] = moment(row["at"])
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
    else:
        print_table(iter(rows), _LOG)
