"""``fairlane replay``: the sessions and usage that a capture amounts to.

It needs no configuration, no daemon and no secret, and touches no store. Exit codes:
0 replayed, 1 the file is no capture, or scapy is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection

from daemon.commands import sessions, usage
from daemon.commands.listing import print_table
from daemon.commands.options import fail, json_option
from daemon.replay import CaptureError, Found, read_requests, replayed
from storage.usage_queries import Filter, list_sessions, list_usage


@click.command()
@click.argument(
    "capture",
    metavar="FILE.pcap",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option("--nas", help="Only of this NAS: the address its packets come from.")
@json_option
def command(capture: Path, nas: str | None, *, as_json: bool) -> None:
    """Run the accounting in a capture through the daemon's code; print what it gives.

    Times are those of the capture, so the same file always gives the same output.
    Signatures are not checked. With --json each object says what it is: "object" is
    "session" or "usage".
    """
    found = Found()
    wanted = Filter(nas=nas)
    try:
        with (
            replayed(read_requests(capture, found)) as database,
            database.read.connect() as connection,
        ):
            show = _show_json if as_json else _show_text
            show(connection, wanted)
    except CaptureError as error:
        fail(str(error))
    broken = f", {found.broken} malformed" if found.broken else ""
    click.echo(
        f"{found.frames} frames, {found.requests} accounting requests{broken}", err=True
    )


def _show_json(connection: Connection, wanted: Filter) -> None:
    for word, rows in _results(connection, wanted):
        for row in rows:
            click.echo(msgspec.json.encode({"object": word, **row}))


def _show_text(connection: Connection, wanted: Filter) -> None:
    columns = {"session": sessions.COLUMNS, "usage": usage.COLUMNS}
    titles = {"session": "Sessions", "usage": "\nUsage"}
    for word, rows in _results(connection, wanted):
        click.echo(titles[word])
        print_table(rows, columns[word])


def _results(
    connection: Connection, wanted: Filter
) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    yield "session", list_sessions(connection, wanted)
    yield "usage", list_usage(connection, wanted)
