"""``fairlane isp exit``: the subscribers of an ISP moved to another, some a minute.

Each move is a change of ISP with an order of its own (``services.isp_exit``), so the
command may be stopped at any time and called again: it goes on where it was.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import IO

import click
import msgspec

from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.orders import staff, transaction_of
from daemon.preparation import Plan
from daemon.provisioning import new_id, order_keys
from provisioning.refusal import Refusal
from services.isp_exit import Move, Progress, go_on
from storage.keys import KeyFileError

_MINUTE_SECONDS = 60.0
_AT_A_DRY_RUN = 10_000


class _TakenBack(Exception):  # noqa: N818 - an outcome, not an error
    """Ends a transaction that was only tried."""


@click.group()
def command() -> None:
    """Moves of whole ISPs."""


@command.command("exit")
@configuration_option
@click.argument("name")
@click.option("--to", "taker", required=True, help="The ISP that takes over.")
@click.option("--per-minute", type=click.IntRange(1, 10_000), required=True)
@click.option(
    "--offering",
    "offerings",
    multiple=True,
    metavar="OLD=NEW",
    help="What stands for an offering of NAME; one for each.",
)
@click.option(
    "--user-names",
    type=click.File("r", encoding="utf-8-sig"),
    help="CSV of service,user_name: the new names of those that log in.",
)
@click.option("--at-once", type=click.IntRange(1), help="Moves open at a time at most.")
@click.option("--dry-run", is_flag=True, help="Only show what would be moved.")
@json_option
def exit_(
    configuration: Path | None,
    name: str,
    *,
    taker: str,
    per_minute: int,
    offerings: tuple[str, ...],
    user_names: IO[str] | None,
    at_once: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Move the subscribers of NAME; goes on until each has an order of his own.

    Exit code 1 when some cannot be moved; the others are, and calling it again takes
    up what is left.
    """
    plan = load_or_exit(configuration)
    pairs = dict(_pair(text) for text in offerings)
    most = at_once or per_minute
    move = Move(name, taker, pairs, most, _names(user_names), per_minute)
    refused: dict[str, Refusal] = {}
    while True:
        progress = _step(plan, move, dry_run=dry_run)
        refused = dict(progress.refused)
        told = progress._asdict() | {
            "refused": {name: no._asdict() for name, no in refused.items()}
        }
        click.echo(msgspec.json.encode(told) if as_json else _line(progress, dry_run))
        waiting = progress.left - progress.open - len(progress.placed) - len(refused)
        if dry_run or waiting <= 0:
            break
        time.sleep(_MINUTE_SECONDS)
    for service, no in refused.items():
        click.echo(f"{service}: {no.code}: {no.reason}", err=True)
    sys.exit(1 if refused else 0)


def _step(plan: Plan, move: Move, *, dry_run: bool) -> Progress:
    """Place what this minute has room for; a dry run places all and takes it back."""
    if dry_run:
        move = move._replace(at_once=_AT_A_DRY_RUN, per_minute=_AT_A_DRY_RUN)
    try:
        keys = order_keys(plan.settings)
    except KeyFileError as error:
        fail(str(error))
    try:
        with transaction_of(plan) as transaction:
            made = go_on(transaction, staff(), move, keys=keys, new_id=new_id)
            if dry_run:
                raise _TakenBack
    except _TakenBack:
        pass  # nothing of it was written
    if isinstance(made, list):
        fail("\n".join(f"{one.pointer}: {one.code}: {one.reason}" for one in made))
    return made


def _line(progress: Progress, dry_run: bool) -> str:
    verb = "would be placed" if dry_run else "placed"
    return (
        f"{progress.left} left, {progress.open} under way, "
        f"{len(progress.placed)} {verb}, {len(progress.refused)} refused"
    )


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise click.BadParameter(f"{text!r} is not OLD=NEW", param_hint="--offering")
    return old, new


def _names(file: IO[str] | None) -> dict[str, str]:
    if file is None:
        return {}
    found = {}
    for row in csv.reader(file):
        if len(row) != 2:
            raise click.BadParameter(
                f"{row!r} is not service,user_name", param_hint="--user-names"
            )
        found[row[0]] = row[1]
    return found
