"""``fairlane check``: is this configuration right, before a daemon is asked to use it.

It reads the settings and the network that they name, and touches nothing else: no data
directory is made, no database opened, no address bound, so that it can be run beside a
serving daemon or on another machine. Exit codes: 0 good, perhaps with warnings; 78 with
every problem on standard error.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from config.loader import DEFAULT_PATH, ConfigurationError, digest, load
from config.network import KINDS, warnings
from daemon.commands.options import (
    configuration_option,
    exit_with_problems,
    json_option,
)


@click.command("check")
@configuration_option
@json_option
def command(configuration: Path | None, as_json: bool) -> None:
    """Check the configuration and network files, and change nothing.

    Prints the digest of what would be in force: equal digests mean the same
    configuration, however the files are written.
    """
    try:
        settings, network = load(configuration)
    except ConfigurationError as error:
        exit_with_problems(error)
    if configuration is None and DEFAULT_PATH.exists():
        configuration = DEFAULT_PATH
    objects = {kind: len(getattr(network, kind)) for kind in KINDS} if network else {}
    cautions = [str(caution) for caution in warnings(network)] if network else []
    fact = {
        "digest": digest(settings, network),
        "configuration": str(configuration) if configuration else None,
        "data_dir": settings.data_dir,
        "network": settings.network or None,
        "objects": objects,
        "warnings": cautions,
    }
    if as_json:
        click.echo(json.dumps(fact, ensure_ascii=False))
        return
    click.echo(f"configuration: {configuration or 'built-in defaults'}")
    click.echo(f"data_dir:      {settings.data_dir}")
    click.echo(f"network:       {settings.network or 'no file'}")
    counted = ", ".join(f"{count} {kind}" for kind, count in objects.items() if count)
    if counted:
        click.echo(f"objects:       {counted}")
    click.echo(f"sha256:        {fact['digest']}")
    for caution in cautions:
        click.echo(f"warning: {caution}", err=True)
