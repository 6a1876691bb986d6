"""Retransmissions known again, in two generations (RFC 5080 section 2.2.2).

The key is the sender's address and port, the receiving socket (each has its own
``Duplicates``) and the Request Authenticator, which covers code, identifier and content
together with the secret: the same authenticator from the same place is the same packet,
another one is a new request even under the same identifier, which is one octet and
comes round again within milliseconds under load.

The value says how far the request is. Of an accounting request it is the number of the
journal batch that it went into: it is answered again when its batch is durable, and
dropped while it is still on its way. Of an Access-Request it is the answer, or no
octets while there is none yet. Expiry costs nothing a packet: the young generation
becomes the old one, whole.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Duplicates(Generic[Value]):
    """Requests of the last ``lifetime`` to twice ``lifetime`` seconds.

    ``limit`` bounds each generation; a flood turns generations early, which shortens
    memory and never refuses service: the ledger folds what slips through (law 2).
    """

    __slots__ = ("_lifetime", "_limit", "_old", "_turns_at", "young")

    def __init__(self, *, lifetime: float, limit: int = 2_000_000) -> None:
        self.young: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}
        self._lifetime = lifetime
        self._limit = limit
        self._turns_at = 0.0

    def turn(self, now: float) -> None:
        """Let a generation go when its time has come; call once a batch."""
        if now >= self._turns_at or len(self.young) >= self._limit:
            self._old = self.young
            self.young = {}
            self._turns_at = now + self._lifetime

    def known(self, key: bytes) -> Value | None:
        """Give how far a request seen before is, or None."""
        value = self.young.get(key)
        return self._old.get(key) if value is None else value

    def forget(self, keys: list[bytes]) -> None:
        """Drop requests that could not be recorded: their retransmission is new."""
        for key in keys:
            self.young.pop(key, None)
            self._old.pop(key, None)
