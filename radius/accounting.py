"""What an Accounting-Request reports, read out of its octets (RFC 2866, RFC 2869).

A report has two halves. The changing one (status, time, counters) is read for each
packet. The standing one (who, where, which addresses) is the same in nearly every
packet of a session, so it is only gathered as raw attributes: who has seen those very
octets before need not read them again, and ``describe`` reads them for who has not.

An attribute whose value does not fit its type is left out and the packet kept (RFC 6929
section 2.8). An absent counter is None, which is not zero. A packet that breaks RFC
2866 section 4.1 gives a ``Refused``: it is on record and answered, and counts for
nothing.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any, NamedTuple

_EVENT_PAST_SECONDS = 7 * 86400
"""How old an Event-Timestamp may be: BNGs keep accounting for a day when nobody
answers, and a long week-end is the longest outage an operator planned for."""


class Status(IntEnum):
    """Acct-Status-Type (RFC 2866 section 5.1, RFC 2867)."""

    START = 1
    STOP = 2
    INTERIM_UPDATE = 3
    ACCOUNTING_ON = 7
    ACCOUNTING_OFF = 8


class Refusal(StrEnum):
    """Why a recorded packet counts for nothing; each is a label of a counter."""

    STATUS_TYPE = "status_type"
    SESSION_ID = "session_id"
    NAS_IDENTITY = "nas_identity"
    FORBIDDEN_ATTRIBUTE = "forbidden_attribute"
    NOT_A_SESSION = "not_a_session"


class Report(NamedTuple):
    """One report of a session; times in seconds since 1970, counters as cumulated.

    ``event_at`` is Event-Timestamp when it is sane, else arrival less Acct-Delay-Time
    (RFC 2866 section 5.2), which ``event_reported`` tells apart.
    """

    status: int
    nas: str
    acct_session_id: str
    received_at: int
    event_at: int
    event_reported: bool
    delay_seconds: int
    session_seconds: int | None
    input_octets: int | None
    output_octets: int | None
    input_packets: int | None
    output_packets: int | None
    gigawords: bool
    terminate_cause: int | None
    standing: bytes


class Refused(NamedTuple):
    """A packet that reports no session; what it was, and why."""

    nas: str
    status: int | None
    reason: Refusal


class Description(NamedTuple):
    """The standing half, read: text as the NAS sent it, None where it sent none.

    ``class_`` is every Class attribute whole and in order, each opaque (RFC 2865
    section 5.25).
    """

    nas_identity: str = ""
    user_name: str | None = None
    class_: bytes | None = None
    framed_ip_address: str | None = None
    framed_ipv6_prefixes: str | None = None
    delegated_ipv6_prefixes: str | None = None
    framed_ipv6_addresses: str | None = None
    framed_interface_id: str | None = None
    calling_station_id: str | None = None
    called_station_id: str | None = None
    nas_port_id: str | None = None
    agent_circuit_id: str | None = None
    agent_remote_id: str | None = None
    acct_multi_session_id: str | None = None
    link_count: int | None = None


_GIGAWORDS = 1 << 28
"""2^60 octets: a line of 100 Gbit/s needs three years for as many."""

STATUS_TYPE, SESSION_ID = 40, 44
NUMBERS = (41, 55, 46, 42, 43, 47, 48, 52, 53, 49)
"""Acct-Delay-Time, Event-Timestamp, Acct-Session-Time, octets, packets, Gigawords (in
and out each) and Acct-Terminate-Cause."""
_IDENTITIES = frozenset({4, 32, 95})
STANDING = _IDENTITIES | {1, 5, 8, 25, 26, 30, 31, 50, 51, 87, 96, 97, 123, 168}
"""What is the same in nearly every packet of a session: who, where, which addresses."""

_IGNORE, _NUMBER, _STANDING, _IDENTITY, _SESSION_ID, _FORBIDDEN, _STATUS = range(7)
_KINDS = [_IGNORE] * 256
for _type in NUMBERS:
    _KINDS[_type] = _NUMBER
for _type in STANDING:
    _KINDS[_type] = _IDENTITY if _type in _IDENTITIES else _STANDING
for _type in (2, 3, 18, 24):  # RFC 2866 section 4.1
    _KINDS[_type] = _FORBIDDEN
_KINDS[SESSION_ID] = _SESSION_ID
_KINDS[STATUS_TYPE] = _STATUS

SESSION_STATUS = frozenset({Status.START, Status.STOP, Status.INTERIM_UPDATE})
_NAS_STATUS = frozenset({7, 8})
_new_report = partial(tuple.__new__, Report)  # half the time of Report's own way
_read_number = struct.Struct("!I").unpack_from


def read_report(
    packet: bytes, *, nas: str, received_at: int, max_clock_skew_seconds: int
) -> Report | Refused:
    """Read a packet whose lengths are known to add up.

    ``received_at`` is its arrival in seconds since 1970; ``max_clock_skew_seconds`` how
    far in the future an Event-Timestamp may lie and still be believed.
    """
    numbers: dict[int, int] = {}
    standing: list[bytes] = []
    session_ids = statuses = 0
    identified = False
    status = None
    session_id = b""
    place, end, kinds, read_number = 20, len(packet), _KINDS, _read_number
    while place < end:
        kind = packet[place]
        length = packet[place + 1]
        what = kinds[kind]
        if what == 1:  # _NUMBER; the names would cost a look-up each, twenty a packet
            if length == 6:
                numbers[kind] = read_number(packet, place + 2)[0]
        elif what == 2:  # _STANDING
            standing.append(packet[place : place + length])
        elif what == _IDENTITY:
            standing.append(packet[place : place + length])
            identified = True
        elif what == _SESSION_ID:
            session_id = packet[place + 2 : place + length]
            session_ids += 1
        elif what == _STATUS:
            statuses += 1
            if length == 6:
                status = read_number(packet, place + 2)[0]
        elif what == _FORBIDDEN:
            return Refused(nas, status, Refusal.FORBIDDEN_ATTRIBUTE)
        place += length
    if statuses != 1 or status is None:
        return Refused(nas, status, Refusal.STATUS_TYPE)
    if not identified:
        return Refused(nas, status, Refusal.NAS_IDENTITY)
    if status in SESSION_STATUS:
        if session_ids != 1 or not session_id:
            return Refused(nas, status, Refusal.SESSION_ID)
    elif status not in _NAS_STATUS:  # tunnels, Failed and what is not assigned
        return Refused(nas, status, Refusal.NOT_A_SESSION)
    return report_of(
        (status, session_id, *[numbers.get(kind) for kind in NUMBERS]),
        b"".join(standing),
        nas,
        received_at,
        max_clock_skew_seconds,
    )


def report_of(
    values: tuple[Any, ...],
    standing: bytes,
    nas: str,
    received_at: int,
    max_clock_skew_seconds: int,
) -> Report:
    """Make the report of a packet's values: Acct-Status-Type and Acct-Session-Id, which
    are there, and in their order NUMBERS, which are None where they are not."""
    (
        status,
        session_id,
        delay,
        stamp,
        seconds,
        octets_in,
        octets_out,
        packets_in,
        packets_out,
        gigawords_in,
        gigawords_out,
        cause,
    ) = values
    reported = stamp is not None and (
        received_at - _EVENT_PAST_SECONDS
        <= stamp
        <= received_at + max_clock_skew_seconds
    )
    # Put together, and as _text, in place: each call would cost more than what it does.
    if octets_in is not None and gigawords_in:
        carried = gigawords_in < _GIGAWORDS  # what no line can carry is no counter
        octets_in = octets_in | gigawords_in << 32 if carried else None
    if octets_out is not None and gigawords_out:
        carried = gigawords_out < _GIGAWORDS
        octets_out = octets_out | gigawords_out << 32 if carried else None
    acct_session_id = session_id.decode("utf-8", "backslashreplace")
    if "\0" in acct_session_id:
        acct_session_id = acct_session_id.replace("\0", "\\x00")
    delay = delay or 0
    return _new_report(
        (
            status,
            nas,
            acct_session_id,
            received_at,
            stamp if reported else received_at - delay,
            reported,
            delay,
            seconds,
            octets_in,
            octets_out,
            packets_in,
            packets_out,
            gigawords_in is not None or gigawords_out is not None,
            cause,
            standing,
        )
    )


def _text(value: bytes) -> str:
    """Read text as UTF-8; what is not is kept readable and distinct."""
    text = value.decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00") if "\0" in text else text


def _ipv4(value: bytes) -> str | None:
    return socket.inet_ntop(socket.AF_INET, value) if len(value) == 4 else None


def _ipv6(value: bytes) -> str | None:
    return socket.inet_ntop(socket.AF_INET6, value) if len(value) == 16 else None


def _ipv6_prefix(value: bytes) -> str | None:
    """Read a prefix (RFC 3162 section 2.3, RFC 4818 section 3, RFC 8044 section 3.10).

    A tail that is not sent is zero; a bit set behind the prefix makes it invalid.
    """
    if not 2 <= len(value) <= 18 or value[1] > 128:
        return None
    address = value[2:].ljust(16, b"\0")
    if int.from_bytes(address) & ((1 << 128 - value[1]) - 1):
        return None
    return f"{socket.inet_ntop(socket.AF_INET6, address)}/{value[1]}"


def _interface_id(value: bytes) -> str | None:
    return value.hex(":", 2) if len(value) == 8 else None


_VENDOR_HEADER = struct.Struct("!I")
_DSL_FORUM = 3561


def _circuits(value: bytes) -> tuple[str | None, str | None]:
    """Read Agent-Circuit-Id (1) and Agent-Remote-Id (2) of RFC 4679 out of a VSA."""
    found: list[str | None] = [None, None]
    if len(value) >= 6 and _VENDOR_HEADER.unpack_from(value)[0] == _DSL_FORUM:
        place = 4
        while place + 2 <= len(value):
            kind, length = value[place], value[place + 1]
            if length < 2 or place + length > len(value):
                break  # not sub-attributes: opaque, and no error
            if kind in (1, 2) and length > 2 and found[kind - 1] is None:
                found[kind - 1] = _text(value[place + 2 : place + length])
            place += length
    return found[0], found[1]


def _number(value: bytes) -> int | None:
    return int.from_bytes(value) if len(value) == 4 else None


def _number_as_text(value: bytes) -> str | None:
    return str(int.from_bytes(value)) if len(value) == 4 else None


def _whole_class(value: bytes) -> bytes:
    return bytes((25, len(value) + 2)) + value


_new_description = partial(tuple.__new__, Description)
_AT = {name: place for place, name in enumerate(Description._fields)}
# Behind the fields: what stands in for an absent one, and both halves of the circuit.
_IPV4, _IPV6, _PORT, _CIRCUITS, _SLOTS = range(len(_AT), len(_AT) + 5)

_READERS: dict[int, tuple[int, Callable[[bytes], Any] | None, Any]] = {
    1: (_AT["user_name"], None, None),
    4: (_IPV4, _ipv4, None),
    5: (_PORT, _number_as_text, None),
    8: (_AT["framed_ip_address"], _ipv4, None),
    25: (_AT["class_"], _whole_class, b""),
    26: (_CIRCUITS, _circuits, ()),
    30: (_AT["called_station_id"], None, None),
    31: (_AT["calling_station_id"], None, None),
    32: (_AT["nas_identity"], None, None),
    50: (_AT["acct_multi_session_id"], None, None),
    51: (_AT["link_count"], _number, None),
    87: (_AT["nas_port_id"], None, None),
    95: (_IPV6, _ipv6, None),
    96: (_AT["framed_interface_id"], _interface_id, None),
    97: (_AT["framed_ipv6_prefixes"], _ipv6_prefix, " "),
    123: (_AT["delegated_ipv6_prefixes"], _ipv6_prefix, " "),
    168: (_AT["framed_ipv6_addresses"], _ipv6, " "),
}
"""Attribute to the place of its value, how that is read (None: as text; what gives None
does not fit its type), and what joins several; where nothing does, the first counts."""


def describe(standing: bytes) -> Description:
    """Read the standing half of a report; several of a kind stay in their order."""
    found: list[Any] = [None] * _SLOTS
    place, end, readers = 0, len(standing), _READERS
    while place < end:
        behind = place + standing[place + 1]
        slot, read, joint = readers[standing[place]]
        known = found[slot]
        if known is None or joint is not None:
            value: Any = standing[place + 2 : behind]
            if read is not None:
                value = read(value)
            elif value:  # as _text; half of all attributes are, so without its call
                value = value.decode("utf-8", "backslashreplace")
                if "\0" in value:
                    value = value.replace("\0", "\\x00")
            else:
                value = None
            if known is None:
                found[slot] = value
            elif value is not None:
                found[slot] = known + joint + value
        place = behind
    if found[_AT["nas_identity"]] is None:
        found[_AT["nas_identity"]] = found[_IPV4] or found[_IPV6] or ""
    if found[_AT["nas_port_id"]] is None:
        found[_AT["nas_port_id"]] = found[_PORT]
    circuits = found[_CIRCUITS]
    if circuits:
        found[_AT["agent_circuit_id"]] = next(filter(None, circuits[::2]), None)
        found[_AT["agent_remote_id"]] = next(filter(None, circuits[1::2]), None)
    return _new_description(found[: len(_AT)])
