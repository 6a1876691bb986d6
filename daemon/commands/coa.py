"""``fairlane coa``: changing and ending sessions that run, and what came of it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click
import msgspec

from daemon import clock
from daemon.commands.listing import TABLE_ROWS, print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.stores import StoreError, opened
from services.coa import (
    NETWORK_TENANT,
    UnknownServiceError,
    list_commands,
    request_coa,
    request_disconnect,
)
from storage.keys import KeyFileError, load_keys

COLUMNS = (
    "id",
    "kind",
    "state",
    "service",
    "nas",
    "acct_session_id",
    "attempts",
    "error_cause",
    "requested_by",
    "reason",
)


@click.group()
def command() -> None:
    """Change or end sessions that run (RFC 5176), and see what came of it."""


@command.command("list")
@configuration_option
@click.option("--service", help="Only of this service.")
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def list_(
    configuration: Path | None, service: str | None, limit: int | None, as_json: bool
) -> None:
    """List commands, the newest first."""
    most = limit or (1 << 62 if as_json else TABLE_ROWS)
    plan = load_or_exit(configuration)
    try:
        with opened(plan) as database, database.read.connect() as connection:
            rows = (
                row._asdict()
                for row in list_commands(
                    connection, tenant=NETWORK_TENANT, service=service, limit=most
                )
            )
            if not as_json:
                print_table(rows, COLUMNS)
                return
            for row in rows:
                click.echo(msgspec.json.encode(row))
    except StoreError as error:
        fail(str(error))


@command.command("send")
@configuration_option
@click.argument("service")
@click.option("--disconnect", is_flag=True, help="End the sessions.")
@click.option("--up-kbps", type=click.IntRange(1), help="Rate from the subscriber.")
@click.option("--down-kbps", type=click.IntRange(1), help="Rate to the subscriber.")
@click.option(
    "--fallback/--no-fallback",
    default=True,
    help="Whether a session that cannot be changed is ended.",
)
@json_option
def send(
    configuration: Path | None,
    service: str,
    disconnect: bool,
    up_kbps: int | None,
    down_kbps: int | None,
    fallback: bool,
    as_json: bool,
) -> None:
    """Bring the sessions of SERVICE to what it is entitled to, or end them.

    The running daemon sends what is queued here; `fairlane coa list` shows its state.
    """
    if (up_kbps is None) != (down_kbps is None):
        raise click.UsageError("give both --up-kbps and --down-kbps, or neither")
    if disconnect and up_kbps is not None:
        raise click.UsageError("--disconnect changes no rates")
    plan = load_or_exit(configuration)
    common: dict[str, Any] = {
        "tenant": NETWORK_TENANT,
        "service": service,
        "requested_by": getpass.getuser(),
        "now": int(clock.now()),
    }
    try:
        common["class_key"] = load_keys(plan.settings).class_tokens
        with opened(plan) as database, database.write.begin() as connection:
            if disconnect:
                numbers = request_disconnect(connection, **common)
            else:
                rates = None
                if up_kbps is not None and down_kbps is not None:
                    rates = up_kbps, down_kbps
                numbers = request_coa(
                    connection, rates=rates, falls_back=fallback, **common
                )
    except UnknownServiceError:
        fail(f"there is no service {service!r}")
    except (StoreError, KeyFileError) as error:
        fail(str(error))
    if as_json:
        click.echo(msgspec.json.encode({"service": service, "commands": numbers}))
    elif numbers:
        click.echo(f"queued: {', '.join(map(str, numbers))}")
    else:
        click.echo("no session of this service is online")
