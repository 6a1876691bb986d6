"""Who sells over the network: ISPs access, BSPs services."""

from __future__ import annotations

from config.row import Row
from config.values import Name, Text


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""
    wholesale: str | None = None
    """The Network Provider's tariff that it pays by."""


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name
