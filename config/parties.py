"""Who sells over the network: ISPs access, BSPs services."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.row import Row
from config.values import Listen, Name, Text

Servers = Annotated[tuple[Listen, ...], Meta(max_length=8)]


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""
    contracts: tuple[str, ...] = ()
    """The areas in which it has a contract; empty for every area."""
    approves_identities: bool = False
    """Whether it is asked, by a signed webhook, before a user id is made."""
    authentication_servers: Servers = ()
    """Its own RADIUS servers, host:port, asked in this order about users of its realms
    that have no service here (RFC 2865 section 2.3)."""
    accounting_servers: Servers = ()
    """Servers, host:port, that get a copy of its subscribers' accounting."""
    radius_secret: Text | None = None
    """The secret shared with these servers."""
    message_authenticator: Literal["require", "no"] = "require"
    """Whether its servers' answers must be signed; one that is not patched against
    CVE-2024-3596 does not sign them, and its answers can be forged."""
    when_down: Literal["reject", "silence"] = "reject"
    """What its users get while no authentication server answers; ``silence`` lets the
    NAS turn to another server."""
    wholesale: str | None = None
    """The Network Provider's tariff that it pays by."""


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name
