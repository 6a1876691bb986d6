"""How the demo tells its story: sentences, tables, checks, and the commands it asks.

A command is run as everybody runs it, and its own facts are shown; none is written by
hand.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from daemon import cli, clock
from daemon.commands.tables import table
from daemon.preparation import Plan

Rows = list[dict[str, Any]]
Found = TypeVar("Found")

_POLL_SECONDS = 0.1
_WAIT_SECONDS = 20.0


class StoryError(Exception):
    """A step did not go as it should; the message says which and how."""


def say(*lines: str) -> None:
    """Print lines at once, whoever reads them."""
    for line in lines:
        click.echo(line)
    sys.stdout.flush()


def show(rows: Rows, columns: Sequence[str], margin: str = "   ") -> None:
    """Print some columns of rows, aligned."""
    cells = [
        ["-" if row[c] in (None, "") else str(row[c]) for c in columns] for row in rows
    ]
    say(*(margin + line for line in table([list(columns), *cells])))


def expect(what: str, is_so: object, should_be: object) -> None:
    """End the story where a fact is not as it should be."""
    if is_so != should_be:
        raise StoryError(f"{what} is {is_so} and should be {should_be}")


def wait_for(
    what: str, look: Callable[[], Found | None], seconds: float = _WAIT_SECONDS
) -> Found:
    """Look until there is something to see, and give it: the ledger needs a moment."""
    deadline = clock.monotonic() + seconds
    pause = threading.Event()
    while not (found := look()):
        if clock.monotonic() > deadline:
            raise StoryError(f"after {seconds:.0f} s there is still no {what}")
        pause.wait(_POLL_SECONDS)
    return found


def fairlane(plan: Plan, *words: str) -> Rows:
    """Run a command of ``fairlane`` with ``--json``; give the objects it prints."""
    return [msgspec.json.decode(line) for line in run(plan, *words, "--json")]


def run(plan: Plan, *words: str) -> list[str]:
    """Run a command of ``fairlane``; give the lines it prints."""
    arguments = list(words)
    if plan.file is not None:
        arguments += ["-c", str(plan.file)]
    # Commands print octets as well as text.
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
    problems = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(problems),
    ):
        try:
            cli.main(arguments, prog_name="fairlane", standalone_mode=False)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    printed.seek(0)
    lines = printed.read().splitlines()
    if code:
        said = " ".join([*problems.getvalue().splitlines(), *lines])
        raise StoryError(f"fairlane {' '.join(words)}: {said}")
    return lines
