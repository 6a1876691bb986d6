"""``fairlane rerate``: a month's usage rated again, as a dry run or for good."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from daemon import clock
from daemon.commands.amounts import decimal_of
from daemon.commands.listing import print_table
from daemon.commands.months import Month
from daemon.commands.options import configuration_option, fail, json_option
from daemon.commands.stored import database_of, network_in
from rating.months import span_of
from services.rerated_usage import own_service
from services.rerating import RolledUpError, apply, dry_run

_COLUMNS = ("party", "currency", "before", "after", "difference")


@click.command()
@configuration_option
@click.argument("month", type=Month())
@click.option("--apply", "for_good", is_flag=True, help="Book it: reversal and new.")
@json_option
def command(
    configuration: Path | None, month: str, *, for_good: bool, as_json: bool
) -> None:
    """Rate the usage of MONTH, such as 2026-11, by the network's tariffs as they are.

    Each service has the offering that it had when it was used.

    Prints what each party would have instead of what it has; nothing is changed
    without --apply, which is for months that are over.
    """
    now = int(clock.now())
    with database_of(configuration) as database:
        with database.read.connect() as connection:
            network = network_in(connection)
        if for_good and any(
            now < span_of(tariff.zone, month).ends_at for tariff in network.tariff
        ):
            fail(f"{month} is not over")
        try:
            result = dry_run(database, network, own_service, month)
            booked = 0
            if for_good:
                booked = apply(database, network, own_service, month, now)
        except RolledUpError as error:
            fail(str(error))
    rows = [
        {
            "party": d.party,
            "currency": d.currency,
            "before": decimal_of(d.before),
            "after": decimal_of(d.after),
            "difference": decimal_of(d.after - d.before),
        }
        for d in result.differences()
    ]
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
    else:
        print_table(iter(rows), _COLUMNS)
    words = f"{result.usages} usage records rated, {result.unrated} could not be"
    click.echo(f"{words}; {booked} entries booked" if for_good else words, err=True)
