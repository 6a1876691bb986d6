"""Who sends: each address and port with its NAS, found once and remembered.

A datagram of a known sender costs one dictionary look-up by the kernel's own sockaddr
octets; what the NAS shares with us and what precedes its packets in the journal come
with it.
"""

from __future__ import annotations

from collections.abc import Callable

from radius.nas import NasClient, NasTable
from radius.packet import is_message_authentic, is_request_authentic

_SOURCES = 65536
"""Senders remembered, by address and port; a NAS uses a handful of ports."""


class Source:
    """A known sender: its NAS, and what precedes its packets in the journal.

    ``secret`` is the live secret that it used last.
    """

    __slots__ = ("client", "name", "origin", "secret")

    def __init__(self, client: NasClient, origin: bytes) -> None:
        self.client = client
        self.name = client.name
        self.origin = origin
        self.secret = client.secrets[0]

    def signed_with(self, packet: bytes, place: int) -> bytes | None:
        """Give the live secret that a Message-Authenticator at ``place`` was made with,
        if any was."""
        for secret in (self.secret, *self.client.secrets):
            if is_message_authentic(packet, place, secret):
                return secret
        return None

    def other_secret(self, packet: bytes) -> bytes:
        """Give the other live secret when it fits an accounting request, and try it
        first from now on; no octets when none does."""
        for secret in self.client.secrets:
            if secret != self.secret and is_request_authentic(packet, secret):
                self.secret = secret
                return secret
        return b""


class Sources:
    """Remembers senders, ``known`` by sockaddr.

    ``address_of`` a sockaddr is text, ``origin_of`` it and a NAS's name what the
    journal has; ``on_unknown`` hears the address of a datagram of no NAS.
    """

    def __init__(
        self,
        table: NasTable,
        *,
        address_of: Callable[[bytes], str],
        origin_of: Callable[[bytes, str], bytes],
        on_unknown: Callable[[str], None],
    ) -> None:
        self._table = table
        self._address_of = address_of
        self._origin_of = origin_of
        self._on_unknown = on_unknown
        self.known: dict[bytes, Source] = {}

    def find(self, address: bytes) -> Source | None:
        """Look for the NAS of a sender that is not known yet."""
        text = self._address_of(address)
        client = self._table.find(text)
        if client is None:
            self._on_unknown(text)
            return None
        if len(self.known) >= _SOURCES:
            self.known.clear()
        source = Source(client, self._origin_of(address, client.name))
        self.known[address] = source
        return source

    def change_table(self, table: NasTable) -> None:
        """Take a changed set of NAS."""
        self._table = table
        self.known.clear()
