"""What every table of the network file has in common: strict keys, no secret shown.

A row is a value. Its body, as built-in values, is what the change feed carries, what
REST edits and what the network file says, all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Body = dict[str, Any]
"""One object as built-in values; what equals its default is left out."""

_SECRET_KEYS = frozenset(
    {
        "secret",
        "secrets",
        "password",
        "password_hash",
        "password_sealed",
        "radius_secret",
    }
)
_REDACTED = "***"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Kbps = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Row(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One object of the network; its repr never shows a secret."""

    def __repr__(self) -> str:
        body = redacted(msgspec.to_builtins(self))
        inside = ", ".join(f"{key}={value!r}" for key, value in body.items())
        return f"{type(self).__name__}({inside})"


def redacted(body: Mapping[str, Any]) -> Body:
    """Copy a body with its secrets blotted out."""
    return {
        key: _REDACTED if key in _SECRET_KEYS else value for key, value in body.items()
    }
