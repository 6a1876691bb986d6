"""``fairlane rate``: what usage would cost under a tariff, or which of its rules apply.

The rater is the ledger's own; nothing is stored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import msgspec

from config.loader import ConfigurationError, load_network
from config.moment import moment
from config.network import Network
from config.tariffs import Tariff
from daemon.commands.listing import Moment
from daemon.commands.options import (
    configuration_option,
    exit_with_problems,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.tables import table
from daemon.usage_files import UsageFileError, read_usage
from rating.charge import MICRO, RatableUsage
from rating.simulation import Bill, Circumstances, Rule, rule_at, simulate
from rating.wholesale import Loan

_DAY = click.DateTime(["%Y-%m-%d"])
_COLUMNS = ("period", "element", "tag", "quantity", "unit", "amount")


@click.command()
@configuration_option
@click.option("--tariff", "name", required=True, help="A tariff of the network.")
@click.option(
    "--network",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The network file; what the configuration names if not given.",
)
@click.option("--usage", "file", help="CSV or JSON lines; - is standard input.")
@click.option("--at", type=Moment(), help="Say which rule applies at this time.")
@click.option("--billed-from", type=_DAY, help="The first day that fees are due for.")
@click.option("--billed-until", type=_DAY, help="The first day that they are not.")
@click.option(
    "--topup",
    "topups",
    type=(Moment(), str),
    multiple=True,
    metavar="TIME NAME",
    help="A top-up that is bought.",
)
@click.option(
    "--loan",
    "loans",
    type=(click.IntRange(min=1), Moment(), Moment()),
    multiple=True,
    metavar="ADDRESSES FROM UNTIL",
    help="Addresses that an ISP borrows.",
)
@json_option
def command(
    configuration: Path | None,
    name: str,
    network: Path | None,
    file: str | None,
    at: int | None,
    billed_from: datetime | None,
    billed_until: datetime | None,
    topups: tuple[tuple[int, str], ...],
    loans: tuple[tuple[int, int, int], ...],
    *,
    as_json: bool,
) -> None:
    """Say what usage would cost, or which rule applies at a time.

    FILE has started_at, ended_at, input_octets and output_octets, and may have seconds,
    units, service and session; what `fairlane usage --json` prints will do.
    """
    if (file is None) == (at is None):
        raise click.UsageError("give either --usage or --at")
    if at is not None and (billed_from or billed_until or topups or loans):
        raise click.UsageError("--at says which rule applies: the rest is for --usage")
    tariff = _tariff(_network(configuration, network), name)
    if at is not None:
        rule = rule_at(tariff, at)
        if rule is None:
            fail(f"tariff {name!r} is not in force then")
        _show_rule(rule, as_json=as_json)
        return
    assert file is not None
    _check_topups(tariff, topups)
    _check(billed_from, billed_until, loans)
    circumstances = Circumstances(
        billed_from.date() if billed_from else None,
        billed_until.date() if billed_until else None,
        topups,
        tuple(map(Loan._make, loans)),
    )
    try:
        bill = simulate(tariff, list(_usage(file)), circumstances)
    except (UsageFileError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    _show_bill(bill, as_json=as_json)
    for reason, count in bill.unrated.items():
        click.echo(f"{count} records not rated: {reason}", err=True)


def _check(
    billed_from: datetime | None,
    billed_until: datetime | None,
    loans: tuple[tuple[int, int, int], ...],
) -> None:
    if billed_from and billed_until and billed_from >= billed_until:
        raise click.UsageError("--billed-until is not after --billed-from")
    for _, since, until in loans:
        if since >= until:
            raise click.UsageError("a --loan ends before it begins")


def _check_topups(tariff: Tariff, topups: tuple[tuple[int, str], ...]) -> None:
    sold = list(dict.fromkeys(t.name for v in tariff.version for t in v.topup))
    for _, wanted in topups:
        if wanted not in sold:
            names = ", ".join(map(repr, sold)) or "none"
            what = f"tariff {tariff.name!r} sells no top-up called {wanted!r}"
            fail(f"{what}; there is {names}")


def _network(configuration: Path | None, file: Path | None) -> Network:
    if file is not None:
        try:
            return load_network(file)
        except ConfigurationError as error:
            exit_with_problems(error)
    network = load_or_exit(configuration).network
    if network is None:
        raise click.UsageError("no --network, and the configuration names no network")
    return network


def _tariff(network: Network, name: str) -> Tariff:
    tariffs = {tariff.name: tariff for tariff in network.tariff}
    if name not in tariffs:
        names = ", ".join(map(repr, tariffs)) or "none"
        fail(f"there is no tariff called {name!r}; there is {names}")
    return tariffs[name]


def _usage(file: str) -> Iterator[RatableUsage]:
    if file == "-":
        yield from read_usage(sys.stdin)
        return
    with Path(file).open(encoding="utf-8", newline="") as stream:
        yield from read_usage(stream)


def _show_rule(rule: Rule, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "version": rule.version,
        "period": rule.period,
        "windows": list(rule.windows),
        "rates": list(rule.rates),
        "from": moment(rule.starts_at),
        "until": moment(rule.ends_at),
    }
    if as_json:
        click.echo(msgspec.json.encode(facts))
        return
    shown = {k: ", ".join(v) or "-" if type(v) is list else v for k, v in facts.items()}
    for line in table([(f"{key}:", str(value)) for key, value in shown.items()]):
        click.echo(line)


def _show_bill(bill: Bill, *, as_json: bool) -> None:
    total = amount_text(bill.amount)
    if as_json:
        for line in bill.lines:
            facts = line._asdict() | {"amount": amount_text(line.amount)}
            click.echo(msgspec.json.encode(facts | {"currency": bill.currency}))
        sum_ = {"element": "sum", "amount": total, "currency": bill.currency}
        click.echo(msgspec.json.encode(sum_))
        return
    rows = [
        (
            line.period,
            line.element,
            "-" if line.unit == "fee" else line.tag,
            str(line.quantity),
            line.unit,
            amount_text(line.amount),
        )
        for line in bill.lines
    ]
    for text in table([_COLUMNS, *rows, ("", "sum", "", "", bill.currency, total)]):
        click.echo(text)
    for event in bill.events:
        about = f"{event.percent} % of {event.allowance!r} used, {event.kind}"
        done = f": {event.action}" if event.kind == "exhausted" else ""
        click.echo(
            f"{moment(event.at)}  quota {event.quota!r}: {about}{done}", err=True
        )


def amount_text(micro: int) -> str:
    """Write micro-units as an amount of the currency, to the micro-unit."""
    return f"{Decimal(micro) / MICRO:.6f}"
