"""How each vendor's NAS is told what a subscriber gets: one table, row by row.

A profile says which attributes carry a rate, a pool and an IPv6 pool, and how a session
is named in CoA and Disconnect requests. Everything else (addresses, prefixes, timeouts,
Class) is the same for all, because the RFCs have it. Rates are kbit/s; ``up`` is from
the subscriber, which a NAS calls input.

Each rate attribute is the vendor's own documented one. Where a vendor can only be told
the name of a policy (Redback), the policy has to be on the NAS under the name given
here; where a rate acts on an object of the NAS (Nokia's queue 1, Cisco's
class-default), so has that object.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from config.plant import Profile
from radius.packet import attribute


class Rates(NamedTuple):
    """Rates in kbit/s."""

    up: int
    down: int


def vendor_attribute(vendor: int, kind: int, value: bytes) -> bytes:
    """Encode a vendor's attribute of 1 to 247 octets (RFC 2865 section 5.26)."""
    return attribute(26, struct.pack("!IBB", vendor, kind, len(value) + 2) + value)


def _text(vendor: int, kind: int, form: str) -> Callable[[Rates], bytes]:
    def encode(rates: Rates) -> bytes:
        text = form.format(
            up=rates.up,
            down=rates.down,
            up_bits=rates.up * 1000,
            down_bits=rates.down * 1000,
        )
        return vendor_attribute(vendor, kind, text.encode())

    return encode


def _bits(vendor: int, kind: int, way: str) -> Callable[[Rates], bytes]:
    # 32 bits of bit/s end at 4.29 Gbit/s; a faster service is told the most there is.
    def encode(rates: Rates) -> bytes:
        bits = min(getattr(rates, way) * 1000, 0xFFFFFFFF)
        return vendor_attribute(vendor, kind, struct.pack("!I", bits))

    return encode


def _standard(kind: int) -> Callable[[str], bytes]:
    return lambda name: attribute(kind, name.encode())


def _vendor_name(vendor: int, kind: int) -> Callable[[str], bytes]:
    return lambda name: vendor_attribute(vendor, kind, name.encode())


_FRAMED_POOL = _standard(88)
_FRAMED_IPV6_POOL = _standard(100)
USER_NAME: Final = 1
NAS_ADDRESS: Final = 4
FRAMED_ADDRESS: Final = 8
CALLING_STATION: Final = 31
NAS_IDENTIFIER: Final = 32
ACCT_SESSION_ID: Final = 44
EVENT_TIMESTAMP: Final = 55
NAS_PORT_ID: Final = 87


class VendorProfile(NamedTuple):
    """What differs from vendor to vendor."""

    rates: tuple[Callable[[Rates], bytes], ...]
    pool: Callable[[str], bytes] = _FRAMED_POOL
    ipv6_pool: Callable[[str], bytes] = _FRAMED_IPV6_POOL
    session: tuple[int, ...] = (
        ACCT_SESSION_ID,
        NAS_ADDRESS,
        NAS_IDENTIFIER,
        USER_NAME,
        EVENT_TIMESTAMP,
    )
    """Attributes that name a session in a CoA or Disconnect request (RFC 5176 section
    3); what is not known of it is left out."""
    unnamed: tuple[int, ...] = (FRAMED_ADDRESS, CALLING_STATION)
    """Where it has no User-Name, as IPoE may not: the first of these that is known
    names it too, and no more, since a NAS may refuse what it did not ask for."""


PROFILES: Final[dict[Profile, VendorProfile]] = {
    # WISPr-Bandwidth-Max-Up and -Down, which many take that have none of their own.
    "generic": VendorProfile((_bits(14122, 7, "up"), _bits(14122, 8, "down"))),
    # Cisco-AVPair with ISG's parameterised QoS.
    "cisco": VendorProfile(
        (
            _text(
                9,
                1,
                "ip:qos-policy-in=add-class(sub,(class-default),police({up_bits}))",
            ),
            _text(
                9,
                1,
                "ip:qos-policy-out=add-class(sub,(class-default),shape({down_bits}))",
            ),
        ),
        pool=lambda name: vendor_attribute(9, 1, f"ip:addr-pool={name}".encode()),
    ),
    # ERX-CoS-Shaping-Pmt-Type T02, the shaping rate; ERX-Ingress-Policy-Name.
    "juniper": VendorProfile(
        (_text(4874, 10, "up-{up}k"), _text(4874, 108, "T02 {down}k")),
    ),
    # Mikrotik-Rate-Limit: receive from the subscriber, then transmit. It does not take
    # a NAS-IP-Address that is not its own, and wants two of the rest.
    "mikrotik": VendorProfile(
        (_text(14988, 8, "{up}k/{down}k"),),
        session=(ACCT_SESSION_ID, USER_NAME, FRAMED_ADDRESS),
    ),
    # Alc-Subscriber-QoS-Override: ingress queue 1, and the egress aggregate rate.
    "nokia": VendorProfile(
        (_text(6527, 126, "i:q:1:pir={up}"), _text(6527, 126, "e:r:rate={down}")),
    ),
    # Huawei-Input- and -Output-Average-Rate.
    "huawei": VendorProfile((_bits(2011, 2, "up"), _bits(2011, 5, "down"))),
    # RB-Qos-Policy-Policing and -Queuing name policies of the NAS.
    "redback": VendorProfile(
        (_text(2352, 87, "up-{up}k"), _text(2352, 89, "down-{down}k")),
        pool=_vendor_name(2352, 36),
    ),
}
"""Total over ``config.plant.Profile``; a test says so."""


class Grant(NamedTuple):
    """What a session gets, in the words of no vendor; None for what is not said."""

    rates: Rates | None = None
    pool: str | None = None
    framed_ip_address: str | None = None
    framed_ipv6_prefix: str | None = None
    delegated_ipv6_prefix: str | None = None
    session_timeout: int | None = None
    """Seconds."""
    interim_seconds: int | None = None
    filter_id: str | None = None


def grant_attributes(profile: Profile, grant: Grant) -> bytes:
    """Write a grant as the attributes of an Access-Accept or a CoA-Request."""
    vendor = PROFILES[profile]
    parts: list[bytes] = []
    if grant.framed_ip_address is not None:
        address = ipaddress.IPv4Address(grant.framed_ip_address)
        parts.append(attribute(FRAMED_ADDRESS, address.packed))
        parts.append(attribute(9, b"\xff\xff\xff\xff"))
    elif grant.pool is not None:
        parts.append(vendor.pool(grant.pool))
    if grant.framed_ipv6_prefix is not None:
        parts.append(attribute(97, _prefix(grant.framed_ipv6_prefix)))
    if grant.delegated_ipv6_prefix is not None:
        parts.append(attribute(123, _prefix(grant.delegated_ipv6_prefix)))
    if grant.rates is not None:
        parts += [encode(grant.rates) for encode in vendor.rates]
    if grant.filter_id is not None:
        parts.append(attribute(11, grant.filter_id.encode()))
    if grant.session_timeout is not None:
        parts.append(attribute(27, struct.pack("!I", grant.session_timeout)))
    if grant.interim_seconds is not None:
        # RFC 2869 section 5.16: never less than 60.
        seconds = max(60, grant.interim_seconds)
        parts.append(attribute(85, struct.pack("!I", seconds)))
    return b"".join(parts)


def _prefix(text: str) -> bytes:
    """Encode a prefix (RFC 3162 section 2.3): no more octets than its bits need."""
    network = ipaddress.IPv6Network(text)
    octets = -(-network.prefixlen // 8)
    return bytes((0, network.prefixlen)) + network.network_address.packed[:octets]
