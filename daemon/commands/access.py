"""``fairlane access``: who may use the interfaces."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from daemon import clock
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.tables import table
from daemon.stores import StoreError, opened
from services import clients
from services.clients import Refusal
from services.principal import Role
from storage.clients import list_clients


@click.group()
def command() -> None:
    """Make, list and revoke the clients of REST and MQTT."""


@command.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([r.value for r in Role]), required=True)
@click.option("--isp", help="The ISP whose client it is.")
@click.option("--bsp", help="The BSP whose client it is.")
@configuration_option
@json_option
def add(
    name: str,
    role: str,
    isp: str | None,
    bsp: str | None,
    configuration: Path | None,
    as_json: bool,
) -> None:
    """Make a client; its secret is printed now and never again."""
    if isp and bsp:
        raise click.UsageError("a client has an ISP or a BSP, not both")
    try:
        with opened(load_or_exit(configuration)) as database:
            made = clients.add_client(
                database,
                name=name,
                role=Role(role),
                owner=isp or bsp,
                now=int(clock.now()),
            )
    except StoreError as error:
        fail(str(error))
    if isinstance(made, Refusal):
        fail(made.detail)
    if as_json:
        click.echo(msgspec.json.encode(made._asdict()))
    else:
        click.echo(f"client_id      {made.client_id}")
        click.echo(f"client_secret  {made.client_secret}")


@command.command("list")
@configuration_option
@json_option
def list_(configuration: Path | None, as_json: bool) -> None:
    """List the clients."""
    try:
        with (
            opened(load_or_exit(configuration)) as database,
            database.read.connect() as connection,
        ):
            rows = list_clients(connection)
    except StoreError as error:
        fail(str(error))
    columns = ("name", "role", "tenant", "client_id", "revoked_at")
    facts = [{column: getattr(row, column) for column in columns} for row in rows]
    if as_json:
        for fact in facts:
            click.echo(msgspec.json.encode(fact))
        return
    cells = [["-" if v is None else str(v) for v in fact.values()] for fact in facts]
    for line in table([list(columns), *cells]):
        click.echo(line)


@command.command("revoke")
@click.argument("name")
@configuration_option
def revoke(name: str, configuration: Path | None) -> None:
    """Revoke a client: its tokens end now, its name stays taken."""
    try:
        with opened(load_or_exit(configuration)) as database:
            done = clients.revoke_client(database, name, int(clock.now()))
    except StoreError as error:
        fail(str(error))
    if not done:
        fail(f"there is no client {name!r} to revoke")
