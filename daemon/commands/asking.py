"""What the commands about addresses share: a question to the running role, and a
command put into its inbox and waited for.
"""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from sqlalchemy import Connection

from daemon import clock
from daemon.commands.options import configuration_option, fail, json_option
from daemon.commands.tables import table
from daemon.control_socket import NotRunning, ask
from daemon.preparation import Plan
from daemon.stores import StoreError, opened
from ipserver.decision import NETWORK
from ipserver.over_allocation_command import Result
from services.overallocation import CommandRefusedError, Sent, outcome
from storage.database import Database
from storage.network import has_object

Function = TypeVar("Function", bound=Callable[..., object])
Answer = TypeVar("Answer")

_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def acting_options(function: Function) -> Function:
    """Add for whom a command is, a reason and a key, ``--json`` and ``-c``.

    Who may read the database may act for anybody: what is done for an ISP is recorded
    with the name of who did it.
    """
    options = [
        configuration_option,
        click.option("--isp", help="Act for this ISP, not for the Network Provider."),
        click.option("--reason", default="", help="Why; kept with the command."),
        click.option("--key", help="Once only: the same key changes nothing again."),
        json_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def ask_role(plan: Plan, **question: Any) -> dict[str, Any] | None:
    """Ask the address server; None when it does not run, so that others can answer."""
    request = {"command": "ask", "role": "ipserver", "question": question}
    try:
        return next(ask(plan.data_dir, request), None)
    except (NotRunning, TimeoutError):
        return None


def tenant_of(isp: str | None) -> str:
    """Say for whom a command is: for an ISP where one is named, be it by no letter (the
    variable of a script may be empty), which is then nobody's name."""
    return NETWORK if isp is None else isp


def read(plan: Plan, query: Callable[[Connection], Answer]) -> Answer:
    """Ask the database; a message and exit 1 when it does not answer."""
    try:
        with opened(plan) as database, database.read.connect() as connection:
            return query(connection)
    except StoreError as error:
        fail(str(error))


def carry_out(
    plan: Plan, options: dict[str, Any], send: Callable[..., Sent], **values: Any
) -> None:
    """Put a command into the inbox, wait for what comes of it, and print that."""
    isp, key = options["isp"], options["key"]
    tenant = tenant_of(isp)
    try:
        with opened(plan) as database:
            with database.write.begin() as connection:
                if isp is not None and not has_object(connection, "isp", tenant):
                    fail(f"the network has no isp called {tenant!r} to act for")
                sent = send(
                    connection,
                    tenant=tenant,
                    actor=f"{getpass.getuser()} (command line)",
                    client_key=secrets.token_hex(16) if key is None else key,
                    reason=options["reason"],
                    now=int(clock.now()),
                    **values,
                )
            if sent.result is None and ask_role(plan, about="pools") is not None:
                sent = _result(database, tenant, sent)
    except CommandRefusedError as error:
        fail(str(error))
    except StoreError as error:
        fail(str(error))
    if options["as_json"]:
        click.echo(msgspec.json.encode(sent._asdict()))
    elif sent.result is None:
        kept = f"command {sent.number} waits for the address server"
        click.echo(f"{kept}, which carries it out when it runs", err=True)
    elif sent.result == Result.DONE:
        click.echo(f"{sent.result}: {sent.message}")
    else:
        fail(f"{sent.message} ({sent.result})")
    raise SystemExit(0 if sent.result == Result.DONE else 1)


def _result(database: Database, tenant: str, sent: Sent) -> Sent:
    """Look until it was applied and the ledger has written so."""

    def look(connection: Connection) -> Sent:
        found = outcome(connection, tenant=tenant, number=sent.number)
        assert found is not None
        return found

    return look_until(database, look, lambda found: found.result is not None)


def look_until(
    database: Database,
    look: Callable[[Connection], Answer],
    is_done: Callable[[Answer], bool],
) -> Answer:
    """Look at the database until what is found is done, for ten seconds at the most."""
    until = clock.monotonic() + _WAIT_SECONDS
    while True:
        with database.read.connect() as connection:
            found = look(connection)
        if is_done(found) or clock.monotonic() > until:
            return found
        time.sleep(_LOOK_SECONDS)


def show_rows(
    rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool
) -> None:
    """Print rows: as JSON, or as a table of some columns."""
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
        return
    cells = [
        ["-" if row[c] in (None, "") else str(row[c]) for c in columns] for row in rows
    ]
    for line in table([list(columns), *cells]):
        click.echo(line)
