"""What is wrong with a configuration, in a form that a person can act on.

A loader never stops at the first mistake: it collects findings, each with the place it
is at, and raises them together, so that one edit can mend them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]
"""Where a value is: table names, keys, and positions in arrays counted from 0."""

MAXIMUM_CANDIDATES = 2000
"""Among more names than this a nearest one is not looked for: it takes seconds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in a document, before the file and line are known."""

    path: KeyPath
    message: str
    nearest: str = ""
    stays: bool = False
    """What is in force with it stays so, and only what is new is refused, where it is
    applied: a rule that came later must not keep a network from being changed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake with its place; ``line`` counts from 1, None when it has none."""

    file: str
    line: int | None
    key: str
    message: str
    nearest: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        hint = f" (did you mean {self.nearest!r}?)" if self.nearest else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.message}{hint}"


class ConfigurationError(Exception):
    """A configuration that must not be used; ``problems`` has every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def dotted(path: KeyPath) -> str:
    """Write a path the way a person points at it: ``pool[1].prefixes[0]``."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        else:
            written += f".{part}" if written else part
    return written


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Find the candidate a person probably meant, or an empty string."""
    names = list(candidates)
    if len(names) > MAXIMUM_CANDIDATES:
        return ""
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return found[0] if found else ""


def rows_of(document: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Any]]:
    """Give the rows of a table that are tables, each with its place."""
    rows = document.get(kind)
    if isinstance(rows, list):
        yield from (
            (place, row) for place, row in enumerate(rows) if isinstance(row, Mapping)
        )
