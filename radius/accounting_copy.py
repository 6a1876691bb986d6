"""Whose accounting a report is, and the copy of it that goes to that ISP.

The Class that we issued says whose, else the realm of the User-Name. A copy has the
report's attributes as they came, so the ISP sees what the NAS said; what is added is
when it was (a copy may leave hours later, RFC 2866 section 5.2) and one Proxy-State.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from radius import class_token
from radius.packet import MAXIMUM_OCTETS, accounting_request, attribute
from radius.proxying import attributes_of

_EVENT_TIMESTAMP = 55
_DELAY = 41


def isp_of_report(
    packet: bytes,
    *,
    class_key: bytes,
    isp_of_service: Mapping[str, str],
    isp_of_realm: Mapping[str, str],
) -> str | None:
    """Name the ISP of an Accounting-Request; realms are in small letters."""
    user = b""
    for kind, whole in attributes_of(packet[20:]):
        if kind == 25:
            token = class_token.read(class_key, whole[2:])
            if token is not None:
                return isp_of_service.get(token.service)
        elif kind == 1:
            user = whole[2:]
    name, at, realm = user.rpartition(b"@")
    if not (name and at):
        return None
    return isp_of_realm.get(realm.decode("utf-8", "replace").casefold())


def copy_of_report(
    packet: bytes,
    *,
    identifier: int,
    received_at: int,
    secret: bytes,
    proxy_state: bytes,
) -> bytes:
    """Make the copy; no octets when it would be longer than a packet.

    ``received_at`` in epoch seconds; less the Acct-Delay-Time it is the time of the
    event, for a NAS that does not say it itself.
    """
    parts, delay, has_time = [], 0, False
    for kind, whole in attributes_of(packet[20:]):
        if kind == 80:
            continue  # it was signed for us, with another secret
        if kind == _DELAY and len(whole) == 6:
            delay = int.from_bytes(whole[2:])
        has_time |= kind == _EVENT_TIMESTAMP
        parts.append(whole)
    if not has_time:
        at = max(0, received_at - delay)
        parts.append(attribute(_EVENT_TIMESTAMP, struct.pack("!I", at)))
    parts.append(attribute(33, proxy_state))
    body = b"".join(parts)
    if 20 + len(body) > MAXIMUM_OCTETS:
        return b""
    return accounting_request(identifier, body, secret)
