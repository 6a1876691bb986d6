"""What can become of a DHCP datagram, as counters and traces name it.

Every silent discard has its word; those of the allocation (``ipserver.answer.Silence``)
stand beside these under the same counter.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final, NamedTuple

from ipserver.dhcp import MessageType

TURNS_TIMED_MAX: Final = 100
"""Turns of which the time is kept until it is told elsewhere, once a second."""

_NAMES: Final = {int(kind): kind.name.lower() for kind in MessageType}


class Drop(StrEnum):
    """Why a well-formed request is met with silence before anyone is asked."""

    UNKNOWN_RELAY = "unknown_relay"
    """giaddr is no relay of the network."""
    SOURCE = "source"
    """It does not come from the relay, or the client, that it says it is of."""
    NOT_RELAYED = "not_relayed"
    """Neither relayed nor from an address of the client's own."""
    UNTRUSTED_AGENT = "untrusted_agent"
    """Option 82 without a relay (RFC 3046 section 2.1.1)."""
    RELAY_PORT = "relay_port"
    """Replies are to go to where it came from, and that is port 0 (RFC 8357)."""
    VPN = "vpn"
    """A VPN that no area is (RFC 6607)."""
    OTHER_SERVER = "other_server"
    """A RELEASE or DECLINE to another server."""
    INCOMPLETE = "incomplete"
    """What its message type must have is missing (RFC 2131 table 5)."""
    LINE_RATE = "line_rate"
    RELAY_RATE = "relay_rate"
    QUEUE_FULL = "queue_full"
    STALE = "stale"
    """It waited so long that its client has sent it again."""
    IN_PROGRESS = "in_progress"
    """Sent again while its first copy waits for the disk."""
    JOURNAL = "journal"
    """What it asks for could not be made durable."""
    PARKED_FULL = "parked_full"
    PARKED_TOO_LONG = "parked_too_long"
    """Its over-allocation request was not granted in time."""
    LEASEQUERY_REFUSED = "leasequery_refused"
    """Not from who may ask (RFC 4388 section 7)."""


class Sighting(NamedTuple):
    """One datagram and what became of it, for a trace that someone asked for.

    ``source`` is a sockaddr; ``outcome`` is the reply's type and reason, or a word of
    ``Drop``, ``Malformed`` or the allocation's.
    """

    octets: bytes
    source: bytes
    relay: str
    outcome: str


class Statistics:
    """Plain counters that the role turns into metrics once a second.

    ``answered`` counts (type, result, reason): the type is option 53's number, the
    result the reply's type, ``taken`` for a RELEASE or DECLINE, or ``parked``.
    ``unanswered`` counts the types of what was dropped, ``dropped`` and ``malformed``
    the reasons, ``truncated`` requests whose options broke off and were read as far as
    that. ``seconds`` are those that one request took, the mean of each turn.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Count from zero: what was counted is told elsewhere."""
        self.answered: dict[tuple[int, str, str], int] = {}
        self.unanswered: Counter[int] = Counter()
        self.dropped: Counter[str] = Counter()
        self.malformed: Counter[str] = Counter()
        self.truncated = 0
        self.without_agent = 0
        self.without_options = 0
        self.seconds: list[float] = []

    def messages(self) -> Counter[tuple[str, str]]:
        """Count messages by type and result; what was dropped is ``dropped``."""
        counted: Counter[tuple[str, str]] = Counter()
        for (kind, result, _), count in self.answered.items():
            counted[_NAMES[kind], result] += count
        for kind, count in self.unanswered.items():
            counted[_NAMES[kind], "dropped"] += count
        return counted

    def reasons(self) -> Counter[tuple[str, str]]:
        """Count answers by result and reason."""
        counted: Counter[tuple[str, str]] = Counter()
        for (_, result, reason), count in self.answered.items():
            counted[result, reason] += count
        return counted
