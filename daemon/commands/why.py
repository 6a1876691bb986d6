"""``fairlane why``: the trace of the last decision on a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from config.moment import moment
from daemon.commands.asking import ask_role
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.pools import COLUMNS, for_people
from daemon.commands.tables import table

_LINE_MAX: Final = 4096
"""Behind a relay, three characters for each octet of several ids."""
_TIMES: Final = frozenset(
    {"at", "until", "seen_at", "grace_until", "term_ends_at", "denied_until"}
)


@click.command()
@configuration_option
@click.argument("line")
@json_option
def command(configuration: Path | None, line: str, as_json: bool) -> None:
    """Explain the last decision on LINE: its name, or as `fairlane leases` shows it."""
    if len(line) > _LINE_MAX:
        raise click.BadParameter(f"a line has at most {_LINE_MAX} characters")
    plan = load_or_exit(configuration)
    answer = ask_role(plan, about="why", line=line)
    if answer is None:
        fail("the address server does not run: it alone remembers decisions")
    if "error" in answer:
        fail(answer["error"])
    if as_json:
        click.echo(msgspec.json.encode(written(answer)))
        return
    for row in table(facts(answer)):
        click.echo(row)
    if answer["pools"]:
        rows = [
            ["-" if pool[c] is None else str(pool[c]) for c in COLUMNS]
            for pool in map(for_people, answer["pools"])
        ]
        click.echo()
        for row in table([list(COLUMNS), *rows]):
            click.echo(row)


def written(told: Any, name: str = "") -> Any:
    """Write the trace's times as all others are; one that there is not yet is null."""
    if isinstance(told, list):
        return [written(each, name) for each in told]
    if isinstance(told, dict):
        # When each pool asks again stands under the pool's name.
        of_pools = name == "denied_until"
        return {k: written(v, name if of_pools else k) for k, v in told.items()}
    return (moment(told) if told else None) if name in _TIMES else told


def facts(answer: dict[str, Any]) -> list[list[str]]:
    """Write the trace for reading: a word, what it is, and something about it."""
    told = [["line", answer["line"]]]
    if policy := answer["policy"]:
        limit = f"{policy['addresses']} at most, then {policy['excess']}"
        told.append(["service", policy["service"] or "none", limit])
    told += [
        ["has", lease["address"], f"{lease['kind']}, {lease['state']}"]
        for lease in answer["leases"]
    ]
    beyond = answer["beyond"]
    if beyond["sold"]:
        told.append(["sold this month", str(beyond["sold"])])
    if beyond["grace_until"]:
        told.append(["grace until", moment(beyond["grace_until"])])
    if answer["answer"] is None:
        told.append(["asked", "nothing since the start of the address server"])
    else:
        told.append(["at", moment(answer["at"])])
        told.append(["asked", answer["asked"], answer["asked_address"] or ""])
        told.append(["answer", answer["answer"], answer["reason"]])
    if answer.get("address"):
        told.append(["address", answer["address"], f"of {answer['pool']}"])
        told.append(["lease", f"{answer['seconds']} s"])
    if loan := answer.get("loan"):
        told.append(["borrowed", f"loan {loan['number']} of {loan['lender']}"])
    for request in answer["requests"]:
        said = f"{request['state']} {request['reason']}".strip()
        told.append([f"request {request['number']}", said, f"of {request['pool']}"])
    for pool, until in answer["denied_until"].items():
        told.append(["asks again", moment(until), f"for {pool}"])
    return told
