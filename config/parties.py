"""Who sells over the network: ISPs access, BSPs services."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.row import Count, Row
from config.values import Name, Text

Consent = Literal["never", "ask", "auto"]
"""Whether a party agrees to a loan: not at all, when it says so, or always."""


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""
    lend_policy: Consent = "auto"
    """Whether its pools lend; each pool's ``lending`` is the most they do."""
    lend_floor: Count = 0
    """Addresses that each of its pools keeps free when it lends."""
    lend_price: Annotated[str, Meta(max_length=128)] = ""
    """What borrowers pay, in words that settlement understands; kept with each loan."""
    never_lend_to: tuple[str, ...] = ()
    """ISPs that get none of its addresses."""
    borrow_policy: Consent = "auto"
    """Whether its pools borrow from other ISPs."""
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Its share when several ask for more than there is."""
    priority: Annotated[int, Meta(ge=0, le=9)] = 0
    """Its class when several ask at once; higher goes first."""
    wholesale: str | None = None
    """The Network Provider's tariff that it pays by."""


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name
