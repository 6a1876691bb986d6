"""Which NAS a packet comes from: by its source address and by nothing it says itself.

RFC 2865 section 3 has the secret chosen by the source address, since every attribute is
the sender's claim. The longest prefix wins, so that one NAS can be taken out of a range
that another entry covers. What was found is remembered by address, and so is that
nothing was found: a stranger who goes on sending costs one look in a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from netaddr import AddrFormatError, IPAddress

from config.plant import Nas
from config.values import prefix_of

MEMO_ADDRESSES: Final = 65_536
"""Known addresses remembered, and as many unknown ones; then that memory starts anew.

The two are apart so that a flood of forged sources cannot push out the real ones.
"""

_MAPPED_NETWORK: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class NasClient:
    """What the packet path needs of a NAS; ``index`` is its place in the table."""

    name: str
    index: int
    secrets: tuple[bytes, ...] = field(repr=False)
    """The newest first; never empty, and none of them is."""
    gigawords: str
    max_rate_mbps: int
    """Mbit/s."""
    nas: Nas = field(repr=False)
    """The whole row, for what access needs of it."""
    is_host: bool
    """Whether its prefix is one address: only then is what it sends its own habit."""


_Prefixes = tuple[int, dict[int, NasClient]]
"""The bits a prefix leaves to hosts, and the NAS by the bits before them."""


class NasTable:
    """An immutable set of NAS and a memory of look-ups; one per process."""

    __slots__ = ("_four", "_known", "_six", "_unknown", "clients")

    def __init__(
        self,
        clients: tuple[NasClient, ...],
        four: list[_Prefixes],
        six: list[_Prefixes],
    ) -> None:
        self.clients = clients
        self._four = four
        self._six = six
        self._known: dict[str, NasClient] = {}
        self._unknown: set[str] = set()

    @classmethod
    def build(cls, entries: Iterable[Nas]) -> NasTable:
        """Make the table; ValueError for a NAS without a secret or with a bad prefix.

        An empty secret would let anyone sign (RFC 2865 section 3). Of two entries with
        one prefix the first counts; the loader lets no such network through.
        """
        clients = []
        four: dict[int, dict[int, NasClient]] = {}
        six: dict[int, dict[int, NasClient]] = {}
        for index, nas in enumerate(entries):
            secrets = nas.keys()
            if not secrets or not all(secrets):
                msg = f"NAS {nas.name!r} has no secret, or an empty one"
                raise ValueError(msg)
            prefix = prefix_of(nas.address)
            width, tables = (32, four) if prefix.version == 4 else (128, six)
            host_bits = width - prefix.prefixlen
            client = NasClient(
                nas.name,
                index,
                secrets,
                nas.gigawords,
                nas.max_rate_mbps,
                nas,
                not host_bits,
            )
            clients.append(client)
            of_length = tables.setdefault(host_bits, {})
            of_length.setdefault(prefix.first >> host_bits, client)
        return cls(tuple(clients), sorted(four.items()), sorted(six.items()))

    def find(self, address: str) -> NasClient | None:
        """Find the NAS of a source address, IPv4, IPv6 or IPv4-mapped; None if unknown.

        What is no address is unknown too.
        """
        client = self._known.get(address)
        if client is not None or address in self._unknown:
            return client
        client = self._search(address)
        if client is None:
            if len(self._unknown) >= MEMO_ADDRESSES:
                self._unknown.clear()
            self._unknown.add(address)
        else:
            if len(self._known) >= MEMO_ADDRESSES:
                self._known.clear()
            self._known[address] = client
        return client

    def _search(self, address: str) -> NasClient | None:
        # A link-local source comes with its interface, which no prefix has.
        try:
            parsed = IPAddress(address.partition("%")[0])
        except (AddrFormatError, ValueError):
            return None
        number, version = int(parsed), parsed.version
        if version == 6 and number >> 32 == _MAPPED_NETWORK:
            number, version = number & 0xFFFFFFFF, 4
        for host_bits, clients in self._four if version == 4 else self._six:
            client = clients.get(number >> host_bits)
            if client is not None:
                return client
        return None
