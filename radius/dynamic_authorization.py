"""CoA and Disconnect: what is asked of a NAS, when again, and how a command goes on.

Pure: attributes of a request in the form that the NAS's vendor takes (RFC 5176 section
3), the times of RFC 5080 section 2.2.1, and the table of a command's states. A command
is done when accounting shows its effect, not when the NAS says that it will.
"""

from __future__ import annotations

import ipaddress
import struct
from enum import StrEnum
from typing import Final, NamedTuple

from config.plant import Profile
from radius.packet import Code, attribute
from radius.profiles import (
    ACCT_SESSION_ID,
    CALLING_STATION,
    EVENT_TIMESTAMP,
    FRAMED_ADDRESS,
    NAS_ADDRESS,
    NAS_IDENTIFIER,
    NAS_PORT_ID,
    PROFILES,
    USER_NAME,
    Grant,
    grant_attributes,
)

SESSION_CONTEXT_NOT_FOUND: Final = 503
"""Error-Cause (RFC 5176 section 3.6): the NAS has no such session, so it is over."""

FIRST_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 16.0
ATTEMPTS: Final = 5
GIVE_UP_SECONDS: Final = 30.0
JITTER: Final = 0.1


class Kind(StrEnum):
    """What is asked of the NAS."""

    COA = "coa"
    DISCONNECT = "disconnect"


CODES: Final = {Kind.COA: Code.COA_REQUEST, Kind.DISCONNECT: Code.DISCONNECT_REQUEST}


class State(StrEnum):
    """How far a command is."""

    QUEUED = "queued"
    SENT = "sent"
    ACKED = "acked"
    NACKED = "nacked"
    TIMED_OUT = "timed_out"
    GONE = "gone"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"


class Event(StrEnum):
    """What happens to a command."""

    SENT = "sent"
    ACK = "ack"
    NAK = "nak"
    NO_SESSION = "no_session"
    NO_ANSWER = "no_answer"
    SHOWN = "shown"
    NOT_SHOWN = "not_shown"
    SESSION_CLOSED = "session_closed"


NEXT: Final[dict[tuple[State, Event], State]] = {
    (State.QUEUED, Event.SENT): State.SENT,
    # The session ended before anything was sent: what was asked for is so.
    (State.QUEUED, Event.SESSION_CLOSED): State.GONE,
    # A process died after sending: the same command, sent again, changes nothing.
    (State.SENT, Event.SENT): State.SENT,
    (State.SENT, Event.ACK): State.ACKED,
    (State.SENT, Event.NAK): State.NACKED,
    (State.SENT, Event.NO_SESSION): State.GONE,
    (State.SENT, Event.NO_ANSWER): State.TIMED_OUT,
    (State.SENT, Event.SESSION_CLOSED): State.GONE,
    (State.ACKED, Event.SHOWN): State.VERIFIED,
    (State.ACKED, Event.NOT_SHOWN): State.UNVERIFIED,
}
"""Every step there is; any other event leaves a command as it was."""

FAILED: Final = frozenset({State.NACKED, State.TIMED_OUT, State.UNVERIFIED})
"""Where a CoA that falls back is followed by a Disconnect."""


def step(state: State, event: Event) -> State:
    """Give a command's state after an event."""
    return NEXT.get((state, event), state)


def waits(jitters: tuple[float, ...]) -> tuple[float, ...]:
    """Give the seconds to wait after each sending (RFC 5080 section 2.2.1).

    2 s, then twice as long each time, 16 s at most, each with its own tenth of jitter;
    five sendings, 30 s in all. ``jitters`` are numbers from -1 to 1, one a sending.
    """
    found: list[float] = []
    base, left = FIRST_SECONDS, GIVE_UP_SECONDS
    for jitter in jitters[:ATTEMPTS]:
        if left <= 0:
            break
        wait = min(base * (1 + JITTER * jitter), left)
        found.append(wait)
        left -= wait
        base = min(2 * base, LONGEST_SECONDS)
    return tuple(found)


class Target(NamedTuple):
    """A session as its NAS reported it, octet for octet where it was text."""

    user_name: str | None
    nas_identity: str
    acct_session_id: str
    framed_ip_address: str | None
    calling_station_id: str | None
    nas_port_id: str | None


def request_attributes(
    kind: Kind, profile: Profile, target: Target, grant: Grant | None, now: int
) -> bytes:
    """Write the attributes of a request, without signature.

    A Disconnect has only what names the session (RFC 5176 section 3); a CoA has the
    grant behind that. ``now`` in epoch seconds is the Event-Timestamp, which lets a NAS
    refuse a replay (section 6.3).
    """
    known = _session(target, now)
    kinds = PROFILES[profile].session
    if not target.user_name:
        other = next((one for one in PROFILES[profile].unnamed if known[one]), None)
        kinds = kinds if other is None or other in kinds else (*kinds, other)
    parts = [known[attribute_kind] for attribute_kind in kinds if known[attribute_kind]]
    if kind is Kind.COA and grant is not None:
        # Addresses cannot be changed while a session lasts.
        changed = grant._replace(
            pool=None,
            framed_ip_address=None,
            framed_ipv6_prefix=None,
            delegated_ipv6_prefix=None,
        )
        parts.append(grant_attributes(profile, changed))
    return b"".join(parts)


def _session(target: Target, now: int) -> dict[int, bytes]:
    address = _ipv4(target.nas_identity)
    return {
        USER_NAME: _text(USER_NAME, target.user_name),
        NAS_ADDRESS: attribute(NAS_ADDRESS, address) if address else b"",
        NAS_IDENTIFIER: b"" if address else _text(NAS_IDENTIFIER, target.nas_identity),
        ACCT_SESSION_ID: _text(ACCT_SESSION_ID, target.acct_session_id),
        FRAMED_ADDRESS: attribute(FRAMED_ADDRESS, framed)
        if (framed := _ipv4(target.framed_ip_address or ""))
        else b"",
        CALLING_STATION: _text(CALLING_STATION, target.calling_station_id),
        NAS_PORT_ID: _text(NAS_PORT_ID, target.nas_port_id),
        EVENT_TIMESTAMP: attribute(EVENT_TIMESTAMP, struct.pack("!I", now)),
    }


def _text(kind: int, value: str | None) -> bytes:
    return attribute(kind, value.encode()) if value else b""


def _ipv4(text: str) -> bytes:
    try:
        return ipaddress.IPv4Address(text).packed
    except ipaddress.AddressValueError:
        return b""


def error_cause(attributes: list[bytes]) -> int | None:
    """Read the Error-Cause (RFC 5176 section 3.6) from values of attribute 101."""
    return int.from_bytes(attributes[0]) if attributes else None
