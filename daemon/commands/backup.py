"""``fairlane backup``: one file with all that a node must not lose, while it works."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from daemon import clock, versions
from daemon.commands.options import (
    configuration_option,
    fail,
    json_option,
    load_or_exit,
)


@click.command()
@configuration_option
@json_option
@click.argument("file", required=False, type=click.Path(path_type=Path))
def command(configuration: Path | None, file: Path | None, *, as_json: bool) -> None:
    """Write a backup to FILE, a new file in this folder if not given.

    It has the database as one moment saw it, the journals, who has which place, and the
    site's own key: keep it as you keep that. The daemon goes on meanwhile. It does not
    have the configuration, the network file and what they name.
    """
    # alembic takes 0.2 s to import, and a wrong configuration is told without it.
    from storage.backup import BackupError, back_up

    plan = load_or_exit(configuration)
    begun, now = clock.monotonic(), clock.now()
    name = datetime.fromtimestamp(now, UTC).strftime("fairlane-%Y%m%dT%H%M%SZ.tar")
    target = (file or Path(name)).absolute()
    try:
        manifest = back_up(
            plan.settings.database,
            plan.data_dir,
            target,
            version=versions.fairlane(),
            made_at=int(now),
        )
    except BackupError as error:
        fail(f"no backup was made: {error}")
    size = target.stat().st_size
    seconds = clock.monotonic() - begun
    if as_json:
        facts = {"file": str(target), "octets": size, "seconds": round(seconds, 3)}
        click.echo(msgspec.json.encode(facts | msgspec.to_builtins(manifest)))
        return
    rows = sum(manifest.rows.values())
    click.echo(
        f"{target}: {size / (1 << 20):,.1f} MiB in {seconds:.1f} s, {rows:,} rows at "
        f"schema {manifest.revision}, {len(manifest.members)} files\n"
        f"bring it back with: fairlane restore {target}"
    )
