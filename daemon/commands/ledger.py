"""``fairlane ledger``: the entries of money, their proof, months and balances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection

from config.moment import moment
from daemon import clock
from daemon.commands.amounts import decimal_of
from daemon.commands.listing import TABLE_ROWS, print_table
from daemon.commands.months import Month
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
)
from daemon.commands.refusals import CLOSING, correction_refused
from daemon.commands.stored import database_of, network_in, note_unknown
from rating.entry import Entry, Kind
from rating.months import span_of
from services import periods
from services.corrections import MAX_REASON, Refusal, take_back
from services.statements import settlement_of
from storage.entry_queries import EntryFilter, find_entry, list_entries, reversed_by
from storage.ledger_proof import prove
from storage.network import has_object

COLUMNS = (
    "entry",
    "at",
    "kind",
    "isp",
    "service",
    "party",
    "currency",
    "subscriber",
    "isp_amount",
    "party_amount",
    "network",
    "tax",
    "late_from",
    "reverses",
)


@click.group()
def command() -> None:
    """The ledger: entries, their proof, the months they are booked in."""


@command.command()
@configuration_option
@click.option("--isp", help="Only of this ISP's subscribers and services.")
@click.option("--party", help="Only with this BSP or lending ISP.")
@click.option("--month", type=Month(), help="Only booked in it, such as 2026-11.")
@click.option("--kind", type=click.Choice([k.value for k in Kind]))
@click.option("--service", help="Only of this service.")
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def entries(configuration: Path | None, *, as_json: bool, **options: Any) -> None:
    """List entries, the newest last; amounts owed are negative."""
    given = options.pop("limit")
    limit = given or (None if as_json else TABLE_ROWS)
    wanted = EntryFilter(tenant=options.pop("isp"), limit=limit, **options)
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        found = (
            entry_object(entry, posted_at)
            for entry, posted_at in list_entries(connection, wanted)
        )
        if as_json:
            for row in found:
                click.echo(msgspec.json.encode(row))
        elif not (count := print_table(found, COLUMNS)):
            note_unknown(connection, isp=wanted.tenant, service=wanted.service)
            if wanted.party is not None and not has_object(
                connection, "isp", wanted.party
            ):
                note_unknown(connection, bsp=wanted.party)
        elif count == TABLE_ROWS and not given:
            click.echo(f"the newest {count}; --limit or --json shows more", err=True)


def entry_object(entry: Entry, posted_at: int) -> dict[str, Any]:
    """An entry as an object for JSON and tables; amounts are decimals."""
    book, posting = entry.book, entry.posting
    legs = ("subscriber", "isp_amount", "party_amount", "network", "tax")
    amounts = map(decimal_of, posting[1:6])
    return {
        "entry": entry.id,
        "at": moment(posting.at),
        "posted_at": moment(posted_at),
        "month": book.month,
        "kind": book.kind,
        "source": book.source,
        "source_id": posting.source_id,
        "isp": book.tenant,
        "service": posting.service,
        "party": book.party or None,
        "currency": book.currency,
        **dict(zip(legs, amounts, strict=True)),
        "tax_party": book.tax_party or None,
        "tax_class": book.tax_class or None,
        "tariff": book.tariff or None,
        "wholesale_tariff": book.wholesale_tariff or None,
        "late_from": posting.late_from,
        "reverses": posting.reverses,
    }


@command.command()
@configuration_option
@json_option
def verify(configuration: Path | None, *, as_json: bool) -> None:
    """Prove the whole ledger: numbers, sums, digests; exit with 1 if it is not whole.

    The last digest stands for every entry up to it: who keeps it can tell later
    whether any was changed.
    """
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        proof = prove(connection)
    if as_json:
        fact = proof._asdict() | {"digest": proof.digest.hex()}
        click.echo(msgspec.json.encode(fact))
    else:
        click.echo(f"{proof.entries} entries in {proof.batches} batches")
        click.echo(f"sha256: {proof.digest.hex()}")
    for problem in proof.problems:
        click.echo(problem, err=True)
    if proof.problems:
        fail("the ledger is not what was written")


@command.command()
@configuration_option
@click.argument("entry", type=NUMBER)
@click.option("--reason", required=True, help="Why; it stays in the ledger.")
@click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
@json_option
def reverse(
    configuration: Path | None, entry: int, reason: str, *, dry_run: bool, as_json: bool
) -> None:
    """Take ENTRY back: a fee, a sold address, metered use of a BSP, or a loan.

    It is booked in the first month that is open. Network usage is corrected by rerate,
    a purchase by a refund, a tax by what it is on.
    """
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise click.UsageError(f"a reason has 1 to {MAX_REASON} letters")
    now = int(clock.now())
    with database_of(configuration) as database:
        found = take_back(database, entry, reason.strip(), now, dry_run=dry_run)
        if isinstance(found, Refusal):
            with database.read.connect() as connection:
                fail(_not_taken_back(connection, found, entry))
    if as_json:
        click.echo(msgspec.json.encode(entry_object(found.undo, now)))
    else:
        print_table(iter([entry_object(found.undo, now)]), COLUMNS)


def _not_taken_back(connection: Connection, refusal: Refusal, number: int) -> str:
    known = find_entry(connection, number)
    month, undo = "", reversed_by(connection, number)
    if known is not None:
        entry, _ = known
        month, undo = entry.book.month, undo or entry.posting.reverses
    return correction_refused(refusal, number, undo, month)


@command.command()
@configuration_option
@click.argument("month", type=Month())
@click.option("--isp", help="Only of this ISP.")
@json_option
def levy(
    configuration: Path | None, month: str, isp: str | None, *, as_json: bool
) -> None:
    """Post tax and commissions on a month so far, such as 2026-11."""
    with database_of(configuration) as database:
        with database.read.connect() as connection:
            network = network_in(connection)
        count = periods.levy_month(database, network, month, int(clock.now()), isp)
    _check_booked(isp, month, some=count > 0 or isp in {i.name for i in network.isp})
    click.echo(
        msgspec.json.encode({"entries": count}) if as_json else f"{count} entries"
    )


@command.command()
@configuration_option
@click.argument("month", type=Month())
@click.option("--isp", help="Only of this ISP.")
@json_option
def close(
    configuration: Path | None, month: str, isp: str | None, *, as_json: bool
) -> None:
    """Close a month that is over, such as 2026-11; later use goes into the next."""
    with database_of(configuration) as database:
        with database.read.connect() as connection:
            network = network_in(connection)
        now = int(clock.now())
        closings = periods.close_months(database, network, month, now, isp)
    known = isp in {one.name for one in network.isp}
    _check_booked(isp, month, some=bool(closings) or known)
    if not closings:
        if any(now < span_of(z, month).ends_at for z in periods.zones_of(network)):
            fail(f"{month} is not over ({periods.Refusal.NOT_OVER})")
        click.echo(f"nothing is booked in {month}", err=as_json)
    for closing in closings:
        refusal = closing.refusal
        if as_json:
            click.echo(msgspec.json.encode(closing._asdict()))
            continue
        what = f"{CLOSING[refusal]} ({refusal})" if refusal else "closed"
        click.echo(f"{closing.tenant} {closing.zone} {closing.month}: {what}")
    if any(closing.refusal for closing in closings):
        fail("not every month was closed")


def _check_booked(isp: str | None, month: str, *, some: bool) -> None:
    if isp is not None and not some:
        fail(f"nothing of {isp!r} is booked in {month}")


@command.command()
@configuration_option
@click.argument("month", type=Month())
@json_option
def settlement(configuration: Path | None, month: str, *, as_json: bool) -> None:
    """Show what everybody has of a month; the amounts of a currency sum to zero."""
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        positions = settlement_of(connection, month)
    rows = [p._asdict() | {"amount": decimal_of(p.amount)} for p in positions]
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
        return
    print_table(_with_sums(rows, positions), ("currency", "account", "owner", "amount"))


def _with_sums(rows: list[dict[str, Any]], positions: Any) -> Iterator[dict[str, Any]]:
    yield from rows
    for currency in sorted({p.currency for p in positions}):
        total = sum(p.amount for p in positions if p.currency == currency)
        yield {
            "currency": currency,
            "account": "together",
            "owner": None,
            "amount": decimal_of(total),
        }
