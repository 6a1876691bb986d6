"""``fairlane balances``: what is left of allowances, what was told of them, top-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from config.moment import moment
from config.network import Network
from daemon import clock
from daemon.commands.amounts import decimal_of
from daemon.commands.listing import TABLE_ROWS, Moment, print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
)
from daemon.commands.stored import database_of, network_in, note_unknown
from services import topups
from services.live_balances import LiveBalance, balance_of
from storage.quota_events import NumberedQuotaEvent, quota_events_since

_ALLOWANCES = (
    "allowance",
    "unit",
    "granted",
    "rolled_over",
    "topped_up",
    "remaining",
)
_RATES = ("rate", "unit", "quantity", "included", "amount")
_EVENTS = (
    "number",
    "at",
    "service",
    "quota",
    "percent",
    "kind",
    "action",
    "acted_at",
    "effect",
    "tries",
)
_AT_ONCE = 1000


@click.group()
def command() -> None:
    """Live balances of services: what is left, what was told, more of it."""


@command.command()
@click.argument("service")
@configuration_option
@click.option("--at", type=Moment(), help="In the period of this time; now if not.")
@json_option
def show(
    service: str, configuration: Path | None, at: int | None, *, as_json: bool
) -> None:
    """Show what SERVICE has used and has left in its period."""
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        when = int(clock.now()) if at is None else at
        network = network_in(connection)
        found = balance_of(connection, network, service, when)
    if found is None:
        _check_known(network, service)
        fail(f"service {service!r} has no tariff in force at {moment(when)}")
    buckets = [bucket._asdict() for bucket in found.buckets]
    used = [one._asdict() | {"amount": decimal_of(one.amount)} for one in found.used]
    if as_json:
        facts = found._asdict() | {"buckets": buckets, "used": used}
        click.echo(msgspec.json.encode(facts))
        return
    click.echo(_head(found))
    if buckets:
        print_table(iter(buckets), _ALLOWANCES)
    print_table(iter(used), _RATES)


def _check_known(network: Network, service: str) -> None:
    if not any(own.name == service for own in network.service):
        fail(f"there is no service {service!r}")


def _head(found: LiveBalance) -> str:
    what = f"{found.holder} by {found.tariff}@{found.version}, {found.currency}"
    return f"{what}, from {found.since} until {found.until}"


@command.command()
@click.argument("service")
@click.argument("name")
@configuration_option
def topup(service: str, name: str, configuration: Path | None) -> None:
    """Buy the top-up NAME for SERVICE, for its period of now; each time one more."""
    now = int(clock.now())
    with database_of(configuration) as database:
        with database.write.begin() as connection:
            network = network_in(connection)
            bought = topups.buy(connection, network, service, name, at=now, now=now)
        if not bought:
            _check_known(network, service)
            names = ", ".join(map(repr, topups.sold_to(network, service, now)))
            sold = f"there is {names or 'none'}"
            fail(f"no top-up {name!r} is sold to {service!r}; {sold}")
    click.echo("bought")


@command.command()
@configuration_option
@click.option("--isp", "tenant", help="Only of this ISP's services.")
@click.option("--service", help="Only of this service.")
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def events(
    configuration: Path | None,
    tenant: str | None,
    service: str | None,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """List what was told as allowances ran out, what was done, and whether it showed,
    the newest last."""
    rows: list[dict[str, Any]] = []
    most = limit or (None if as_json else TABLE_ROWS)
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        number = 0
        while some := quota_events_since(connection, number, _AT_ONCE, tenant):
            number = some[-1].number
            rows += [_object(e) for e in some if service in (None, e.event.service)]
            rows = rows if most is None else rows[-most:]
        if not rows:
            note_unknown(connection, isp=tenant, service=service)
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
        return
    count = print_table(iter(rows), _EVENTS)
    if limit is None and count == TABLE_ROWS:
        click.echo(f"the newest {count}; --limit or --json shows more", err=True)


def _object(numbered: NumberedQuotaEvent) -> dict[str, Any]:
    event = numbered.event
    acted_at = numbered.acted_at
    return {
        "number": numbered.number,
        **event._asdict(),
        "at": moment(event.at),
        "acted_at": None if acted_at is None else moment(acted_at),
        "effect": numbered.effect,
        "tries": numbered.tries,
    }
