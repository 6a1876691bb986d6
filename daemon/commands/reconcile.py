"""``fairlane reconcile``: what was ordered, against the network and the bills."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from daemon import clock
from daemon.commands.listing import print_table
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.preparation import Plan
from daemon.stores import StoreError, opened
from services.device_reports import ask_all
from services.provisioning import Provisioning
from services.reconciliation import report

COLUMNS = ("drift", "service", "tenant", "offering", "monthly", "currency")


@click.command()
@configuration_option
@click.option("--isp", help="Only of this ISP.")
@click.option(
    "--ask-devices", is_flag=True, help="Ask devices over MQTT what they have."
)
@json_option
def command(
    configuration: Path | None, *, isp: str | None, ask_devices: bool, as_json: bool
) -> None:
    """Show what differs between orders, network and subscriptions, in money a month.

    Exits with 1 when anything does. With --ask-devices every device is asked over MQTT
    what it has, and that is all: what they report is in the next comparison.
    """
    plan = load_or_exit(configuration)
    try:
        if ask_devices:
            _ask_devices(plan, isp)
            return
        with opened(plan) as database, database.read.connect() as connection:
            found = report(connection, int(clock.now()), isp)
    except StoreError as error:
        fail(str(error))
    if as_json:
        for one in found:
            click.echo(msgspec.json.encode(one._asdict()))
    elif found:
        rows = (
            {**one._asdict(), "monthly": _shown(one.monthly_micro)} for one in found
        )
        print_table(rows, COLUMNS)
    else:
        click.echo("everything ordered is there, seen and billed")
    sys.exit(1 if found else 0)


def _ask_devices(plan: Plan, isp: str | None) -> None:
    with opened(plan) as database:
        provisioning = Provisioning(database)
        with provisioning.transaction(int(clock.now())) as transaction:
            count = ask_all(transaction, isp)
    click.echo(f"{count} devices are asked; `fairlane reconcile` shows what they have")


def _shown(micro: int | None) -> str | None:
    if micro is None:
        return None
    sign, value = "-" if micro < 0 else "", abs(micro)
    return f"{sign}{value // 10**6}.{value % 10**6:06}"
