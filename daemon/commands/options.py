"""What several commands share: the configuration they read, and how they say no."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from config.loader import ConfigurationError
from daemon import preparation
from daemon.cli import EXIT_CONFIGURATION, EXIT_FAILED
from daemon.preparation import Plan

Function = TypeVar("Function", bound=Callable[..., object])

# What a column of the database holds; a driver raises an error of its own on more.
NUMBER = click.IntRange(1, 2**63 - 1)


def configuration_option(function: Function) -> Function:
    """Add ``-c FILE`` to a command, as ``configuration``."""
    return click.option(
        "-c",
        "--configuration",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The configuration; /etc/fairlane/fairlane.toml if not given.",
    )(function)


def json_option(function: Function) -> Function:
    """Add ``--json`` to a command, as ``as_json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON object a line."
    )(function)


def load_or_exit(configuration: Path | None) -> Plan:
    """Load the plan; with problems print them all and exit with 78."""
    try:
        return preparation.load(configuration)
    except ConfigurationError as error:
        exit_with_problems(error)


def exit_with_problems(error: ConfigurationError) -> NoReturn:
    """Print every problem to standard error and exit with 78."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    sys.exit(EXIT_CONFIGURATION)


def fail(message: str) -> NoReturn:
    """Print why to standard error and exit with 1."""
    click.echo(f"fairlane: {message}", err=True)
    sys.exit(EXIT_FAILED)
