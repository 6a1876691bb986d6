"""``fairlane credential``: a password in the form that a service stores it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from daemon.commands.options import configuration_option, fail, load_or_exit
from services.credentials import NONCE_OCTETS, hash_password, seal_password
from storage.keys import KeyFileError, load_keys

_PASSWORD = click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Asked for, unless given.",
)


@click.group()
def command() -> None:
    """Hash or seal a password, for password_hash or password_sealed of a service."""


@command.command("hash")
@_PASSWORD
def hash_(password: str) -> None:
    """Hash a password (argon2id): good for PAP, and for nobody to read."""
    click.echo(hash_password(password))


@command.command("seal")
@configuration_option
@click.argument("isp")
@click.argument("service")
@_PASSWORD
def seal(configuration: Path | None, isp: str, service: str, password: str) -> None:
    """Seal the password of ISP's SERVICE with the site's key: good for CHAP too."""
    try:
        keys = load_keys(load_or_exit(configuration).settings)
    except KeyFileError as error:
        fail(str(error))
    nonce = os.urandom(NONCE_OCTETS)
    click.echo(
        seal_password(
            keys.credentials, isp=isp, service=service, password=password, nonce=nonce
        )
    )
