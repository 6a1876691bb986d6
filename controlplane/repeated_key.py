"""A key that stands twice in one object of JSON: which of the values is meant?

RFC 8259 section 4 leaves it open, and readers take the last. What orders something or
costs something is not guessed: it is refused, with the name of the key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from provisioning.refusal import Refusal

_SHOWN = 100
"""Characters of the key that are told: it is a stranger's text."""


class _RepeatedError(Exception):
    pass


def repeated_key(text: str) -> Refusal | None:
    """Refuse a text that has a key twice; None for one that has not, or is no JSON.

    Raises RecursionError for one that nests too deeply to be looked through.
    """
    try:
        json.loads(
            text,
            object_pairs_hook=_each_once,
            parse_int=len,
            parse_float=len,
            strict=False,
        )
    except _RepeatedError as error:
        name = str(error)[:_SHOWN]
        reason = f"the key {name!r} stands twice in one object"
        return Refusal("duplicate_key", "", reason)
    except ValueError:
        return None  # who reads it says what is wrong with it
    return None


def _each_once(pairs: Sequence[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _RepeatedError(key)
        seen.add(key)
