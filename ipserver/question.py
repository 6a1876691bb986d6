"""From a request to the question it asks: the client's state, its line, its subnet.

RFC 2131 tells a REQUEST's meaning by which of three fields are filled in (section
4.3.2, table 4); what a message must have and has not is dropped. Subnets are found in
the order VPN (RFC 6607), link selection (RFC 3527), subnet selection (RFC 3011),
giaddr; what a client itself says of its VPN and subnet counts where that is believed.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from msgspec import Struct

from ipserver.agent import NO_AGENT, AgentReader, Relayed, encode
from ipserver.ask import Ask, Message
from ipserver.dhcp import MessageType, Option
from ipserver.outcomes import Drop
from ipserver.packet import Query
from ipserver.relays import Relay, RelayTable

_DISCOVER: Final = int(MessageType.DISCOVER)
_REQUEST: Final = int(MessageType.REQUEST)
_REQUESTED: Final = int(Option.REQUESTED_ADDRESS)
_LEASE_TIME: Final = int(Option.LEASE_TIME)
_SERVER: Final = int(Option.SERVER_IDENTIFIER)
_WANTED: Final = int(Option.PARAMETER_REQUEST_LIST)
_CLIENT_ID: Final = int(Option.CLIENT_IDENTIFIER)
_RAPID_COMMIT: Final = int(Option.RAPID_COMMIT)
_AGENT: Final = int(Option.AGENT_INFORMATION)
_IPV6_ONLY: Final = int(Option.IPV6_ONLY_PREFERRED)
_SUBNET: Final = int(Option.SUBNET_SELECTION)
_VPN: Final = int(Option.VPN)
_NOWHERE: Final = bytes(4)
# A member looked up in its class costs as much as a call.
_DISCOVERING, _RAPID, _SELECTING = Message.DISCOVER, Message.RAPID, Message.SELECTING


class Question(Struct, frozen=True, gc=False):
    """A request that is to be answered, and what its reply needs of it.

    ``relay`` is None for a client that asks by itself. ``ask`` is None for what the
    allocation has no part in: INFORM and LEASEQUERY. ``repeated`` are options that the
    reply gives back because they were followed.
    """

    query: Query
    relay: Relay | None
    relayed: Relayed
    ask: Ask | None
    repeated: bytes = b""


class Questions:
    """Reads questions; ``subnet_selection`` tells whether option 118 is believed."""

    def __init__(self, relays: RelayTable, *, subnet_selection: bool) -> None:
        self._relays = relays
        self._subnet_selection = subnet_selection
        self._agents = AgentReader()

    def read(
        self, query: Query, relay: Relay | None, own: Container[bytes]
    ) -> Question | Drop:
        """Give the question, or why there is none. ``own`` are our addresses."""
        octets, kind, options = query.octets, query.type, query.options
        content = options.get(_AGENT)
        relayed = NO_AGENT if content is None else self._agents.read(content)
        area, giaddr, link, repeated = "", 0, relayed.link, b""
        if relay is not None:
            area, giaddr = relay.area, relay.giaddr
            vpn, believed = relayed.vpn, self._subnet_selection
            if believed and vpn is None and _VPN in options:
                vpn = options[_VPN]
                repeated = encode(_VPN, vpn)  # RFC 6607 section 7
            if vpn is not None:
                known = self._relays.area_of(relay, vpn)
                if known is None:
                    return Drop.VPN
                area = known
            if believed and not link and len(options.get(_SUBNET, b"")) == 4:
                link = options[_SUBNET]
                repeated += encode(_SUBNET, link)  # RFC 3011 section 3
        if kind == _DISCOVER:
            message = _RAPID if _RAPID_COMMIT in options else _DISCOVERING
            address = options.get(_REQUESTED, _NOWHERE)
        elif kind == _REQUEST:
            server = options.get(_SERVER)
            address = octets[12:16]
            if server is not None:
                message = _SELECTING
                address = options.get(_REQUESTED, _NOWHERE)
                if server != relayed.override and server not in own:
                    message = Message.ELSEWHERE
                elif len(address) != 4 or address == _NOWHERE:
                    return Drop.INCOMPLETE
            elif address != _NOWHERE:
                message = Message.RENEWING if relay is None else Message.REBINDING
            else:
                message = Message.INIT_REBOOT
                address = options.get(_REQUESTED, _NOWHERE)
                if len(address) != 4 or address == _NOWHERE:
                    return Drop.INCOMPLETE
        elif kind in _ENDINGS:
            message = _ENDINGS[kind]
            release = message is Message.RELEASE
            address = octets[12:16] if release else options.get(_REQUESTED, _NOWHERE)
            server = options.get(_SERVER)
            if server is None or len(address) != 4 or address == _NOWHERE:
                return Drop.INCOMPLETE
            if server != relayed.override and server not in own:
                return Drop.OTHER_SERVER
        else:
            return Question(query, relay, relayed, None, repeated)
        time = options.get(_LEASE_TIME)
        return Question(
            query,
            relay,
            relayed,
            Ask(
                message,
                area,
                giaddr,
                int.from_bytes(link) if link else giaddr,
                relayed.agent,
                options.get(_CLIENT_ID, b""),
                octets[1:2] + octets[28 : 28 + octets[2]],
                int.from_bytes(address) if len(address) == 4 else 0,
                int.from_bytes(time) if time is not None and len(time) == 4 else 0,
                _IPV6_ONLY in options.get(_WANTED, b""),
            ),
            repeated,
        )


_ENDINGS: Final[dict[int, Message]] = {
    MessageType.DECLINE: Message.DECLINE,
    MessageType.RELEASE: Message.RELEASE,
}
