"""``fairlane loans``: blocks of addresses that one ISP has from another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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
    json_option,
    load_or_exit,
)
from daemon.commands.stored import note_unknown
from ipserver.over_allocation_command import Action
from services import overallocation
from storage.over_allocation_queries import LOAN_COLUMNS


@click.group()
def command() -> None:
    """Lent addresses: list, recall, return, extend, convert."""


@command.command("list")
@configuration_option
@click.option("--isp", help="Only loans that this ISP is a party of.")
@click.option("--open", "open_only", is_flag=True, help="Only what is not back yet.")
@click.option("--limit", type=NUMBER, help="Only the newest.")
@json_option
def list_(
    configuration: Path | None, isp: str | None, as_json: bool, **options: Any
) -> None:
    """List loans, the newest last."""
    plan, tenant = load_or_exit(configuration), tenant_of(isp)
    rows = read(plan, lambda c: overallocation.loans(c, tenant=tenant, **options))
    show_rows(rows, LOAN_COLUMNS, as_json=as_json)
    if not rows:
        read(plan, lambda c: note_unknown(c, isp=isp))


def _steering(action: Action, text: str) -> Callable[..., None]:
    def steer(configuration: Path | None, number: int, **options: Any) -> None:
        plan = load_or_exit(configuration)
        send = overallocation.steer_loan
        carry_out(plan, options, send, loan=number, action=action)

    steer.__doc__ = text
    return steer


for _action, _text in (
    (Action.RECALL, "Call loan NUMBER back, for its lender."),
    (Action.RETURN, "Give loan NUMBER back, for its borrower."),
    (Action.EXTEND, "Let loan NUMBER go on for another term, for its lender."),
    (Action.CONVERT, "Make the borrower of loan NUMBER the owner, for good."),
):
    _number = click.argument("number", type=NUMBER)
    command.command(_action.value)(acting_options(_number(_steering(_action, _text))))
