"""``fairlane orders``: what was ordered, how far it is, and what is to be done by hand.

It works on the database of a running daemon; the manager there takes up what changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from config.moment import moment
from controlplane.repeated_key import repeated_key
from daemon import clock
from daemon.commands.listing import print_table
from daemon.commands.options import (
    NUMBER,
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.preparation import Plan
from daemon.provisioning import new_id, order_keys
from daemon.stores import StoreError, opened
from provisioning.order import Order
from provisioning.order_states import State
from provisioning.order_view import service_order, task_object
from provisioning.refusal import Refusal
from services import order_steering, orders
from services.actor import NETWORK, Actor
from services.provisioning import Provisioning, Transaction
from storage.keys import KeyFileError
from storage.order_queries import Filter

COLUMNS = ("id", "isp", "external_id", "state", "ordered_at", "services", "problem")
_TASKS = ("number", "item", "kind", "state", "attempts", "due_at", "reason")


def staff(isp: str | None = None) -> Actor:
    """Give the actor that the command line is: the Network Provider's own."""
    return Actor("fairlane", NETWORK, "command_line", isp)


@contextmanager
def transaction_of(plan: Plan) -> Iterator[Transaction]:
    """Begin a transaction of provisioning; what goes wrong is told, with exit 1."""
    try:
        with opened(plan) as database:
            provisioning = Provisioning(database)
            with provisioning.transaction(int(clock.now())) as transaction:
                yield transaction
    except (StoreError, KeyFileError) as error:
        fail(str(error))


@click.group()
def command() -> None:
    """List, show, place, cancel, release and retry orders."""


@command.command("list")
@configuration_option
@click.option("--isp", help="Only of this ISP.")
@click.option("--state", type=click.Choice([s.value for s in State]))
@click.option("--line", help="Only about this line.")
@click.option("--external-id", help="Only what its ISP calls so.")
@click.option("--dead", is_flag=True, help="Only with dead letters.")
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def list_(
    configuration: Path | None,
    *,
    isp: str | None,
    state: str | None,
    line: str | None,
    external_id: str | None,
    dead: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """List orders, the newest first."""
    most = limit or (sys.maxsize if as_json else 100)
    wanted = Filter(isp, state, external_id, line, dead, most)
    with transaction_of(load_or_exit(configuration)) as transaction:
        found = orders.listed(transaction, staff(), wanted)
    if as_json:
        for order in found:
            click.echo(msgspec.json.encode(service_order(order)))
    else:
        print_table((_row(order) for order in found), COLUMNS)


def _row(order: Order) -> dict[str, Any]:
    wanted = [item.wanted for item in order.items.values() if item.wanted]
    problems = [*order.errors, *order.alerts]
    last = problems[-1] if problems else {}
    return {
        "id": order.id,
        "isp": order.tenant,
        "external_id": order.external_id,
        "state": order.state.value,
        "ordered_at": moment(order.ordered_at),
        "services": ", ".join(one.service for one in wanted) or None,
        "problem": last.get("reason") or last.get("message"),
    }


@command.command()
@configuration_option
@click.argument("order_id")
@json_option
def show(configuration: Path | None, order_id: str, *, as_json: bool) -> None:
    """Show one order with its tasks."""
    with transaction_of(load_or_exit(configuration)) as transaction:
        order = orders.find(transaction, staff(), order_id)
    if order is None:
        fail(f"there is no order {order_id!r}")
    tasks = [task_object(task) for task in order.tasks.values()]
    if as_json:
        click.echo(msgspec.json.encode({**service_order(order), "task": tasks}))
        return
    shown = msgspec.json.encode(service_order(order))
    click.echo(msgspec.json.format(shown, indent=2))
    print_table(iter(tasks), _TASKS)


@command.command()
@configuration_option
@click.argument("file", type=click.File("rb"))
@click.option("--isp", required=True, help="On behalf of this ISP.")
@click.option("--hold", is_flag=True, help="Keep it as a draft until it is released.")
@json_option
def place(
    configuration: Path | None, file: Any, *, isp: str, hold: bool, as_json: bool
) -> None:
    """Place the order that FILE holds (TMF641, - for standard input).

    Doing it again with the same externalId gives the same order.
    """
    try:
        text = file.read(orders.BODY_BYTES + 1).decode()
        body, twice = msgspec.json.decode(text), repeated_key(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(f"no JSON: {error}")
    if twice is not None:
        fail(twice.reason)
    plan = load_or_exit(configuration)
    with transaction_of(plan) as transaction:
        placed = orders.place(
            transaction,
            staff(isp),
            body,
            keys=order_keys(plan.settings),
            new_id=new_id,
            held=hold,
        )
    refusals = placed.refusals if isinstance(placed, orders.Placed) else placed
    if isinstance(placed, orders.Placed):
        shown = service_order(placed.order)
        state = f"{shown['id']} {shown['state']}"
        click.echo(msgspec.json.encode(shown) if as_json else state)
    for one in refusals:
        click.echo(f"{one.pointer or '/'}: {one.code}: {one.reason}", err=True)
    if refusals:
        sys.exit(1)


@command.command()
@configuration_option
@click.argument("order_id")
@click.option("--reason", default="", help="Why, for the record.")
def cancel(configuration: Path | None, order_id: str, *, reason: str) -> None:
    """Cancel an order before its point of no return."""
    with transaction_of(load_or_exit(configuration)) as transaction:
        task = order_steering.cancel(
            transaction, staff(), order_id, reason=reason, new_id=new_id
        )
    if task is None:
        fail(f"there is no order {order_id!r}")
    if task["state"] == "terminatedWithError":
        fail(task["message"])
    click.echo(f"cancel {task['state']}")


@command.command()
@configuration_option
@click.argument("order_id")
def retry(configuration: Path | None, order_id: str) -> None:
    """Send the dead letters of an order on their way again."""
    with transaction_of(load_or_exit(configuration)) as transaction:
        count = order_steering.retry(transaction, staff(), order_id)
    if count is None:
        fail(f"there is no order {order_id!r}")
    click.echo(f"{count} sent on")


@command.command()
@configuration_option
@click.argument("order_id")
@click.argument("task", type=click.IntRange(0))
@click.option("--reason", required=True, help="Why, for the record.")
def force(configuration: Path | None, order_id: str, task: int, *, reason: str) -> None:
    """Take the dead letter TASK for done: somebody saw to it by hand."""
    with transaction_of(load_or_exit(configuration)) as transaction:
        made = order_steering.force(transaction, staff(), order_id, task, reason)
    if made is None:
        fail(f"there is no order {order_id!r}")
    if isinstance(made, Refusal):
        fail(made.reason)
    click.echo(f"{made.id} {made.state}")


@command.command()
@configuration_option
@click.argument("order_id")
def release(configuration: Path | None, order_id: str) -> None:
    """Let a held order begin."""
    with transaction_of(load_or_exit(configuration)) as transaction:
        order = order_steering.release(transaction, staff(), order_id)
    if order is None:
        fail(f"there is no held order {order_id!r}")
    click.echo(f"{order.id} {order.state}")
