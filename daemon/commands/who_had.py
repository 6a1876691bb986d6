"""``fairlane who-had``: who had an address at a time."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import click
import msgspec

from config.moment import moment
from daemon import clock
from daemon.commands.addresses import Ipv4
from daemon.commands.listing import Moment
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.tables import table
from daemon.stores import StoreError, opened
from storage.lease_queries import who_had


@click.command()
@click.argument("address", type=Ipv4())
@click.option("--at", type=Moment(), help="The time; now if it is not given.")
@configuration_option
@json_option
def command(
    configuration: Path | None, address: int, at: int | None, as_json: bool
) -> None:
    """Say which line, device, service and ISP had ADDRESS.

    What was acknowledged in the last second may not be in the database yet. It fails
    when nobody had the address.
    """
    when = int(clock.now()) if at is None else at
    try:
        with (
            opened(load_or_exit(configuration)) as database,
            database.read.connect() as connection,
        ):
            found = who_had(connection, address, when)
    except StoreError as error:
        fail(str(error))
    if found is None:
        fail(f"nobody had {IPv4Address(address)} at {moment(when)}")
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for line in table(
        [key, "-" if value is None else str(value)] for key, value in found.items()
    ):
        click.echo(line)
