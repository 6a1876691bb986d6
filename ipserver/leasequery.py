"""DHCPLEASEQUERY (RFC 4388): what an access concentrator may ask of others' leases.

It is refused to all but those in the configuration, because it tells who is where. The
query names exactly one of an address, a hardware address and a client identifier; what
is not asked for in its parameter request list is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from config.values import prefix_of
from ipserver.agent import encode
from ipserver.dhcp import MessageType, Option
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import Drop
from ipserver.question import Question

_NOWHERE: Final = bytes(4)


class KnownLease(NamedTuple):
    """A live lease. ``hardware`` is htype and chaddr, ``agent`` option 82's content;
    ``seconds`` is what is left of it, ``seen`` how long ago its client was heard.
    """

    address: int
    hardware: bytes
    client_id: bytes
    agent: bytes
    seconds: int
    seen: int


class Known(Protocol):
    """Where leases are found; each gives live ones, the last heard of first."""

    def by_address(self, address: int, now: float) -> KnownLease | None:
        """Find the lease of an address."""

    def by_client(
        self, hardware: bytes, client_id: bytes, now: float
    ) -> list[KnownLease]:
        """Find a client's leases by one of the two; the other is empty."""


class Told(NamedTuple):
    """What is answered: the type, encoded options, and the client's own data."""

    type: MessageType
    address: int = 0
    hardware: bytes = b""
    agent: bytes = b""
    options: bytes = b""


_ASSOCIATED: Final = 255
"""Addresses of one client that a reply tells of: what a frame holds, and far more than
a client has, unless its hardware address is everybody's."""


class LeaseQueries:
    """Answers lease queries from ``allowed`` prefixes.

    ``covers`` tells whether an address is one of this network's.
    """

    def __init__(self, known: Known, allowed: Iterable[str]) -> None:
        self._known = known
        prefixes = [prefix_of(text) for text in allowed]
        self._allowed = [(p.first, p.last) for p in prefixes if p.version == 4]
        self._covers: Callable[[int], bool] = lambda _: False

    def change_network(self, options: NetworkOptions) -> None:
        """Know which addresses are ours in a changed network."""
        self._covers = options.covers

    def answer(self, question: Question, source: bytes, now: float) -> Told | Drop:
        """Answer a query that came from ``source``, an address of 4 octets."""
        asker = int.from_bytes(source)
        if not any(first <= asker <= last for first, last in self._allowed):
            return Drop.LEASEQUERY_REFUSED
        octets, options = question.query.octets, question.query.options
        address = octets[12:16]
        hardware = octets[1:2] + octets[28 : 28 + octets[2]] if octets[2] else b""
        client_id = options.get(Option.CLIENT_IDENTIFIER, b"")
        if (address != _NOWHERE) + bool(hardware) + bool(client_id) != 1:
            return Drop.INCOMPLETE
        if address == _NOWHERE:
            found = self._known.by_client(hardware, client_id, now)
            if not found:
                return Told(MessageType.LEASEUNKNOWN)
            return _active(found, options.get(Option.PARAMETER_REQUEST_LIST, b""))
        wanted = int.from_bytes(address)
        lease = self._known.by_address(wanted, now)
        if lease is not None:
            return _active([lease], options.get(Option.PARAMETER_REQUEST_LIST, b""))
        if self._covers(wanted):
            return Told(MessageType.LEASEUNASSIGNED, wanted)
        return Told(MessageType.LEASEUNKNOWN, wanted)


def _active(leases: list[KnownLease], wanted: bytes) -> Told:
    lease = leases[0]
    octets = b""
    given = lease.seconds + lease.seen
    left = {
        Option.LEASE_TIME: lease.seconds,
        Option.T1: given // 2 - lease.seen,
        Option.T2: given * 7 // 8 - lease.seen,
    }
    for code, seconds in left.items():
        # What is left, as for the lease itself; of what is past nothing is said.
        if code in wanted and seconds > 0:
            octets += encode(code, seconds.to_bytes(4))
    if lease.client_id:
        octets += encode(Option.CLIENT_IDENTIFIER, lease.client_id)
    if Option.LAST_TRANSACTION_TIME in wanted:
        octets += encode(Option.LAST_TRANSACTION_TIME, lease.seen.to_bytes(4))
    if Option.ASSOCIATED_ADDRESS in wanted and len(leases) > 1:
        others = leases[:_ASSOCIATED]
        addresses = b"".join(other.address.to_bytes(4) for other in others)
        octets += encode(Option.ASSOCIATED_ADDRESS, addresses)
    agent = b""
    if lease.agent and Option.AGENT_INFORMATION in wanted:
        agent = encode(Option.AGENT_INFORMATION, lease.agent)
    return Told(MessageType.LEASEACTIVE, lease.address, lease.hardware, agent, octets)
