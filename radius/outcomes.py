"""What can become of a datagram, as counters and traces name it.

The words follow the counters of RFC 4669 and RFC 4671; every silent discard has one
(RFC 2865 section 1.2).
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import NamedTuple


class Drop(StrEnum):
    """Why a well-formed datagram is met with silence."""

    UNKNOWN_SOURCE = "unknown_source"
    CODE = "code"
    AUTHENTICATOR = "authenticator"
    MESSAGE_AUTHENTICATOR = "message_authenticator"
    MESSAGE_AUTHENTICATOR_MISSING = "message_authenticator_missing"
    IN_PROGRESS = "in_progress"
    QUEUE_FULL = "queue_full"
    JOURNAL = "journal"
    RATE = "rate"


class Sighting(NamedTuple):
    """One datagram and what became of it, for a trace that someone asked for.

    ``source`` is a sockaddr; ``outcome`` a word of ``Drop`` or ``Malformed``, or
    journaled, answered again, status answered.
    """

    octets: bytes
    source: bytes
    nas: str
    outcome: str


class Statistics:
    """Plain counters that the role turns into metrics once a second.

    ``requests`` counts (NAS, type, result), ``malformed`` and ``dropped`` (NAS,
    reason); a NAS is "" for a source that no NAS has.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.duplicates: Counter[str] = Counter()
        self.malformed: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
