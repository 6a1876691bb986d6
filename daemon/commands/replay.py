"""``fairlane replay``: the sessions, usage and ledger that a capture amounts to.

It needs no configuration, no daemon and no secret, and touches no store. Exit codes:
0 replayed, 1 the file is no capture, or scapy is not installed, 78 the network file is
wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection

from config.loader import load_network
from config.network import Network
from config.problems import ConfigurationError
from daemon.commands import ledger, sessions, usage
from daemon.commands.listing import print_table
from daemon.commands.options import exit_with_problems, fail, json_option
from daemon.replay import CaptureError, Found, read_requests, replayed
from storage.entry_queries import EntryFilter, list_entries
from storage.ledger_proof import prove
from storage.usage_queries import Filter, list_sessions, list_usage


@click.command()
@click.argument(
    "capture",
    metavar="FILE.pcap",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option("--nas", help="Only of this NAS: the address its packets come from.")
@click.option(
    "--network",
    "network_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Rate it by the services and tariffs of this network file.",
)
@json_option
def command(
    capture: Path, nas: str | None, network_file: Path | None, *, as_json: bool
) -> None:
    """Run the accounting in a capture through the daemon's code; print what it gives.

    Times are those of the capture, so the same file always gives the same output.
    Signatures are not checked. With --json each object says what it is: "object" is
    "session", "usage" or, with a network, "entry": an entry of the ledger.
    """
    network = None if network_file is None else _network(network_file)
    found = Found()
    wanted = Filter(nas=nas)
    try:
        with (
            replayed(read_requests(capture, found), network) as database,
            database.read.connect() as connection,
        ):
            show = _show_json if as_json else _show_text
            show(connection, wanted, rated=network is not None)
            digest = prove(connection).digest.hex()
    except CaptureError as error:
        fail(str(error))
    broken = f", {found.broken} malformed" if found.broken else ""
    click.echo(
        f"{found.frames} frames, {found.requests} accounting requests{broken}", err=True
    )
    if network is not None:
        click.echo(f"ledger: sha256 {digest}", err=True)


def _network(path: Path) -> Network:
    try:
        return load_network(path)
    except ConfigurationError as error:
        exit_with_problems(error)


def _show_json(connection: Connection, wanted: Filter, *, rated: bool) -> None:
    for word, rows in _results(connection, wanted, rated=rated):
        for row in rows:
            click.echo(msgspec.json.encode({"object": word, **row}))


def _show_text(connection: Connection, wanted: Filter, *, rated: bool) -> None:
    columns = {
        "session": sessions.COLUMNS,
        "usage": usage.COLUMNS,
        "entry": ledger.COLUMNS,
    }
    titles = {"session": "Sessions", "usage": "\nUsage", "entry": "\nLedger"}
    for word, rows in _results(connection, wanted, rated=rated):
        click.echo(titles[word])
        print_table(rows, columns[word])


def _results(
    connection: Connection, wanted: Filter, *, rated: bool
) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    yield "session", list_sessions(connection, wanted)
    yield "usage", list_usage(connection, wanted)
    if rated:
        entries = list_entries(connection, EntryFilter())
        yield "entry", (ledger.entry_object(*entry) for entry in entries)
