"""JSON of strangers: read, or refused in one way, whatever is wrong with it."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from controlplane.repeated_key import repeated_key
from provisioning.refusal import Refusal
from provisioning.unstorable import has_nul

Read = TypeVar("Read")

NOT_JSON: Final = Refusal(
    "not_json", "", "the message is not a JSON object, or has U+0000 in it"
)


class UnreadableError(Exception):
    """It is no JSON of the type that is wanted: broken, not UTF-8, too deep, with a
    character that no database keeps, or with a key twice in one object."""

    def __init__(self, refusal: Refusal = NOT_JSON) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def read_json(octets: bytes, wanted: type[Read]) -> Read:
    """Read one message; raises UnreadableError."""
    if has_nul(octets):
        raise UnreadableError
    try:
        twice = repeated_key(octets.decode())
        if twice is not None:
            raise UnreadableError(twice)
        return msgspec.json.decode(octets, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError from error
