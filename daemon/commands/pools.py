"""``fairlane pools``: each part of each pool, from the running address server, or what
the database says of it while that does not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from daemon import clock
from daemon.commands.asking import ask_role, read, show_rows
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.network_feed import network_of
from storage.network import read_network
from storage.pool_queries import pool_parts

COLUMNS = (
    *("pool", "tenant", "level", "capacity", "leased", "offered", "declined"),
    *("cooling", "lent", "borrowed", "free", "utilisation", "seconds_left"),
)


@click.command()
@configuration_option
@click.option("--isp", help="Only of this ISP.")
@json_option
def command(configuration: Path | None, isp: str | None, as_json: bool) -> None:
    """Show how full each pool is, in addresses, and how long it will last."""
    plan = load_or_exit(configuration)
    answer = ask_role(plan, about="pools")
    if answer is None:
        rows = read(plan, _stored)
        click.echo("the address server does not run: as it was stored", err=True)
    elif "error" in answer:
        fail(answer["error"])
    else:
        rows = answer["pools"]
    rows = [row for row in rows if isp in (None, row["tenant"])]
    show_rows(rows, COLUMNS, as_json=as_json)


def _stored(connection: Connection) -> list[dict[str, Any]]:
    network = network_of(read_network(connection))
    return pool_parts(connection, network, int(clock.now()))
