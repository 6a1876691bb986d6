"""``fairlane sessions``: who is and was connected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.commands.listing import listing_options, show
from storage.usage_queries import list_sessions

COLUMNS = (
    "nas",
    "acct_session_id",
    "user_name",
    "framed_ip_address",
    "state",
    "started_at",
    "last_seen_at",
    "seconds",
    "input_octets",
    "output_octets",
    "terminate_cause",
)


@click.command()
@listing_options
def command(configuration: Path | None, **options: Any) -> None:
    """List sessions, the newest last."""
    show(list_sessions, COLUMNS, configuration, options)
