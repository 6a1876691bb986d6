"""Which datagrams are served, and in which order: trust first, then rates, then turns.

A relay is believed when it is in the network file and speaks from its own address; a
client that asks by itself, when it does so from the address it asks about. Each line
and each relay has its rate, so that a flood from one changes nothing for another.

Requests and renewals have a queue of their own and four turns for one of the DISCOVERs:
a renewal that is not served ends a connection. While more comes than is served, the
newest go first: all of them would be as late as the queue is long, and their clients
may have given up. What has waited too long is dropped, and of a full queue the oldest:
its client has sent it again, or will.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from ipserver.dhcp import MessageType, Option
from ipserver.outcomes import Drop, Statistics
from ipserver.packet import Malformed, Query, read
from ipserver.ports import Received
from ipserver.rate import Buckets
from ipserver.relays import Relay, RelayTable

_NOWHERE: Final = bytes(4)
_AGENT: Final = int(Option.AGENT_INFORMATION)
_LEASEQUERY: Final = int(MessageType.LEASEQUERY)
_PORTION = 256
"""DISCOVERs served in a turn, of 10 ms at the most: one commit for all of them."""
_STANDING = 0.5
"""Seconds that the oldest has waited when a queue stands: after a pause of the disk it
is over sooner, and in turn nobody is too late."""
_PATIENT: Final = frozenset(
    map(int, (MessageType.DISCOVER, MessageType.INFORM, MessageType.LEASEQUERY))
)
_BY_THEMSELVES: Final = frozenset(
    {MessageType.REQUEST, MessageType.RELEASE, MessageType.INFORM}
)


class Limits(NamedTuple):
    """The bounds that the settings give: ``journal.queue_records`` and ``[dhcp]``."""

    hops_max: int
    line_per_second: int
    relay_per_second: int
    queue_packets: int
    queue_seconds: int
    queue_records: int
    parked_seconds: int
    parked_discovers: int


class Arrival(Struct, frozen=True, gc=False):
    """A request that may be served; ``listener`` is the place of its socket, ``relay``
    None for a client that asks by itself.
    """

    query: Query
    relay: Relay | None
    source: bytes
    local: bytes
    listener: int


class Intake:
    """Sorts what arrives. ``drop`` and ``malformed`` hear of what is not served.

    ``moment`` is the monotonic clock's seconds everywhere.
    """

    def __init__(
        self,
        limits: Limits,
        statistics: Statistics,
        *,
        drop: Callable[[str, Arrival], None],
        malformed: Callable[[Malformed, bytes, bytes], None],
    ) -> None:
        self._limits = limits
        self._statistics = statistics
        self._drop = drop
        self._malformed = malformed
        self._relays: dict[bytes, Relay] = {}
        self._relay_sources: frozenset[bytes] = frozenset()
        # Twice a second's packets at once: a CPE that starts sends a handful.
        self._lines = Buckets(limits.line_per_second, 2 * limits.line_per_second)
        self._by_relay = Buckets(limits.relay_per_second, limits.relay_per_second)
        self._urgent: deque[tuple[float, Arrival]] = deque()
        self._patient: deque[tuple[float, Arrival]] = deque()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._patient)

    def change_network(self, relays: RelayTable) -> None:
        """Trust the relays of a changed network."""
        self._relays = relays.by_giaddr
        self._relay_sources = relays.sources

    def sort(self, datagrams: Sequence[Received], listener: int, moment: float) -> None:
        """Queue what is to be served, and drop the rest."""
        relays, hops_max = self._relays, self._limits.hops_max
        lines, urgent, patient = self._lines, self._urgent, self._patient
        room = self._limits.queue_packets
        lines.turn(moment)
        self._by_relay.turn(moment)
        for octets, source, local in datagrams:
            query = read(octets, hops_max)
            if type(query) is not Query:
                assert isinstance(query, Malformed)
                self._malformed(query, octets, source)
                continue
            if query.truncated:
                self._statistics.truncated += 1
            giaddr = octets[24:28]
            relay = relays.get(giaddr)
            arrival = Arrival(query, relay, source, local, listener)
            nameless = queries = False
            if giaddr == _NOWHERE:
                wrong = self._alone(query, source[4:8])
                # One element between may speak for many lines.
                line = source[4:8] + query.options.get(_AGENT, b"")
            elif relay is None:
                wrong = Drop.UNKNOWN_RELAY
            elif source[4:8] not in relay.sources:
                wrong = Drop.SOURCE
            else:
                wrong, agent = None, query.options.get(_AGENT)
                # Only the client says who it is: it may be one that says many names.
                nameless = not agent
                # And a concentrator that queries leases is on no line.
                queries = nameless and query.type == _LEASEQUERY
                line = giaddr + (agent or octets[28:44])
            if wrong is not None:
                self._drop(wrong, arrival)
            elif not queries and not lines.take(line, moment):
                self._drop(Drop.LINE_RATE, arrival)
            else:
                can_wait = query.type in _PATIENT
                if (can_wait or nameless) and not self._by_relay.take(giaddr, moment):
                    self._drop(Drop.RELAY_RATE, arrival)
                    continue
                queue = patient if can_wait else urgent
                if len(queue) >= room:
                    self._drop(Drop.QUEUE_FULL, queue.popleft()[1])
                queue.append((moment, arrival))

    def take(self, moment: float) -> list[Arrival]:
        """Take a turn's portion of what waits, and drop what has waited too long."""
        stale, standing = moment - self._limits.queue_seconds, moment - _STANDING
        taken: list[Arrival] = []
        for queue, portion in ((self._urgent, 4 * _PORTION), (self._patient, _PORTION)):
            while queue and queue[0][0] < stale:
                self._drop(Drop.STALE, queue.popleft()[1])
            late = bool(queue) and queue[0][0] < standing
            take = queue.pop if late else queue.popleft
            taken += [take()[1] for _ in range(min(portion, len(queue)))]
        return taken

    def _alone(self, query: Query, source: bytes) -> Drop | None:
        """Tell what is wrong with a request that no relay passed on.

        A client may ask by itself once it has an address, from that address (RFC 2131
        sections 4.3.2, 4.3.5 and 4.4.6); all else needs a relay that says where it is.
        """
        client = query.octets[12:16]
        if query.type not in _BY_THEMSELVES or client == _NOWHERE:
            return Drop.NOT_RELAYED
        if _AGENT in query.options:
            # RFC 3046 section 2.1: only a trusted element between may have added it.
            return None if source in self._relay_sources else Drop.UNTRUSTED_AGENT
        return None if source == client else Drop.SOURCE
