"""What a datagram says: one walk over its options, and a reason where it says nothing.

Nothing here raises, whatever the octets: what breaks off keeps what came before, and
what cannot be a DHCPv4 request of a client is a ``Malformed`` with its reason, counted
by who reads it. Each octet is looked at once, so that the work is bounded by the
datagram's size.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from ipserver.dhcp import (
    CHADDR_OCTETS,
    COOKIE,
    HEADER_OCTETS,
    MessageType,
    Option,
)

_PAD: Final = int(Option.PAD)
_END: Final = int(Option.END)
_OVERLOAD: Final = int(Option.OVERLOAD)
_MESSAGE_TYPE: Final = int(Option.MESSAGE_TYPE)
_CLIENT_IDENTIFIER: Final = int(Option.CLIENT_IDENTIFIER)
_SNAME, _FILE, _COOKIE_PLACE = 44, 108, 236

_OPTION_OCTETS: Final = 255

Options = dict[int, bytes]
"""Option code to content; one that is repeated is concatenated (RFC 3396 section 7)."""

REQUESTS: Final = frozenset(
    {
        MessageType.DISCOVER,
        MessageType.REQUEST,
        MessageType.DECLINE,
        MessageType.RELEASE,
        MessageType.INFORM,
        MessageType.LEASEQUERY,
    }
)
"""What clients and relays send; a server's own messages are dropped."""


class Malformed(StrEnum):
    """Why a datagram is no DHCPv4 request."""

    SHORT = "short"
    OP = "op"
    """Not a BOOTREQUEST."""
    COOKIE = "cookie"
    """BOOTP without DHCP (RFC 1534) is not served."""
    HARDWARE_LENGTH = "hardware_length"
    """hlen is more than chaddr holds."""
    HOPS = "hops"
    MESSAGE_TYPE = "message_type"
    """Option 53 is missing, repeated or not one octet."""
    NOT_A_REQUEST = "not_a_request"
    """A message that servers send, or one that nobody knows."""
    NO_IDENTITY = "no_identity"
    """Neither a hardware address nor a client identifier."""
    CLIENT_IDENTIFIER = "client_identifier"
    """Longer than an option is (RFC 2132 section 9.14): no reply could return it."""


class Query(Struct, frozen=True, gc=False):
    """A request as received: its octets, type and options.

    ``truncated`` tells that the options broke off.
    """

    octets: bytes
    type: int
    options: Options
    truncated: bool


def read(octets: bytes, hops_max: int) -> Query | Malformed:
    """Read a datagram; ``hops_max`` is how many relays it may have passed."""
    if len(octets) < HEADER_OCTETS:
        return Malformed.SHORT
    if octets[0] != 1:
        return Malformed.OP
    if octets[_COOKIE_PLACE:HEADER_OCTETS] != COOKIE:
        return Malformed.COOKIE
    if octets[2] > CHADDR_OCTETS:
        return Malformed.HARDWARE_LENGTH
    if octets[3] > hops_max:
        return Malformed.HOPS
    options: Options = {}
    truncated = _walk(octets, HEADER_OCTETS, len(octets), options)
    if _OVERLOAD in options:
        truncated |= _overloaded(octets, options)
    kind = options.get(_MESSAGE_TYPE, b"")
    if len(kind) != 1:
        return Malformed.MESSAGE_TYPE
    if kind[0] not in REQUESTS:
        return Malformed.NOT_A_REQUEST
    # A LEASEQUERY by address names nobody (RFC 4388 section 6.3).
    named = octets[2] or _CLIENT_IDENTIFIER in options
    if not named and kind[0] != MessageType.LEASEQUERY:
        return Malformed.NO_IDENTITY
    if len(options.get(_CLIENT_IDENTIFIER, b"")) > _OPTION_OCTETS:
        return Malformed.CLIENT_IDENTIFIER
    return Query(octets, kind[0], options, truncated)


def _walk(octets: bytes, place: int, end: int, options: Options) -> bool:
    """Add the options of one field; tell whether the last one breaks off.

    A missing END and options without content are taken as they are.
    """
    while place < end:
        code = octets[place]
        if code == _END:
            return False
        place += 1
        if code == _PAD:
            continue
        if place == end:
            return True
        start = place + 1
        place = start + octets[place]
        if place > end:
            return True
        if code in options:
            options[code] += octets[start:place]
        else:
            options[code] = octets[start:place]
    return False


def _overloaded(octets: bytes, options: Options) -> bool:
    """Read file, then sname, as option 52 says (RFC 2131 section 4.1).

    It is looked at once: one that stands in these fields means nothing.
    """
    overload = options[_OVERLOAD]
    fields = overload[0] if len(overload) == 1 and overload[0] <= 3 else 0
    truncated = False
    if fields & 1:
        truncated |= _walk(octets, _FILE, _COOKIE_PLACE, options)
    if fields & 2:
        truncated |= _walk(octets, _SNAME, _FILE, options)
    return truncated
