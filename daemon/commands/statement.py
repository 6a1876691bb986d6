"""``fairlane statement``: what each party is told of its money in a month."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from daemon import clock
from daemon.commands.amounts import decimal_of
from daemon.commands.listing import print_table
from daemon.commands.months import Month
from daemon.commands.options import configuration_option, fail, json_option
from daemon.commands.refusals import statement_refused
from daemon.commands.statement_files import (
    FileError,
    StatementLine,
    own_records,
    statement_lines,
)
from daemon.commands.stored import database_of, network_in
from rating.statement import Step, SummaryLine
from services import statements
from services.statements import Recipient, Refusal
from storage.comparison import Comparison
from storage.database import Database
from storage.statements import list_statements

_AMOUNTS = frozenset(name for name in SummaryLine._fields if name.endswith("amount"))
_PROBLEMS = 1000


@click.group()
def command() -> None:
    """Statements: for an ISP, a BSP, or "network", the Network Provider."""


@command.command("list")
@configuration_option
@click.option("--recipient", help="Only of this ISP or BSP, or network.")
@click.option("--month", type=Month(), help="Only of this month, such as 2026-11.")
@json_option
def list_command(
    configuration: Path | None,
    recipient: str | None,
    month: str | None,
    *,
    as_json: bool,
) -> None:
    """List statements and their states."""
    with (
        database_of(configuration) as database,
        database.read.connect() as connection,
    ):
        found = list_statements(connection, tenant=recipient, month=month)
        rows = [
            {
                "month": row.month,
                "role": row.role,
                "recipient": row.tenant,
                "state": row.state,
                "lines": row.lines,
                "sha256": row.digest,
                "note": row.note,
            }
            for row in found
        ]
    if as_json:
        for fact in rows:
            click.echo(msgspec.json.encode(fact))
    else:
        columns = ("month", "role", "recipient", "state", "lines", "sha256", "note")
        print_table(iter(rows), columns)
        if not rows and recipient is not None:
            with database_of(configuration) as database:
                _recipient(database, recipient, month or "")


@command.command("open")
@configuration_option
@click.argument("recipient")
@click.argument("month", type=Month())
def open_command(configuration: Path | None, recipient: str, month: str) -> None:
    """Open a statement."""
    with database_of(configuration) as database:
        whose = _recipient(database, recipient, month)
        state = statements.open_statement(database, whose, int(clock.now()))
    if isinstance(state, Refusal):
        fail(statement_refused(state, whose))
    click.echo(state)


@command.command("set")
@configuration_option
@click.argument("recipient")
@click.argument("month", type=Month())
@click.argument("step", type=click.Choice([s.value for s in Step]))
@click.option("--note", help="Why, for whoever reads it later.")
def set_command(
    configuration: Path | None, recipient: str, month: str, step: str, note: str | None
) -> None:
    """Issue a statement of a closed month; dispute, resolve or settle it."""
    with database_of(configuration) as database:
        whose = _recipient(database, recipient, month)
        state = statements.take_step(
            database, whose, Step(step), note, int(clock.now())
        )
        if isinstance(state, Refusal):
            with database.read.connect() as connection:
                before = statements.state_of(connection, whose)
                where = statements.still_open(connection, whose)
            fail(statement_refused(state, whose, Step(step), before, where))
    click.echo(state)


@command.command()
@configuration_option
@click.argument("recipient")
@click.argument("month", type=Month())
@click.option("--csv", "as_csv", is_flag=True, help="All lines as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Summary and lines as JSON.")
def show(
    configuration: Path | None,
    recipient: str,
    month: str,
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show a statement: its summary, or with --csv or --json every line.

    Amounts of lines are in micro-units. An issued statement is shown as it was issued.
    """
    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json")
    with database_of(configuration) as database:
        whose = _recipient(database, recipient, month)
        with database.read.connect() as connection:
            last, layout = statements.as_issued(connection, whose)
            if as_csv:
                for text in statements.csv_of(connection, whose, last, layout):
                    click.echo(text, nl=False)
                return
            summary = statements.summary_of(connection, whose, last)
            if as_json:
                for part in summary:
                    fact = {"object": "summary", **part._asdict()}
                    click.echo(msgspec.json.encode(fact))
                for line in statements.lines_of(connection, whose, last):
                    fact = {"object": "line", **line._asdict()}
                    click.echo(msgspec.json.encode(fact))
                return
    rows = (
        {
            name: decimal_of(value) if name in _AMOUNTS else value
            for name, value in part._asdict().items()
        }
        for part in summary
    )
    print_table(rows, SummaryLine._fields)


@command.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--own",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your own records, CSV or JSON lines: a reference (or one of the records of a"
    " line) and an amount in each.",
)
@click.option("--sha256", help="The digest that the statement was issued with.")
def verify(file: Path, own: Path | None, sha256: str | None) -> None:
    """Check a statement file by itself, and against your own records.

    Each mismatch is a line; exit with 1 when there is any. It needs no configuration
    and no database.
    """
    wrong = 0
    unbalanced: list[int] = []
    try:
        with Comparison() as comparison:
            lines = comparison.add(
                _balanced(statement_lines(file), unbalanced), own=False
            )
            wrong += len(unbalanced)
            if own is not None:
                comparison.add(own_records(own), own=True)
                comparison.add_behind(
                    (record, line.reference)
                    for line in statement_lines(file)
                    for record in line.records
                )
                for mismatch in comparison.mismatches():
                    wrong += 1
                    if wrong <= _PROBLEMS:
                        click.echo(_told(*mismatch))
    except FileError as error:
        fail(str(error))
    if sha256 is not None and _digest(file) != sha256.lower():
        wrong += 1
        click.echo("the file is not what was issued: its SHA-256 differs")
    click.echo(f"{lines} lines, {wrong} mismatches", err=True)
    if wrong:
        fail("the statement does not hold")


def _balanced(
    lines: Iterator[StatementLine], unbalanced: list[int]
) -> Iterator[tuple[str, int]]:
    for line in lines:
        if sum(line.legs):
            unbalanced.append(line.place)
            click.echo(f"line {line.place}: its legs do not sum to zero")
        yield line.reference, line.amount


def _told(reference: str, statement: int | None, own: int | None) -> str:
    if own is None:
        assert statement is not None
        return f"{reference}: {decimal_of(statement)}, not in your records"
    if statement is None:
        return f"{reference}: {decimal_of(own)}, not in the statement"
    return f"{reference}: {decimal_of(statement)}, {decimal_of(own)} in your records"


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _recipient(database: Database, name: str, month: str) -> Recipient:
    with database.read.connect() as connection:
        found = statements.recipient_of(
            network_in(connection), name, month
        ) or statements.former_recipient(connection, name, month)
    if found is None:
        fail(f"no ISP or BSP is called {name!r}")
    return found
