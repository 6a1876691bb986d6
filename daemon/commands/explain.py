"""``fairlane explain``: an entry of the ledger, down to the packets behind it."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import click
import msgspec

from config.moment import moment
from daemon.commands.amounts import decimal_of
from daemon.commands.explained_shape import shape_lines, shape_object
from daemon.commands.explained_usage import (
    packet_line,
    packet_object,
    plain,
    usage_line,
)
from daemon.commands.ledger import entry_object
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.stored import network_in
from daemon.stores import StoreError, opened
from rating.entry import Account
from rating.posting import detail_of
from rating.purchase import Terms
from services.explanation import Explanation, Priced, explain
from services.levied import Basis, Levied
from services.packets_behind import Journals
from storage.journal import JournalError
from storage.periodic_charges import PeriodicCharge


@click.command()
@click.argument("entry", type=NUMBER)
@configuration_option
@click.option(
    "--all",
    "whole",
    is_flag=True,
    help="Every sample, session or loan behind what an ISP pays for a period.",
)
@json_option
def command(
    entry: int, configuration: Path | None, *, whole: bool, as_json: bool
) -> None:
    """Explain ENTRY: its legs, the rates and charges, the usage, the packets.

    Of a percentile the samples around it are shown with the usage in it, of a peak the
    sessions that were open, of loans their blocks and hours. What is gone by retention
    is said to be gone, and what has changed since it was charged to have changed.
    """
    plan = load_or_exit(configuration)
    try:
        with opened(plan) as database, database.read.connect() as connection:
            found = explain(
                connection,
                network_in(connection),
                Journals(
                    Path(plan.data_dir) / "journal",
                    plan.settings.accounting.max_clock_skew_seconds,
                ),
                entry,
                whole=whole,
            )
    except (StoreError, JournalError) as error:
        fail(str(error))
    if found is None:
        fail(f"there is no entry {entry}")
    if as_json:
        click.echo(msgspec.json.encode(_object(found)))
    else:
        _show(found)


def _show(found: Explanation) -> None:
    book, posting = found.entry.book, found.entry.posting
    whose = "" if posting.service is None else f" for {posting.service}"
    click.echo(
        f"Entry {found.entry.id}: {book.kind}{whose} of {moment(posting.at)}, posted"
        f" {moment(found.posted_at)} in {book.month}"
    )
    if posting.late_from is not None:
        click.echo(f"  it came late: its own month, {posting.late_from}, was closed")
    if posting.reverses is not None:
        click.echo(f"  it reverses entry {posting.reverses}")
    if found.reversed_by is not None:
        click.echo(f"  it is reversed by entry {found.reversed_by}")
    if reason := detail_of(posting.detail).reason:
        click.echo(f"  because: {reason}")
    click.echo("Legs")
    for leg in found.legs:
        amount = decimal_of(leg.amount).rjust(14)
        click.echo(f"  {leg.account:<11} {leg.owner:<20} {amount} {book.currency}")
    if found.charges:
        click.echo("Charges")
    for priced in found.charges:
        click.echo(f"  {_charge(priced)} {book.currency}")
        if priced.rate is not None:
            click.echo(f"    {_rate(priced.rate)}")
        for row in priced.shaped_by:
            click.echo(f"    {_rate(row)}")
    if found.fee is not None:
        click.echo(f"  {_fee(found.fee, book.currency)}")
    if found.usage is not None:
        click.echo("Usage")
        click.echo(f"  record {found.usage['id']}: {usage_line(found.usage)}")
    if found.session is not None:
        who = found.session["user_name"] or found.session["calling_station_id"] or "-"
        identity = f"{found.session['acct_session_id']} of {found.session['nas']}"
        click.echo(f"  session {identity}, {who}")
    if found.purchase is not None:
        bought = found.purchase
        click.echo("Purchase")
        click.echo(f"  {bought['reference']} at {bought['bsp']}: {bought['state']}")
        if bought["terms"]:
            click.echo(f"  {_terms(msgspec.json.decode(bought['terms'], type=Terms))}")
    if found.sale is not None:
        sold = found.sale
        click.echo("Sale")
        address = IPv4Address(sold["address"])
        nth = f"the month's {sold['sold_in_month']}. beyond the plan"
        click.echo(f"  {address} to {sold['line']}, {nth}")
        price = f"{decimal_of(sold['price_micro'])} {book.currency} before tax"
        click.echo(f"  {price}, {decimal_of(sold['spent_micro'])} spent in the month")
    if found.events:
        click.echo("Events")
    for event in found.events:
        mark = "  <- this entry" if event["event_id"] == found.made_by else ""
        click.echo(f"  {event['event_id']}: {event['body']}{mark}")
    if found.basis is not None:
        _show_basis(found.basis, book.currency)
    if found.levied is not None:
        _show_levied(found.levied, posting[1:6])
    if found.shape is not None:
        for line in shape_lines(found.shape, found.charges[0].line, book.currency):
            click.echo(line)
    if found.packets:
        click.echo("Packets")
    for packet in found.packets:
        click.echo(f"  {packet_line(packet)}")
    for word in found.gone:
        click.echo(f"gone: {word}")


def _fee(fee: PeriodicCharge, currency: str) -> str:
    first = "its first day" if fee.first_day is None else fee.first_day
    last = "its end" if fee.last_day is None else f"{fee.last_day}, not included"
    back = f", {decimal_of(fee.taken_back)} taken back" if fee.taken_back else ""
    whole = f"the period of {fee.period} is charged from {first} until {last}"
    return f"{whole}: {decimal_of(fee.amount)} {currency} in all{back}"


def _terms(terms: Terms) -> str:
    return (
        f"{decimal_of(terms.tax * 10_000)} % tax, owed by {terms.tax_party}, on the"
        f" price before tax; {decimal_of(terms.isp_commission * 10_000)} % of that to"
        f" the ISP, {decimal_of(terms.network_fee * 10_000)} % to the Network Provider"
    )


def _show_basis(basis: Basis, currency: str) -> None:
    click.echo("Levied on")
    for part in basis.levied_on:
        which = f"{part.entries} entries, {part.first_entry} to {part.last_entry}"
        sum_ = decimal_of(part.amount)
        click.echo(f"  {part.tariff}: {which}: {sum_} {currency}")
    total = decimal_of(sum(part.amount for part in basis.levied_on))
    click.echo(f"  together: {total} {currency}")
    for account, before in zip(Account, basis.levied_before, strict=True):
        if before:
            click.echo(f"  levied before, {account}: {decimal_of(before)} {currency}")


def _show_levied(levied: Levied, booked: tuple[int, ...]) -> None:
    shares = zip(("tax", "to the ISP", "to the network"), levied.cut, strict=True)
    parts = ", ".join(
        f"{decimal_of(part * 10_000)} % {what}" for what, part in shares if part
    )
    click.echo(f"  by what the network has now: {parts or 'nothing is levied'}")
    if levied.legs != booked:
        legs = ", ".join(
            f"{account} {decimal_of(amount)}"
            for account, amount in zip(Account, levied.legs, strict=True)
            if amount
        )
        click.echo(f"changed: by that it is {legs or 'nothing'}")


def _charge(priced: Priced) -> str:
    line = priced.line
    span = f"{moment(line.started_at)} to {moment(line.ended_at)}"
    # Whether use is within an allowance is a question of use alone.
    tag = "" if line.unit == "fee" else f" ({line.tag})"
    what = f"{priced.tariff} {line.element}{tag}: {line.quantity} {line.unit}"
    return f"{what}, {span}: {decimal_of(line.amount)}"


def _rate(rate: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in rate.items())


def _object(found: Explanation) -> dict[str, Any]:
    return {
        **entry_object(found.entry, found.posted_at),
        "reversed_by": found.reversed_by,
        "legs": [
            leg._asdict() | {"amount": decimal_of(leg.amount)} for leg in found.legs
        ],
        "charges": [
            {
                "tariff": priced.tariff,
                **{
                    field: getattr(priced.line, field)
                    for field in priced.line.__struct_fields__
                },
                "rate": priced.rate,
                "shaped_by": priced.shaped_by,
            }
            for priced in found.charges
        ],
        "usage": plain(found.usage),
        "session": plain(found.session),
        "reason": detail_of(found.entry.posting.detail).reason or None,
        "purchase": plain(found.purchase),
        "made_by": found.made_by,
        "fee": found.fee and _fee_object(found.fee),
        "sale": plain(found.sale),
        "events": [plain(event) for event in found.events],
        **_basis(found.basis),
        "levied_now": found.levied and _levied(found.levied),
        "shape": found.shape and shape_object(found.shape),
        "packets": [packet_object(packet) for packet in found.packets],
        "gone": found.gone,
    }


def _fee_object(fee: PeriodicCharge) -> dict[str, Any]:
    amounts = {
        name: decimal_of(getattr(fee, name)) for name in ("amount", "taken_back")
    }
    return fee._asdict() | amounts


def _basis(basis: Basis | None) -> dict[str, Any]:
    if basis is None:
        return {"levied_on": [], "levied_before": None}
    return {
        "levied_on": [
            part._asdict() | {"amount": decimal_of(part.amount)}
            for part in basis.levied_on
        ],
        "levied_before": {
            account.value: decimal_of(amount)
            for account, amount in zip(Account, basis.levied_before, strict=True)
        },
    }


def _levied(levied: Levied) -> dict[str, Any]:
    return {
        **{
            f"{name}_percent": decimal_of(part * 10_000)
            for name, part in levied.cut._asdict().items()
        },
        "legs": {
            account.value: decimal_of(amount)
            for account, amount in zip(Account, levied.legs, strict=True)
        },
    }
