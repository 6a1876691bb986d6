"""``fairlane why``: the trace of the last decision on a line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.asking import ask_role
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.pools import COLUMNS
from daemon.commands.tables import table


@click.command()
@configuration_option
@click.argument("line")
@json_option
def command(configuration: Path | None, line: str, as_json: bool) -> None:
    """Explain the last decision on LINE: its name, or as `fairlane leases` shows it."""
    plan = load_or_exit(configuration)
    answer = ask_role(plan, about="why", line=line)
    if answer is None:
        fail("the address server does not run: it alone remembers decisions")
    if "error" in answer:
        fail(answer["error"])
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    for row in table(_facts(answer)):
        click.echo(row)
    if answer["pools"]:
        rows = [
            ["-" if pool[c] is None else str(pool[c]) for c in COLUMNS]
            for pool in answer["pools"]
        ]
        click.echo()
        for row in table([list(COLUMNS), *rows]):
            click.echo(row)


def _facts(answer: dict[str, Any]) -> list[list[str]]:
    facts = [
        ["line", answer["line"]],
        ["at", datetime.fromtimestamp(answer["at"], UTC).isoformat()],
        ["asked", answer["asked"], answer["asked_address"] or ""],
        ["answer", answer["answer"], answer["reason"]],
    ]
    if answer.get("address"):
        facts.append(["address", answer["address"], f"of {answer['pool']}"])
        facts.append(["lease", f"{answer['seconds']} s"])
    if loan := answer.get("loan"):
        facts.append(["borrowed", f"loan {loan['number']} of {loan['lender']}"])
    for request in answer["requests"]:
        said = f"{request['state']} {request['reason']}".strip()
        facts.append([f"request {request['number']}", said, f"of {request['pool']}"])
    for pool, until in answer["denied_until"].items():
        again = datetime.fromtimestamp(until, UTC).isoformat()
        facts.append(["asks again", again, f"for {pool}"])
    return facts
