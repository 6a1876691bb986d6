"""``fairlane pools``: each part of each pool, from the running address server, or what
the database says of it while that does not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from config.network import network_of
from daemon import clock
from daemon.commands.asking import ask_role, read, show_rows
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.stored import note_unknown
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
    """Show how full each pool is, in addresses, and how long it will last.

    What is neither leased, offered, declined, cooling nor free is kept: networks,
    broadcasts, routers, relays and what the pool reserves. Walled gardens are the
    Network Provider's; they lend and borrow nothing, and have no level.
    """
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
    if not as_json:
        rows = [for_people(row) for row in sorted(rows, key=_need)]
    show_rows(rows, COLUMNS, as_json=as_json)
    if not rows and isp is not None:
        read(plan, lambda c: note_unknown(c, isp=isp))


def _need(row: dict[str, Any]) -> tuple[float, str]:
    return -(row["utilisation"] or 0), row["pool"]


def for_people(row: dict[str, Any]) -> dict[str, Any]:
    """Write a pool's parts for reading: per cent, and seconds as minutes or hours."""
    used, left = row["utilisation"], row["seconds_left"]
    if left is not None:
        size, unit = next(
            (s, u)
            for s, u in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
            if left >= 2 * s or s == 1
        )
        left = f"{left // size} {unit}"
    share = None if used is None else f"{used:.1%}"
    return row | {"utilisation": share, "seconds_left": left}


def _stored(connection: Connection) -> list[dict[str, Any]]:
    network = network_of(read_network(connection))
    return pool_parts(connection, network, int(clock.now()))
