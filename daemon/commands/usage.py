"""``fairlane usage``: what was used, difference by difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.commands.listing import listing_options, show
from storage.usage_queries import list_usage

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


@click.command()
@listing_options
def command(configuration: Path | None, **options: Any) -> None:
    """List usage records, the newest last."""
    show(list_usage, COLUMNS, configuration, options)
