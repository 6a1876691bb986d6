"""What each kind of reply has in it and where it goes (RFC 2131 sections 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ipserver.agent import encode
from ipserver.answer import Lease
from ipserver.dhcp import CHADDR_OCTETS, CLIENT_PORT, MessageType, Option
from ipserver.leasequery import Told
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import Statistics
from ipserver.question import Question
from ipserver.relays import sockaddr
from ipserver.reply import (
    Content,
    build,
    build_lease,
    size_limit,
    squeeze,
    times,
)

_WANTED: Final = int(Option.PARAMETER_REQUEST_LIST)
_CLIENT_ID: Final = int(Option.CLIENT_IDENTIFIER)
_MAXIMUM: Final = int(Option.MAXIMUM_SIZE)
_IPV6_ONLY: Final = int(Option.IPV6_ONLY_PREFERRED)
_NOWHERE: Final = bytes(4)
_ACK: Final = MessageType.ACK
_DISCOVER: Final = int(MessageType.DISCOVER)
_RAPID_COMMIT: Final = encode(Option.RAPID_COMMIT, b"")

_HEADS: Final = {
    int(kind): encode(Option.MESSAGE_TYPE, bytes((kind,)))
    + bytes((Option.SERVER_IDENTIFIER, 4))
    for kind in MessageType
}
"""Options 53 and 54 but for the address."""

Addressed = tuple[bytes, bytes]
"""A reply's octets and the sockaddr that they go to."""


class Replies:
    """Makes replies.

    ``identifier`` is this server's address (4 octets) in option 54; empty for the
    address that each request came to, which every method gets as ``came_to``.
    ``to_source`` sends replies back to where the request came from, whatever it says:
    perfdhcp stands for many relays at one address and needs it; no network does.
    """

    def __init__(
        self,
        options: NetworkOptions,
        statistics: Statistics,
        *,
        identifier: bytes = b"",
        to_source: bool = False,
    ) -> None:
        self._options = options
        self._to_source = to_source
        self.statistics = statistics
        self.identifier = identifier

    def change_network(self, options: NetworkOptions) -> None:
        """Take the options of a changed network."""
        self._options = options

    def lease(
        self,
        kind: MessageType,
        question: Question,
        lease: Lease,
        source: bytes,
        came_to: bytes,
    ) -> Addressed:
        """Make a DHCPOFFER or DHCPACK with an address, or with none (RFC 8925)."""
        query, relay, relayed = question.query, question.relay, question.relayed
        octets, options = query.octets, query.options
        protocol = _HEADS[kind] + (relayed.override or self.identifier or came_to)
        more = self._more(question) if _CLIENT_ID in options else question.repeated
        if kind is _ACK and query.type == _DISCOVER:
            more += _RAPID_COMMIT  # RFC 4039 section 3.1
        if lease.ipv6_only_seconds:
            more += encode(_IPV6_ONLY, lease.ipv6_only_seconds.to_bytes(4))
        client = octets[12:16] if kind is _ACK else _NOWHERE
        pool, address, echo = lease.pool, lease.address, relayed.echo
        tail = self._options.tail(pool, address, options.get(_WANTED, b""))
        whole = build_lease(octets, client, lease, protocol, more, tail, echo)
        if whole is None:
            own = protocol + times(lease.seconds, lease.t1, lease.t2) + more
            limit = size_limit(options.get(_MAXIMUM, b""))
            content = Content(own, echo, limit, address.to_bytes(4), client)
            whole = self._whole(question, content, pool, address)
        if relay is None or relayed.port or self._to_source:
            return whole, self._target(question, source)
        return whole, relay.target

    def nak(self, question: Question, source: bytes, came_to: bytes) -> Addressed:
        """Make a DHCPNAK: no address and no options of the network.

        Through a relay it has the broadcast bit, because the address that the client
        hears under is wrong (RFC 2131 section 4.3.2).
        """
        content = Content(
            self._own(MessageType.NAK, question, came_to),
            question.relayed.echo,
            size_limit(b""),
            broadcast=question.relay is not None,
        )
        return self._whole(question, content, "", 0), self._target(question, source)

    def inform(
        self,
        question: Question,
        pool_of: Callable[[int], str],
        source: bytes,
        came_to: bytes,
    ) -> Addressed:
        """Answer a DHCPINFORM: no address and no lease time (RFC 2131 section 4.3.5).

        It goes to ciaddr; without one through the relay, by broadcast. ``pool_of``
        names the pool that leases an address, whose options they are.
        """
        octets, options = question.query.octets, question.query.options
        client, relay = octets[12:16], question.relay
        address = int.from_bytes(client) or (relay.giaddr if relay is not None else 0)
        content = Content(
            self._own(MessageType.ACK, question, came_to),
            question.relayed.echo,
            size_limit(options.get(_MAXIMUM, b"")),
            client=client,
            broadcast=client == _NOWHERE,
        )
        whole = self._whole(question, content, pool_of(address), address)
        if client == _NOWHERE or self._to_source:
            return whole, self._target(question, source)
        return whole, sockaddr(client, CLIENT_PORT)

    def told(
        self, question: Question, told: Told, source: bytes, came_to: bytes
    ) -> Addressed:
        """Answer a DHCPLEASEQUERY: the header speaks of the client asked about, and so
        does option 82 (RFC 4388 section 6.4.2).
        """
        octets = question.query.octets
        if told.hardware:
            kind, address = told.hardware[:1], told.hardware[1:]
            octets = b"".join(
                (
                    octets[:1] + kind + bytes((len(address),)),
                    octets[3:28],
                    address.ljust(CHADDR_OCTETS, b"\0"),
                )
            )
        content = Content(
            self._head(told.type, question, came_to) + told.options,
            told.agent,
            size_limit(question.query.options.get(_MAXIMUM, b"")),
            client=told.address.to_bytes(4),
        )
        whole = build(octets, content, b"")
        if whole is None:
            whole = squeeze(octets, content, ()).octets
        return whole, self._target(question, source)

    def _head(self, kind: MessageType, question: Question, came_to: bytes) -> bytes:
        """Encode type and server identifier, the relay's where it asks (RFC 5107)."""
        override = question.relayed.override
        return _HEADS[kind] + (override or self.identifier or came_to)

    def _own(self, kind: MessageType, question: Question, came_to: bytes) -> bytes:
        return self._head(kind, question, came_to) + self._more(question)

    def _more(self, question: Question) -> bytes:
        client_id = question.query.options.get(_CLIENT_ID)
        if client_id is None:
            return question.repeated
        # RFC 6842 section 3: in every reply, whatever table 3 of RFC 2131 says.
        return question.repeated + encode(_CLIENT_ID, client_id)

    def _whole(
        self, question: Question, content: Content, pool: str, address: int
    ) -> bytes:
        query = question.query
        wanted = query.options.get(_WANTED, b"")
        tail = self._options.tail(pool, address, wanted) if pool else b""
        whole = build(query.octets, content, tail)
        if whole is not None:
            return whole
        pieces = self._options.options(pool, address, wanted) if pool else []
        squeezed = squeeze(query.octets, content, pieces)
        self.statistics.without_agent += squeezed.without_agent
        self.statistics.without_options += squeezed.without_options
        return squeezed.octets

    def _target(self, question: Question, source: bytes) -> bytes:
        """Give where a reply goes: to giaddr, even with link selection; to the port it
        came from where the relay says so (RFC 8357 section 5); else to the client.
        """
        if self._to_source:
            return source
        octets, relay = question.query.octets, question.relay
        if relay is None:
            return sockaddr(octets[12:16], CLIENT_PORT)
        if question.relayed.port:
            return sockaddr(octets[24:28], int.from_bytes(source[2:4]))
        return relay.target
