"""``fairlane trace``: decisions of the running daemon, as they are made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.commands.tables import printable
from daemon.control_socket import NotRunning, ask


@click.command()
@configuration_option
@click.option("--nas", default="", help="Only this NAS, by its name in the network.")
@click.option("--user", default="", help="Only this User-Name.")
@click.option("--limit", type=click.IntRange(1), help="End after so many events.")
@json_option
def command(
    configuration: Path | None,
    nas: str,
    user: str,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """Watch decisions of the running daemon until Ctrl-C."""
    plan = load_or_exit(configuration)
    shown = 0
    try:
        for event in ask(plan.data_dir, {"command": "trace", "nas": nas, "user": user}):
            if "tracing" in event:
                click.echo("tracing, end with Ctrl-C", err=True)
                continue
            if "error" in event:
                fail(str(event["error"]))
            click.echo(msgspec.json.encode(event) if as_json else _text(event))
            shown += "lost_events" not in event
            if limit is not None and shown >= limit:
                return
    except NotRunning as error:
        fail(str(error))
    except KeyboardInterrupt:
        return
    fail("the daemon closed the connection")


def _text(event: dict[str, Any]) -> str:
    if "lost_events" in event:
        return f"... {event['lost_events']} events were too many to show"
    at = datetime.fromtimestamp(event.pop("at"), UTC)
    role, decision = event.pop("role"), event.pop("decision", "")
    attributes = event.pop("attributes", {})
    facts = " ".join(f"{k}={v}" for k, v in event.items() if v not in ("", None))
    lines = [f"{at:%H:%M:%S.%f} {role}: {decision} {facts}".rstrip()]
    lines += [f"    {name} = {value}" for name, value in attributes.items()]
    return "\n".join(printable(line) for line in lines)
