"""JSON of strangers: read, or refused in one way, whatever is wrong with it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from provisioning.unstorable import has_nul

Read = TypeVar("Read")


class UnreadableError(Exception):
    """It is no JSON of the type that is wanted: broken, not UTF-8, too deep, or with a
    character that no database keeps."""


def read_json(octets: bytes, wanted: type[Read]) -> Read:
    """Read one message; raises UnreadableError."""
    if has_nul(octets):
        raise UnreadableError
    try:
        return msgspec.json.decode(octets, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError from error
