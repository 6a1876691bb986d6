"""``fairlane migrate``: the database's tables, brought to this version."""

from __future__ import annotations

from pathlib import Path

import click

from daemon import preparation
from daemon.commands.options import configuration_option, fail, load_or_exit
from daemon.preparation import StartError
from daemon.stores import StoreError, prepare_database


@click.command()
@configuration_option
def command(configuration: Path | None) -> None:
    """Bring the database to this version; ``run`` does so too."""
    plan = load_or_exit(configuration)
    try:
        preparation.make_data_directory(plan.data_dir)
        prepare_database(plan)
    except (StartError, StoreError) as error:
        fail(str(error))
    click.echo("the database is current")
