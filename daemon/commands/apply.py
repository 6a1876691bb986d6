"""``fairlane apply``: the network in the database, made what a file says.

The running daemon takes the changes up within a second.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from config.loader import ConfigurationError, load_network
from config.network import Change
from config.row import redacted
from daemon import preparation
from daemon.commands.options import (
    configuration_option,
    exit_with_problems,
    fail,
    json_option,
    load_or_exit,
)
from daemon.preparation import StartError
from daemon.stores import StoreError, apply_network, plan_network, prepare_database


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@configuration_option
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@json_option
def command(
    file: Path | None, configuration: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Make the network what FILE says; without FILE, what the configuration names.

    Prints the difference, secrets blotted out. Doing it again changes nothing.
    """
    plan = load_or_exit(configuration)
    if file is not None:
        try:
            plan = plan.with_network(load_network(file))
        except ConfigurationError as error:
            exit_with_problems(error)
    if plan.network is None:
        raise click.UsageError("no FILE, and the configuration names no network")
    try:
        if dry_run:
            changes = plan_network(plan)
        else:
            preparation.make_data_directory(plan.data_dir)
            prepare_database(plan)
            changes = apply_network(plan)
    except (StartError, StoreError) as error:
        fail(str(error))
    for change in changes:
        click.echo(_json(change) if as_json else str(change))
    if not as_json:
        verb = "would change" if dry_run else "changed"
        click.echo(f"{len(changes)} {verb}" if changes else "nothing to change")


def _json(change: Change) -> bytes:
    return msgspec.json.encode(
        {
            "action": change.action,
            "kind": change.kind,
            "name": change.name,
            "before": redacted(change.before) if change.before else None,
            "after": redacted(change.after) if change.after else None,
        }
    )
