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
    UNSIGNED_PROXY_STATE = "unsigned_proxy_state"
    IN_PROGRESS = "in_progress"
    QUEUE_FULL = "queue_full"
    JOURNAL = "journal"
    RATE = "rate"
    LONG_ANSWER = "long_answer"
    LOOP = "loop"
    HOME_SERVER = "home_server"


class Sighting(NamedTuple):
    """One datagram and what became of it, for a trace that someone asked for.

    ``source`` is a sockaddr; ``outcome`` a word of ``Drop`` or ``Malformed``, or
    journaled, answered again, status answered; of an Access-Request accepted, walled
    garden, proxied, or rejected with the word of ``Refusal``.
    """

    octets: bytes
    source: bytes
    nas: str
    outcome: str


class Statistics:
    """Plain counters that the role turns into metrics once a second.

    ``requests`` counts (NAS, type, result), ``malformed`` and ``dropped`` (NAS,
    reason); a NAS is "" for a source that no NAS has. ``refused`` counts (NAS,
    refusal), ``unsigned`` Access-Requests without Message-Authenticator by NAS.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.duplicates: Counter[str] = Counter()
        self.malformed: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.unsigned: Counter[str] = Counter()
