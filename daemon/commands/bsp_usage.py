"""``fairlane bsp-usage``: metered use of BSPs, loaded, rated, and mended."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from config.moment import moment
from controlplane.repeated_key import repeated_key
from daemon import clock
from daemon.commands.listing import TABLE_ROWS, print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
)
from daemon.commands.stored import database_of, network_in, note_unknown
from services import bsp_usage
from services.catalogue import Catalogue
from storage.bsp_usage import ages_of_rejected, list_rejected


@click.group()
def command() -> None:
    """Metered use of BSPs: minutes, gigabytes, plays."""


@command.command()
@configuration_option
@click.option("--bsp", required=True, help="Whose records they are.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def load(configuration: Path | None, bsp: str, file: Path, *, as_json: bool) -> None:
    """Load FILE, CSV with a header or JSON lines, and rate it.

    Each record has event_id, user, meter, quantity, start and perhaps end. Loading it
    again changes nothing. Exit with 1 when a record was rejected or conflicts.
    """
    now = int(clock.now())
    outcomes: Counter[str] = Counter()
    with database_of(configuration) as database:
        with database.read.connect() as connection:
            network = network_in(connection)
        catalogue = Catalogue(network)
        if bsp not in catalogue.bsps:
            fail(f"no BSP is called {bsp!r}")
        receipts = bsp_usage.receive(database, catalogue, bsp, _records(file), now)
        for receipt in receipts:
            outcomes[receipt.outcome] += 1
            if as_json:
                click.echo(msgspec.json.encode(receipt))
        rated = bsp_usage.rate_guided(database, network, now)
    counted = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
    click.echo(f"{counted or 'no records'}; {rated} rated", err=as_json)
    if outcomes["rejected"] or outcomes["conflict"]:
        fail("not every record was taken: see fairlane bsp-usage rejected")


@command.command()
@configuration_option
@click.option("--bsp", help="Only of this BSP.")
@click.option("--ages", is_flag=True, help="By BSP and reason, with the oldest's age.")
@click.option("--limit", type=NUMBER, help="Only the oldest.")
@json_option
def rejected(
    configuration: Path | None,
    bsp: str | None,
    limit: int | None,
    *,
    ages: bool,
    as_json: bool,
) -> None:
    """List the records that were rejected, the oldest first."""
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        if ages:
            now = int(clock.now())
            columns: tuple[str, ...] = ("bsp", "reason", "records", "oldest_days")
            rows: Iterator[dict[str, Any]] = (
                dict(
                    zip(
                        columns,
                        (
                            row.bsp,
                            row.reason,
                            row.records,
                            (now - row.oldest) // 86_400,
                        ),
                        strict=True,
                    )
                )
                for row in ages_of_rejected(connection)
            )
        else:
            columns = ("bsp", "event_id", "received_at", "reason", "body")
            most = limit or (None if as_json else TABLE_ROWS)
            rows = (
                {c: getattr(row, c) for c in columns}
                | {"received_at": moment(row.received_at)}
                for row in list_rejected(connection, bsp, most)
            )
        if as_json:
            for row in rows:
                click.echo(msgspec.json.encode(row))
        elif not print_table(rows, columns):
            note_unknown(connection, bsp=bsp)


@command.command()
@configuration_option
@click.option("--bsp", help="Only of this BSP.")
@json_option
def recycle(configuration: Path | None, bsp: str | None, *, as_json: bool) -> None:
    """Check rejected records again after a fix, and rate what is right now."""
    now = int(clock.now())
    with database_of(configuration) as database:
        with database.read.connect() as connection:
            network = network_in(connection)
        taken = bsp_usage.recycle(database, Catalogue(network), now, bsp)
        rated = bsp_usage.rate_guided(database, network, now)
        if not taken:
            with database.read.connect() as connection:
                note_unknown(connection, bsp=bsp)
    if as_json:
        click.echo(msgspec.json.encode({"recycled": taken, "rated": rated}))
    else:
        click.echo(f"{taken} recycled; {rated} rated")


def _records(file: Path) -> Iterator[object]:
    """Give each record; a line that cannot be read is a record that says nothing."""
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        first = next((text for text in opened if text.strip()), "").lstrip()[:1]
        opened.seek(0)
        yield from _json_records(opened) if first in "{[" else _csv_records(opened)


def _json_records(lines: Iterable[str]) -> Iterator[object]:
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            twice = repeated_key(text)
            record = text.strip() if twice else msgspec.json.decode(text)
        except (ValueError, RecursionError):
            twice, record = None, text.strip()
        if twice is not None:
            click.echo(f"line {number}: {twice.reason}", err=True)
        yield record


def _csv_records(lines: Iterable[str]) -> Iterator[object]:
    """Give the rows by their header; one that has not as many cells is no record, as
    what it says of which column, or whether it is all there, would be a guess."""
    # The csv module gives up at U+0000, and at a field without an end.
    reader = csv.reader(text.replace("\0", "\ufffd") for text in lines)
    header: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {reader.line_num}: {error}"
            continue
        if not header:
            header = cells
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice:
                fail(f"the header has {', '.join(map(repr, twice))} twice")
        elif len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        elif cells:
            yield cells
