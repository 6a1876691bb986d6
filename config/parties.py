"""Who sells over the network: ISPs access, BSPs services."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.quantities import Currency, Money, Share, Zone
from config.row import Count, Row
from config.values import Listen, Name, Text

Servers = Annotated[tuple[Listen, ...], Meta(max_length=8)]

Consent = Literal["never", "ask", "auto"]
"""Whether a party agrees to a loan: not at all, when it says so, or always."""


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""
    wholesale: str | None = None
    """The Network Provider's tariff that it pays by."""
    contracts: tuple[str, ...] = ()
    """The areas in which it has a contract; empty for every area."""
    approves_identities: bool = False
    """Whether it is asked, by a signed webhook, before a user id is made."""
    open_qualifications: Count = 10_000
    """Green answers that it may have open at once: each holds a port and addresses."""
    authentication_servers: Servers = ()
    """Its own RADIUS servers, host:port, asked in this order about users of its realms
    that have no service here (RFC 2865 section 2.3)."""
    accounting_servers: Servers = ()
    """Servers, host:port, that get a copy of its subscribers' accounting."""
    radius_secret: Text | None = None
    """The secret shared with these servers; a loaded one has it here."""
    radius_secret_file: Annotated[str, Meta(min_length=1)] | None = None
    """A file with that secret in its one line, relative to the network file."""
    message_authenticator: Literal["require", "no"] = "require"
    """Whether its servers' answers must be signed; one that is not patched against
    CVE-2024-3596 does not sign them, and its answers can be forged."""
    when_down: Literal["reject", "silence"] = "reject"
    """What its users get while no authentication server answers; ``silence`` lets the
    NAS turn to another server."""
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


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name
    isps: tuple[str, ...] = ()
    """The ISPs whose subscribers it sells to; all where none is named."""
    sells_to: Literal["everyone", "subscribed"] = "everyone"
    """Which of those: ``subscribed`` is who has an offering with a component of it."""
    currency: Currency = "EUR"
    zone: Zone = "UTC"
    """IANA time zone of the months that its sales are booked in."""
    tax_owed_by: Literal["bsp", "isp"] = "bsp"
    """Who owes the tax on what its customers pay."""
    isp_commission: Share | None = None
    network_fee: Share | None = None
    """Per cent of each price before tax, for the ISP and for the Network Provider."""
    price_minimum: Money = "0"
    price_maximum: Money | None = None
    """Within these it names prices itself; without a maximum it may not."""
    tax_class: Name = "standard"
    """The tax class of what it names the price of."""
    authorisation_hours: Annotated[int, Meta(ge=1, le=8760)] = 168
    """Hours after which an authorisation that was not captured is void."""
