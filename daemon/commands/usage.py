"""``fairlane usage``: what was used, piece by piece, and how far its rating is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.listing import listing_options, show
from daemon.commands.stored import database_of
from storage.usage_queries import list_usage
from storage.usage_states import STATES, recycle_rejected

COLUMNS = (
    "nas",
    "acct_session_id",
    "user_name",
    "started_at",
    "ended_at",
    "seconds",
    "input_octets",
    "output_octets",
    "derived",
)
RATING = ("service", "status", "reason")


@click.command()
@listing_options
@click.option("--rating", "with_status", is_flag=True, help="Say how far rating is.")
@click.option(
    "--status",
    type=click.Choice(STATES),
    help="Only usage whose rating is so far, in TMF635's words.",
)
@click.option(
    "--recycle", is_flag=True, help="Have rejected usage rated again; list nothing."
)
def command(configuration: Path | None, *, recycle: bool, **options: Any) -> None:
    """List usage records, the newest last."""
    if recycle:
        if any(v for name, v in options.items() if name != "as_json"):
            raise click.UsageError(
                "--recycle is for all rejected usage: it has no filter"
            )
        with (
            database_of(configuration) as database,
            database.write.begin() as connection,
        ):
            count = recycle_rejected(connection)
        if options["as_json"]:
            click.echo(msgspec.json.encode({"recycled": count}))
        else:
            click.echo(f"{count} usage records will be tried again")
        return
    rating = options["with_status"] or options["status"] is not None
    show(list_usage, COLUMNS + RATING if rating else COLUMNS, configuration, options)
