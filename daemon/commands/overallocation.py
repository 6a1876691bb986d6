"""``fairlane overallocation``: requests for more addresses than a pool has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.asking import (
    acting_options,
    carry_out,
    read,
    show_rows,
    tenant_of,
)
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.stored import note_unknown
from ipserver.over_allocation_command import Action
from ipserver.over_allocation_request import RequestState
from services import overallocation
from storage.over_allocation_queries import REQUEST_COLUMNS


@click.group()
def command() -> None:
    """Over-allocation requests: list, show, raise, approve, deny."""


@command.command("list")
@configuration_option
@click.option("--isp", help="Only what concerns this ISP.")
@click.option("--pool", help="Only of this pool.")
@click.option(
    "--state", type=click.Choice([one.value for one in RequestState]), help="Only such."
)
@click.option("--open", "open_only", is_flag=True, help="Only what has no answer yet.")
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def list_(
    configuration: Path | None, isp: str | None, as_json: bool, **options: Any
) -> None:
    """List requests, the newest last."""
    plan, tenant = load_or_exit(configuration), tenant_of(isp)
    rows = read(plan, lambda c: overallocation.requests(c, tenant=tenant, **options))
    show_rows(rows, REQUEST_COLUMNS, as_json=as_json)
    if not rows:
        read(plan, lambda c: note_unknown(c, isp=isp, pool=options["pool"]))


@command.command()
@configuration_option
@click.argument("number", type=NUMBER)
@click.option("--isp", help="As this ISP sees it.")
@json_option
def show(
    configuration: Path | None, number: int, isp: str | None, as_json: bool
) -> None:
    """Show a request, who said what, and each decision with its inputs."""
    plan, tenant = load_or_exit(configuration), tenant_of(isp)
    found = read(
        plan, lambda c: overallocation.request(c, tenant=tenant, number=number)
    )
    if found is None:
        fail(f"there is no request {number}")
    encoded = msgspec.json.encode(found)
    click.echo(encoded if as_json else msgspec.json.format(encoded))


@command.command("raise")
@acting_options
@click.argument("pool")
@click.option("--size", type=click.IntRange(1), help="Addresses; what is needed else.")
def raise_(
    configuration: Path | None, pool: str, size: int | None, **options: Any
) -> None:
    """Ask for more addresses for POOL."""
    plan = load_or_exit(configuration)
    send = overallocation.raise_request
    carry_out(plan, options, send, pool=pool, size=size or 0)


@command.command()
@acting_options
@click.argument("number", type=NUMBER)
@click.option("--blocks", type=click.IntRange(1), help="Only so many blocks.")
def approve(
    configuration: Path | None, number: int, blocks: int | None, **options: Any
) -> None:
    """Agree to request NUMBER."""
    action = Action.PARTIAL if blocks else Action.APPROVE
    _decide(configuration, number, options, action, blocks or 0)


@command.command()
@acting_options
@click.argument("number", type=NUMBER)
def deny(configuration: Path | None, number: int, **options: Any) -> None:
    """Refuse request NUMBER."""
    _decide(configuration, number, options, Action.DENY)


@command.command()
@acting_options
@click.argument("number", type=NUMBER)
def cancel(configuration: Path | None, number: int, **options: Any) -> None:
    """Withdraw request NUMBER."""
    _decide(configuration, number, options, Action.CANCEL)


def _decide(
    configuration: Path | None,
    number: int,
    options: dict[str, Any],
    action: Action,
    blocks: int = 0,
) -> None:
    plan = load_or_exit(configuration)
    send = overallocation.decide_request
    carry_out(plan, options, send, request=number, action=action, blocks=blocks)
