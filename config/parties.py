"""Who sells over the network: ISPs access, BSPs services."""

from __future__ import annotations

from config.row import Row
from config.values import Name, Text


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""
    contracts: tuple[str, ...] = ()
    """The areas in which it has a contract; empty for every area."""
    approves_identities: bool = False
    """Whether it is asked, by a signed webhook, before a user id is made."""


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name
