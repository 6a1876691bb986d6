"""``fairlane qualify``: what a place can have, as the interfaces would answer."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from daemon.commands.listing import print_table
from daemon.commands.options import configuration_option, json_option, load_or_exit
from daemon.commands.orders import staff, transaction_of
from daemon.provisioning import new_id
from provisioning.refusal import Refusal
from services.qualification import Override, Query, qualify

COLUMNS = ("isp", "offering", "result", "color", "install", "addresses", "reasons")


@click.command()
@configuration_option
@click.option("--isp", help="For this ISP; else for every one, in a neutral order.")
@click.option("--address", help="A postal address, as it is written.")
@click.option("--site", help="A site of the inventory.")
@click.option("--line", help="A line of the network.")
@click.option("--source", help="The address that a subscriber has now.")
@click.option("--offering", "offerings", multiple=True, help="Only this; repeatable.")
@click.option("--hold", is_flag=True, help="Hold what a green answer promises.")
@click.option("--override", help="This site, whatever the address says.")
@click.option("--reason", default="", help="Why it is overridden.")
@json_option
def command(
    configuration: Path | None,
    *,
    isp: str | None,
    address: str | None,
    site: str | None,
    line: str | None,
    source: str | None,
    offerings: tuple[str, ...],
    hold: bool,
    override: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Say what a place can have: by address, site, line or connection."""
    query = Query(
        actor=staff(isp),
        isp=isp,
        address=address,
        site=site,
        line=line,
        source=source,
        offerings=offerings,
        hold=hold,
        seed=new_id(),
        override=Override(override, reason) if override else None,
    )
    with transaction_of(load_or_exit(configuration)) as transaction:
        (answer,) = qualify(transaction, [query], new_id=new_id)
    if isinstance(answer, Refusal):
        click.echo(f"{answer.pointer or '/'}: {answer.code}: {answer.reason}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    place = answer.place or ", ".join(one.label for one in answer.reasons)
    click.echo(f"{answer.result} {answer.color}: {place}")
    for candidate in answer.candidates:
        click.echo(f"  {candidate.score:3} {candidate.site}  {candidate.address}")
    rows = (
        {
            "isp": one.isp,
            "offering": one.offering,
            "result": one.result.value,
            "color": one.color.value,
            "install": one.install,
            "addresses": one.addresses.kind if one.addresses else None,
            "reasons": ", ".join(r.code for r in one.reasons) or None,
        }
        for one in answer.answers
    )
    print_table(rows, COLUMNS)
