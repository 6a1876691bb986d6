"""A request passed on to an ISP's server, and its answer passed back (RFC 2865 2.3).

Attributes are edited as octets and never decoded and encoded again: order, unknown
attributes and broken values stay as they were (RFC 6929 section 5.2). What changes is
what must: the identifier, the authenticator, what the secret hides, the signature, and
one Proxy-State of our own behind all others, taken off again on the way back.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterator

from config.plant import Profile
from radius.asked import HomeAnswer
from radius.packet import (
    MAXIMUM_OCTETS,
    Code,
    Malformed,
    attribute,
    hmac_md5,
    is_response_authentic,
    message_authenticator,
    trim,
    walk,
)
from radius.passwords import (
    hide_password,
    hide_salted,
    reveal_password,
    reveal_salted,
)
from radius.profiles import Grant, grant_attributes

_HEADER = struct.Struct("!BBH16s")
_SIGNATURE = b"\x50\x12" + bytes(16)
_MPPE_KEYS = (16, 17)
_MICROSOFT = 311

_FROM_ISP = frozenset(
    {8, 9, 11, 18, 22, 25, 27, 28, 79, 88, 96, 97, 99, 100, 123, 168, 171}
)
"""What an ISP decides for a subscriber of ours: addresses, pools, prefixes, routes,
filters and times, its message, its Class and EAP. Rates are the Network Provider's."""
_ADDRESSES = frozenset({8, 88})


def attributes_of(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the attributes, whole and in order; their lengths are known to add up."""
    place, end = 0, len(octets)
    while place < end:
        behind = place + octets[place + 1]
        yield octets[place], octets[place:behind]
        place = behind


def forwarded(
    packet: bytes,
    *,
    identifier: int,
    authenticator: bytes,
    secret: bytes,
    home_secret: bytes,
    proxy_state: bytes,
) -> bytes:
    """Make the request for a home server; no octets when it grows too long.

    A CHAP-Password without a CHAP-Challenge was made for the authenticator that goes
    now, so the challenge is added (RFC 2865 section 5.40).
    """
    parts = [_SIGNATURE]
    kinds = set()
    for kind, whole in attributes_of(packet[20:]):
        kinds.add(kind)
        if kind == 80:
            continue
        if kind == 2:
            plain = reveal_password(whole[2:], secret, packet[4:20])
            parts.append(attribute(2, hide_password(plain, home_secret, authenticator)))
        else:
            parts.append(whole)
    if 3 in kinds and 60 not in kinds:
        parts.append(attribute(60, packet[4:20]))
    parts.append(attribute(33, proxy_state))
    body = b"".join(parts)
    length = 20 + len(body)
    if length > MAXIMUM_OCTETS:
        return b""
    unsigned = _HEADER.pack(Code.ACCESS_REQUEST, identifier, length, authenticator)
    signature = hmac_md5(home_secret, unsigned + body)
    return unsigned + body[:2] + signature + body[18:]


def status_server(identifier: int, authenticator: bytes, secret: bytes) -> bytes:
    """Make a Status-Server request (RFC 5997 section 3)."""
    head = _HEADER.pack(Code.STATUS_SERVER, identifier, 38, authenticator)
    signature = hmac_md5(secret, head + _SIGNATURE)
    return head + _SIGNATURE[:2] + signature


def returned(
    datagram: bytes,
    request: bytes,
    *,
    secret: bytes,
    home_secret: bytes,
    authenticator: bytes,
    proxy_state: bytes,
    must_sign: bool,
) -> HomeAnswer | None:
    """Take a home server's answer; None when it is not a good one to this request.

    A Message-Authenticator has to be good, and with ``must_sign`` to be there: an
    answer without one is what CVE-2024-3596 forges. ``secret`` and ``authenticator``
    are those of the NAS, for which hidden values are hidden anew.
    """
    packet = trim(datagram)
    if isinstance(packet, Malformed):
        return None
    notable = walk(packet)
    if isinstance(notable, Malformed) or packet[0] not in (
        Code.ACCESS_ACCEPT,
        Code.ACCESS_REJECT,
        Code.ACCESS_CHALLENGE,
    ):
        return None
    place = notable.message_authenticator
    if not is_response_authentic(packet, request, home_secret):
        return None
    if place:
        signed = message_authenticator(packet, place, home_secret, request[4:20])
        if not hmac.compare_digest(signed, packet[place : place + 16]):
            return None
    elif must_sign:
        return None
    parts, is_ours, salt = [], False, 0
    for kind, whole in attributes_of(packet[20:]):
        if kind == 80:
            continue
        if kind == 33:
            # All but ours are the NAS's own, which its answer gets from its request.
            is_ours |= whole[2:] == proxy_state
            continue
        salt += 1
        parts.append(
            _hidden_again(
                kind, whole, home_secret, request[4:20], secret, authenticator, salt
            )
        )
    return HomeAnswer(packet[0], b"".join(parts)) if is_ours else None


def _hidden_again(
    kind: int,
    whole: bytes,
    home_secret: bytes,
    home_authenticator: bytes,
    secret: bytes,
    authenticator: bytes,
    salt: int,
) -> bytes:
    """Hide a Tunnel-Password or an MPPE key for the NAS; else give it as it is."""
    if kind == 69:
        head = 3
    elif (
        kind == 26
        and int.from_bytes(whole[2:6]) == _MICROSOFT
        and whole[6] in _MPPE_KEYS
        and whole[7] == len(whole) - 6
    ):
        head = 8
    else:
        return whole
    plain = reveal_salted(whole[head:], home_secret, home_authenticator)
    if plain is None:
        return whole
    return whole[:head] + hide_salted(plain, secret, authenticator, salt)


def merged(theirs: bytes, grant: Grant, profile: Profile) -> bytes:
    """Join what an ISP grants with what the Network Provider does.

    The ISP's addresses are in the place of our pool, its times of ours; rates are ours.
    """
    kept, kinds = [], set()
    for kind, whole in attributes_of(theirs):
        microsoft = kind == 26 and int.from_bytes(whole[2:6]) == _MICROSOFT
        if kind in _FROM_ISP or microsoft:
            kept.append(whole)
            kinds.add(kind)
    ours = grant._replace(
        pool=None if kinds & _ADDRESSES else grant.pool,
        framed_ip_address=None if kinds & _ADDRESSES else grant.framed_ip_address,
        framed_ipv6_prefix=None if 97 in kinds else grant.framed_ipv6_prefix,
        delegated_ipv6_prefix=None if 123 in kinds else grant.delegated_ipv6_prefix,
        session_timeout=None if 27 in kinds else grant.session_timeout,
    )
    return b"".join(kept) + grant_attributes(profile, ours)
