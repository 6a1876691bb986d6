"""Accounting-Requests as a broadband gateway sends them, built by the hundred thousand.

A load generator that is slower than the server measures itself. One `struct` call
writes a whole packet in place: everything that is the same for all sessions of a pass
(status, time, the gateway) is one block of bytes made once a pass, everything that is
the same for all packets of a session is one that is kept, and what is left are its
counters. The shared secret lies behind each packet in its slot, so that the one MD5 of
RFC 2866 section 3 needs no copy.

Counters are a function of session and round alone: whoever knows which packets were
acknowledged can say what the sessions and usage in the server must be.
"""

from __future__ import annotations

import ipaddress
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

try:
    # A third of the time of OpenSSL's constructor on packets of this size.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:  # a Python built without it
    from hashlib import md5

__all__ = ["SLOTS", "SLOT_BYTES", "AccountingPackets", "Pass", "Status"]

SLOTS = 256
"""Identifiers of one source port (RFC 2865 section 3: one octet)."""
SLOT_BYTES = 512
"""Room for one packet and the secret behind it."""

_HOME = b"@aurora.example"
_GATEWAY = b"bng1.harbour.example"
_SHARED_OCTETS = 75
_SESSION = struct.Struct(f">7s {len(_HOME) + 6}s 8s2sI 6s8s 11s7s 11s7s 25s7s")
_PACKET = f">BBH16s {_SHARED_OCTETS}s {_SESSION.size}s"
_COUNTERS = "2sI 2sI 2sI 2sI 2sI 2sI"
_put_authenticator = struct.Struct("16s").pack_into
_ZERO = bytes(16)
_SESSIONS_KEPT = 100_000
"""Sessions whose attributes are kept, of 150 octets each."""
_PACKETS_LEAST = 1_000_000
"""Packets that a subscriber receives in a round, and for five it sends one; each
session has up to 65,535 more."""
_RECEIVED_OCTETS, _SENT_OCTETS = 1000, 100
"""Octets for each packet received: 1,000 of its own, a fifth of 500 sent."""
_SEVEN_DAYS = 7 * 86400


class Status(IntEnum):
    """Acct-Status-Type of a session's packets (RFC 2866 section 5.1)."""

    START = 1
    STOP = 2
    INTERIM = 3


@dataclass(frozen=True, slots=True)
class Pass:
    """One packet of each session: a status, and how many intervals after the Start."""

    status: Status
    round: int


class AccountingPackets:
    """Writes the packets of numbered sessions of one gateway into slots.

    `run` (up to 4 characters) makes the Acct-Session-Ids of two runs differ. Session
    times are `interval_seconds` apart; event times start `seconds_back` before now and
    never pass now, because a server may distrust a gateway whose clock runs ahead.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        nas_address: str = "127.0.0.1",
        run: str = "0001",
        interval_seconds: int = 600,
        seconds_back: int = 6 * 86400,
    ) -> None:
        if not 0 < len(secret) <= SLOT_BYTES - 300:
            raise ValueError("the secret is empty or too long for a slot")
        if not 0 <= seconds_back < _SEVEN_DAYS:
            raise ValueError("seconds_back is less than seven days")
        self.secret = secret
        self.run = run.encode().rjust(4, b"0")
        if len(self.run) != 4:
            raise ValueError("run has at most 4 characters")
        self.interval_seconds = interval_seconds
        self._now = int(time.time())
        self._started = self._now - seconds_back
        self._nas = ipaddress.IPv4Address(nas_address).packed
        self._addresses = int(ipaddress.IPv4Address("100.64.0.0"))
        behind = f"{len(secret)}s"
        self._formats = {
            Status.START: struct.Struct(_PACKET + behind),
            Status.INTERIM: struct.Struct(_PACKET + _COUNTERS + behind),
            Status.STOP: struct.Struct(f"{_PACKET}{_COUNTERS}{6 + len(secret)}s"),
        }
        self._sessions: dict[int, bytes] = {}
        self._pass = Pass(Status.START, 0)
        self._of_pass = self._shared(self._pass)

    def length(self, status: Status) -> int:
        """Octets of a packet of this status; the same for every session."""
        return self._formats[status].size - len(self.secret)

    def session_id(self, session: int) -> str:
        """The Acct-Session-Id of the session of this number."""
        return f"{self.run.decode()}{session:08x}"

    def seconds(self, at: Pass) -> int:
        """Acct-Session-Time in a pass."""
        return at.round * self.interval_seconds

    def octets(self, session: int, round_: int) -> tuple[int, int]:
        """What the session has (sent, received) in octets after so many rounds.

        From the gateway's side: input is what the subscriber sent. About 14 Mbit/s at
        ten minutes a round, so that 32 bits overflow every fifth round.
        """
        packets = round_ * (_PACKETS_LEAST + (session & 0xFFFF))
        return packets * _SENT_OCTETS, packets * _RECEIVED_OCTETS

    def _shared(self, at: Pass) -> bytes:
        """The attributes that all packets of a pass have in common."""
        seconds = self.seconds(at)
        event = min(self._started + seconds, self._now)
        number = struct.Struct(">BBI").pack
        return b"".join(
            (
                number(40, 6, at.status),
                number(55, 6, event),
                number(46, 6, seconds),
                b"\x04\x06" + self._nas,
                bytes((32, 2 + len(_GATEWAY))) + _GATEWAY,
                number(61, 6, 15),  # NAS-Port-Type Ethernet
                number(6, 6, 2),  # Service-Type Framed
                number(45, 6, 1),  # Acct-Authentic RADIUS
                number(41, 6, 0),  # Acct-Delay-Time
                b"\x01\x1bsub",  # User-Name, the number follows
            )
        )

    def _session(self, session: int) -> bytes:
        """The attributes that all packets of a session have in common, from the number
        in its User-Name on."""
        digits, hexits = b"%07d" % session, b"%08x" % session
        attributes = _SESSION.pack(
            *(digits, _HOME + b"\x2c\x0e" + self.run, hexits),
            *(b"\x08\x06", self._addresses + (session & 0x3FFFFF)),
            *(b"\x1f\x0e0200", hexits, b"\x19\x12home-500:", digits),
            *(b"\x57\x12ge-0/0/1:", digits),
            *(b"\x1a\x20\x00\x00\x0d\xe9\x01\x1aharbour ge-0/0/1:", digits),
        )
        if len(self._sessions) >= _SESSIONS_KEPT:
            self._sessions.clear()
        self._sessions[session] = attributes
        return attributes

    def write(
        self,
        slots: Slots,
        identifiers: list[int],
        session: int,
        at: Pass,
    ) -> None:
        """Write the packets of sessions `session`, `session` + 1 ... into slots.

        One packet for each identifier, each with its Request Authenticator.
        """
        form = self._formats[at.status]
        pack_into, length = form.pack_into, form.size - len(self.secret)
        buffer, hashed = slots.buffer, slots.views(form.size)
        if at != self._pass:
            self._pass, self._of_pass = at, self._shared(at)
        shared, known = self._of_pass, self._sessions.get
        counted = at.status is not Status.START
        behind = self.secret
        if at.status is Status.STOP:
            behind = b"\x31\x06\x00\x00\x00\x01" + behind  # User-Request
        round_ = at.round
        for identifier in identifiers:
            own = known(session) or self._session(session)
            offset = identifier * SLOT_BYTES
            # One call with every argument spelled out: a starred tuple costs more than
            # the arithmetic.
            # fmt: off
            if counted:
                packets = round_ * (_PACKETS_LEAST + (session & 0xFFFF))
                sent, received = packets * _SENT_OCTETS, packets * _RECEIVED_OCTETS
                pack_into(
                    buffer, offset, 4, identifier, length, _ZERO, shared, own,
                    b"\x2a\x06", sent & 0xFFFFFFFF, b"\x2b\x06", received & 0xFFFFFFFF,
                    b"\x34\x06", sent >> 32, b"\x35\x06", received >> 32,
                    b"\x2f\x06", packets // 5 & 0xFFFFFFFF,
                    b"\x30\x06", packets & 0xFFFFFFFF, behind,
                )
            else:
                pack_into(
                    buffer, offset, 4, identifier, length, _ZERO, shared, own, behind
                )
            # fmt: on
            signature = md5(hashed[identifier]).digest()  # noqa: S324
            _put_authenticator(buffer, offset + 4, signature)
            session += 1

    def is_authentic(self, reply: bytes, slots: Slots) -> bool:
        """Whether a reply of 20 octets or more is to the request in its slot.

        RFC 2866 section 3: the MD5 of code, identifier, length, the request's
        authenticator, attributes and secret.
        """
        parts = reply[:4], slots.authenticators[reply[1]], reply[20:], self.secret
        return reply[4:20] == bytes(md5(b"".join(parts)).digest())  # noqa: S324


class Slots:
    """Room for 256 packets, one for each identifier, kept as sent.

    A retransmission sends the slot again: identical bytes, as RFC 2866 section 3 has it
    when nothing in the packet changed.
    """

    def __init__(self) -> None:
        self.buffer = bytearray(SLOTS * SLOT_BYTES)
        self._whole = memoryview(self.buffer)
        self._views: dict[int, list[memoryview]] = {}
        self.authenticators = [view[4:20] for view in self.views(20)]

    def views(self, octets: int) -> list[memoryview]:
        """The first so many octets of every slot."""
        views = self._views.get(octets)
        if views is None:
            views = self._views[octets] = [
                self._whole[at : at + octets]
                for at in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES)
            ]
        return views

    def packet(self, identifier: int) -> bytes:
        """The packet in a slot, by the length in its header."""
        at = identifier * SLOT_BYTES
        length = int.from_bytes(self.buffer[at + 2 : at + 4], "big")
        return bytes(self._whole[at : at + length])
