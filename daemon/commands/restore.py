"""``fairlane restore``: a backup brought back into a place where nothing is."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from config.moment import moment
from daemon import clock, preparation
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)
from daemon.preparation import StartError


@click.command()
@configuration_option
@json_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def command(configuration: Path | None, file: Path, *, as_json: bool) -> None:
    """Bring the backup FILE into the empty database and data directory that the
    configuration names.

    Digests are compared first, and rows are counted at the end. Nothing is ever
    overwritten. What the journals have and the database has not is applied when the
    daemon starts.
    """
    from storage.backup import BackupError, restore

    plan = load_or_exit(configuration)
    begun = clock.monotonic()
    try:
        preparation.make_data_directory(plan.data_dir)
        with preparation.locked(plan.data_dir):
            manifest = restore(file, plan.settings.database, plan.data_dir)
    except (StartError, BackupError) as error:
        fail(f"nothing was restored: {error}")
    seconds = clock.monotonic() - begun
    if as_json:
        facts = {"seconds": round(seconds, 3), **msgspec.to_builtins(manifest)}
        click.echo(msgspec.json.encode(facts))
        return
    rows = sum(manifest.rows.values())
    click.echo(
        f"restored in {seconds:.1f} s: {rows:,} rows at schema {manifest.revision}, "
        f"as of {moment(manifest.made_at)}\n"
        "prove its ledger with `fairlane ledger verify`, and start it with "
        "`fairlane run`"
    )
