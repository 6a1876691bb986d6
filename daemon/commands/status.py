"""``fairlane status``: what the supervisor says of itself and its roles.

Exit code 0 when the daemon is ready, 1 when it is not or does not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.options import configuration_option, fail, json_option
from daemon.commands.options import load_or_exit as load
from daemon.commands.tables import table
from daemon.control_socket import NotRunning, ask


@click.command()
@configuration_option
@json_option
def command(configuration: Path | None, *, as_json: bool) -> None:
    """Show how the running daemon is."""
    plan = load(configuration)
    try:
        answer = next(ask(plan.data_dir, {"command": "status"}), None)
    except NotRunning as error:
        fail(str(error))
    except TimeoutError:
        fail("the daemon does not answer")
    if answer is None:
        fail("the daemon closed the connection")
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        click.echo(_text(answer))
    raise SystemExit(0 if answer["ready"] else 1)


def _text(answer: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in answer["versions"].items())
    facts = [
        ["ready" if answer["ready"] else "NOT READY", f"process {answer['pid']}"],
        ["up", f"{answer['uptime_seconds']:.0f} s"],
        ["configuration", answer["configuration"] or "(defaults)"],
        ["digest", answer["digest"]],
        ["last reload", answer["last_reload"] or "none"],
        ["listening", ", ".join(answer["listening"])],
        ["versions", versions],
    ]
    columns = ["role", "pid", "state", "healthy", "restarts", "up s", "detail"]
    rows = []
    for role in answer["roles"]:
        detail = dict(role["detail"])
        mediation = detail.pop("mediation", None)
        healthy = "yes" if role["healthy"] else "NO"
        up = f"{role['uptime_seconds']:.0f}"
        row = [role["role"], str(role["pid"]), role["state"], healthy]
        rows.append([*row, str(role["restarts"]), up, _words(detail)])
        if mediation is not None:  # a process too, which the ledger keeps
            pid, state = str(mediation.pop("pid")), mediation.pop("state")
            rows.append(["  mediation", pid, state, "", "", "", _words(mediation)])
    return "\n".join([*table(facts), "", *table([columns, *rows])])


def _words(detail: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in detail.items())
