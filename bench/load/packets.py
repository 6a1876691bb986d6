"""Accounting-Requests as a broadband gateway sends them, built by the hundred thousand.

A load generator that is slower than the server measures itself. One `struct` call
writes a whole packet in place: everything that is the same for all sessions of a pass
(status, time, the gateway) is one block of bytes made once a pass, everything that is
the same for all packets is in the format, and what is left is the session's number and
its counters. The shared secret lies behind each packet in its slot, so that the one
MD5 of RFC 2866 section 3 needs no copy.

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

__all__ = ["SLOTS", "SLOT_BYTES", "AccountingPackets", "Pass", "Status", "md5"]

SLOTS = 256
"""Identifiers of one source port (RFC 2865 section 3: one octet)."""
SLOT_BYTES = 512
"""Room for one packet and the secret behind it."""

_HOME = b"@aurora.example"
_GATEWAY = b"bng1.harbour.example"
_SHARED_OCTETS = 75
_SESSION = (
    f">BBH16s {_SHARED_OCTETS}s 7s {len(_HOME) + 6}s 8s2sI 6s8s 11s7s 11s7s 25s7s"
)
_COUNTERS = "2sI 2sI 2sI 2sI 2sI 2sI"
_ZERO = bytes(16)
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
        self._start = struct.Struct(_SESSION + behind)
        self._update = struct.Struct(_SESSION + _COUNTERS + behind)
        self._stop = struct.Struct(_SESSION + _COUNTERS + "6s" + behind)

    def length(self, status: Status) -> int:
        """Octets of a packet of this status; the same for every session."""
        return self._format(status).size - len(self.secret)

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
        spread = session & 0xFFFF
        return round_ * (100_000_000 + 100 * spread), round_ * (
            1_000_000_000 + 1000 * spread
        )

    def _format(self, status: Status) -> struct.Struct:
        match status:
            case Status.START:
                return self._start
            case Status.INTERIM:
                return self._update
            case Status.STOP:
                return self._stop

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
        form = self._format(at.status)
        pack_into = form.pack_into
        length = self.length(at.status)
        buffer, authenticators = slots.buffer, slots.authenticators
        hashed = slots.views(form.size)
        shared = self._shared(at)
        addresses = self._addresses
        home = _HOME + b"\x2c\x0e" + self.run
        mac, class_, port = b"\x1f\x0e0200", b"\x19\x12home-500:", b"\x57\x12ge-0/0/1:"
        line = b"\x1a\x20\x00\x00\x0d\xe9\x01\x1aharbour ge-0/0/1:"
        counted = at.status is not Status.START
        behind: tuple[bytes, ...] = (self.secret,)
        if at.status is Status.STOP:
            behind = (b"\x31\x06\x00\x00\x00\x01", self.secret)  # User-Request
        round_ = at.round
        for identifier in identifiers:
            digits = b"%07d" % session
            hexits = b"%08x" % session
            address = addresses + (session & 0x3FFFFF)
            offset = identifier * SLOT_BYTES
            # One call with every argument spelled out: a starred tuple costs a tenth
            # of the whole generator.
            # fmt: off
            if counted:
                spread = session & 0xFFFF
                sent = round_ * (100_000_000 + 100 * spread)
                received = round_ * (1_000_000_000 + 1000 * spread)
                pack_into(
                    buffer, offset, 4, identifier, length, _ZERO, shared, digits,
                    home, hexits, b"\x08\x06", address, mac, hexits, class_, digits,
                    port, digits, line, digits,
                    b"\x2a\x06", sent & 0xFFFFFFFF, b"\x2b\x06", received & 0xFFFFFFFF,
                    b"\x34\x06", sent >> 32, b"\x35\x06", received >> 32,
                    b"\x2f\x06", sent // 500 & 0xFFFFFFFF,
                    b"\x30\x06", received // 1000 & 0xFFFFFFFF, *behind,
                )
            else:
                pack_into(
                    buffer, offset, 4, identifier, length, _ZERO, shared, digits,
                    home, hexits, b"\x08\x06", address, mac, hexits, class_, digits,
                    port, digits, line, digits, *behind,
                )
            # fmt: on
            authenticators[identifier][:] = md5(hashed[identifier]).digest()  # noqa: S324
            session += 1


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
