"""A resume token: the order of a program that may be started anew at any moment.

Client software gets it with its order and keeps it on disk: after a reboot it finds by
it what it has ordered, and nobody else's. All programs of a kind share one credential,
so an order's id and an ``externalId`` would not tell subscribers apart.
"""

from __future__ import annotations

from typing import Final

from provisioning.signed_token import said_by, seal

_LABEL: Final = "resume token"


def issue(order_id: str, key: bytes) -> str:
    """Make the token of an order: the same each time, good as long as it is kept."""
    return seal(_LABEL, order_id, key)


def order_of(token: str, key: bytes) -> str | None:
    """Give the id of the order; None for what is no token of ours."""
    return said_by(_LABEL, token, key)
