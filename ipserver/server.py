"""The DHCP edge: receive, trust, read, ask the allocation, journal, reply, in turn.

An ACK leaves when its lease is on the disk (RFC 2131 section 3.1, step 4), and what the
allocation has nothing new to record of leaves at once, unless its lease waits for the
disk. A block that the disk refused is kept and written before anything newer, because
the allocation knows its leases already: nothing may be acknowledged from memory that
the journal lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from config.network import Network
from ipserver.answer import Ack, Done, Nak, Offer, Park
from ipserver.dhcp import MessageType, Option
from ipserver.intake import Arrival, Intake, Limits
from ipserver.leasequery import LeaseQueries
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import TURNS_TIMED_MAX, Drop, Sighting
from ipserver.packet import Malformed, Query
from ipserver.parking import Parking
from ipserver.ports import RECEIVED_AT_ONCE, Answers, Commits, Endpoint, Reply
from ipserver.question import Question, Questions
from ipserver.relays import RelayTable
from ipserver.replies import Replies

_READS = 32
"""Receive calls in a row: 2,048 datagrams, more than are served in a turn, so that what
is too much waits, ages and is dropped here and not in the kernel, where it would delay
all that comes behind it."""

_OWN_ADDRESSES = 4096
"""Local addresses remembered: as many as a host has."""

_REQUEST: Final = int(MessageType.REQUEST)
_AGENT: Final = int(Option.AGENT_INFORMATION)
_NO_PORT: Final = bytes(2)
_OFFER, _ACK = MessageType.OFFER, MessageType.ACK


class DhcpServer:
    """Serves the DHCP sockets of one process.

    ``identifier_of`` gives the address (4 octets) that a datagram came to, by its local
    address as the endpoint told it. ``clock`` is the allocation's time in seconds,
    ``monotonic`` another for intervals, ``time_ns`` the wall clock in ns since 1970.
    ``watch`` is set while someone traces.
    """

    def __init__(
        self,
        *,
        answers: Answers,
        commits: Commits,
        replies: Replies,
        lease_queries: LeaseQueries,
        limits: Limits,
        subnet_selection: bool,
        identifier_of: Callable[[int, bytes], bytes],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        time_ns: Callable[[], int],
    ) -> None:
        self._answers = answers
        self._commits = commits
        self._replies = replies
        self._lease_queries = lease_queries
        self._queue_records = limits.queue_records
        self._subnet_selection = subnet_selection
        self._identifier_of = identifier_of
        self._clock = clock
        self._monotonic = monotonic
        self._time_ns = time_ns
        self._identifiers: dict[tuple[int, bytes], bytes] = {}
        self._own: set[bytes] = {replies.identifier}
        self.statistics = replies.statistics
        self._intake = Intake(
            limits, self.statistics, drop=self._drop, malformed=self._malformed
        )
        self._questions = Questions(RelayTable(Network()), subnet_selection=False)
        self._endpoints: list[Endpoint] = []
        self._out: list[list[Reply]] = []
        self._parking = Parking(limits.parked_discovers, limits.parked_seconds)
        self._now = 0.0
        self._moment = 0.0
        # The block that fills, the leases and exchanges that wait for it, and those of
        # the block that is being written.
        self._block: list[bytes] = []
        self._waiting: list[tuple[Arrival, tuple[bytes, bytes], str]] = []
        self._told: list[Callable[[], None]] = []
        self._received_at_ns = 0
        self._leases: set[int] = set()
        self._leases_under_way: set[int] = set()
        self._exchanges: set[bytes] = set()
        self._exchanges_under_way: set[bytes] = set()
        self.watch: Callable[[Sighting], None] | None = None

    @property
    def queued(self) -> int:
        """How many records wait for the journal."""
        return len(self._block)

    def change_network(self, relays: RelayTable, options: NetworkOptions) -> None:
        """Serve a changed network from the next datagram on."""
        self._intake.change_network(relays)
        self._questions = Questions(relays, subnet_selection=self._subnet_selection)
        self._replies.change_network(options)
        self._lease_queries.change_network(options)

    def listen(self, endpoint: Endpoint) -> Callable[[], bool]:
        """Take on a bound socket; give the function to call when it is readable.

        It says whether anything was there to read.
        """
        self._endpoints.append(endpoint)
        self._out.append([])
        place = len(self._endpoints) - 1
        return lambda: self._readable(place)

    def granted(self, request: str) -> None:
        """Answer who was parked for an over-allocation request that is decided."""
        self._read_clocks()
        for arrival, question in self._parking.take(request):
            came_to = self._came_to(arrival.listener, arrival.local)
            self._answer(arrival, question, came_to)
        self._send()
        self._commit()

    def record(self, octets: bytes, durable: Callable[[], None] | None = None) -> None:
        """Journal a change; ``durable`` is called when it is on the disk."""
        if not self._block:
            self._received_at_ns = self._time_ns()
        self._block.append(octets)
        if durable is not None:
            self._told.append(durable)

    def turn(self) -> None:
        """Do what time asks for; call it a few times a second."""
        for arrival in self._parking.overdue(self._monotonic()):
            self._drop(Drop.PARKED_TOO_LONG, arrival)
        self._commit()

    # --- from the socket to the question -------------------------------------

    def _read_clocks(self) -> None:
        self._moment = self._monotonic()
        self._now = self._clock()

    def _readable(self, place: int) -> bool:
        endpoint, intake = self._endpoints[place], self._intake
        found = False
        while True:
            self._read_clocks()
            drained = False
            for _ in range(_READS):
                datagrams = endpoint.receive()
                if datagrams:
                    found = True
                    intake.sort(datagrams, place, self._moment)
                if len(datagrams) < RECEIVED_AT_ONCE:
                    drained = True
                    break
            arrivals = intake.take(self._moment)
            if arrivals:
                self._serve_all(arrivals)
            self._send()
            self._commit()
            # What the kernel still holds makes the socket readable again at once.
            if not drained or not intake:
                return found

    def _serve_all(self, arrivals: list[Arrival]) -> None:
        began = self._monotonic()
        for arrival in arrivals:
            self._serve(arrival)
        seconds = self.statistics.seconds
        if len(seconds) < TURNS_TIMED_MAX:
            seconds.append((self._monotonic() - began) / len(arrivals))

    def _serve(self, arrival: Arrival) -> None:
        query = arrival.query
        if query.type == _REQUEST and (self._exchanges or self._exchanges_under_way):
            exchange = _exchange(query)
            if exchange in self._exchanges or exchange in self._exchanges_under_way:
                self._drop(Drop.IN_PROGRESS, arrival)
                return
        if len(self._block) >= self._queue_records:
            self._drop(Drop.JOURNAL, arrival)
            return
        place, local = arrival.listener, arrival.local
        came_to = self._identifiers.get((place, local)) or self._came_to(place, local)
        question = self._questions.read(query, arrival.relay, self._own)
        if type(question) is Question:
            if question.relayed.port and arrival.source[2:4] == _NO_PORT:
                # Nobody listens there: nothing is offered that is never heard.
                self._drop(Drop.RELAY_PORT, arrival)
                return
            self._answer(arrival, question, came_to)
        else:
            assert isinstance(question, Drop)
            self._drop(question, arrival)

    def _came_to(self, place: int, local: bytes) -> bytes:
        """Give the address that a datagram came to, which is one of this server's."""
        known = self._identifiers.get((place, local))
        if known is not None:
            return known
        if len(self._identifiers) >= _OWN_ADDRESSES:
            self._identifiers.clear()
            self._own.intersection_update({self._replies.identifier})
        address = self._identifier_of(place, local)
        self._identifiers[place, local] = address
        self._own.add(address)
        return address

    # --- from the question to the reply --------------------------------------

    def _answer(self, arrival: Arrival, question: Question, came_to: bytes) -> None:
        source, ask = arrival.source, question.ask
        if ask is None:
            self._tell(arrival, question, came_to)
            return
        answer = self._answers.answer(ask, self._now)
        if isinstance(answer, Offer):
            lease = answer.lease
            reply = self._replies.lease(_OFFER, question, lease, source, came_to)
            self._reply(arrival, reply, "offer", lease.reason)
        elif isinstance(answer, Ack):
            reply = self._replies.lease(_ACK, question, answer.lease, source, came_to)
            self._acknowledge(arrival, answer, reply)
        elif isinstance(answer, Nak):
            reply = self._replies.nak(question, source, came_to)
            self._reply(arrival, reply, "nak", answer.reason)
        elif isinstance(answer, Done):
            if answer.record is not None:
                self.record(answer.record)
            self._count(arrival, "taken", answer.reason)
        elif isinstance(answer, Park):
            if self._parking.park(answer.request, self._moment, arrival, question):
                self._count(arrival, "parked", "parked")
            else:
                self._drop(Drop.PARKED_FULL, arrival)
        else:
            self._drop(answer.reason, arrival)

    def _tell(self, arrival: Arrival, question: Question, came_to: bytes) -> None:
        """Answer what is only a question: INFORM and LEASEQUERY."""
        if question.query.type == MessageType.INFORM:
            pool_of = self._answers.pool_leasing
            reply = self._replies.inform(question, pool_of, arrival.source, came_to)
            self._reply(arrival, reply, "ack", "inform")
            return
        source = arrival.source
        told = self._lease_queries.answer(question, source[4:8], self._now)
        if isinstance(told, Drop):
            self._drop(told, arrival)
            return
        reply = self._replies.told(question, told, source, came_to)
        self._reply(arrival, reply, told.type.name.lower(), "leasequery")

    def _reply(
        self, arrival: Arrival, reply: tuple[bytes, bytes], result: str, reason: str
    ) -> None:
        octets, target = reply
        self._out[arrival.listener].append((octets, target, arrival.local))
        self._count(arrival, result, reason)

    def _acknowledge(
        self, arrival: Arrival, answer: Ack, reply: tuple[bytes, bytes]
    ) -> None:
        """Send an ACK once the disk has its lease: now, if that is so already."""
        address, reason = answer.lease.address, answer.lease.reason
        if answer.record is not None:
            self.record(answer.record)
        elif address not in self._leases and address not in self._leases_under_way:
            self._reply(arrival, reply, "ack", reason)
            return
        self._leases.add(address)
        self._exchanges.add(_exchange(arrival.query))
        self._waiting.append((arrival, reply, reason))

    def _commit(self) -> None:
        """Commit the block unless one is under way; then it goes on filling."""
        if not self._block or self._commits.busy or not self._commits.accepts:
            return
        block, self._block = self._block, []
        told, self._told = self._told, []
        waiting, self._waiting = self._waiting, []
        self._leases_under_way, self._leases = self._leases, set()
        self._exchanges_under_way, self._exchanges = self._exchanges, set()

        def done(error: Exception | None) -> None:
            under_way, self._leases_under_way = self._leases_under_way, set()
            self._exchanges_under_way = set()
            if error is not None:
                # Memory has these leases: they stay in front of all that follows.
                self._block[:0] = block
                self._told[:0] = told
                self._leases |= under_way
                for arrival, _, _ in waiting:
                    self._drop(Drop.JOURNAL, arrival)
                return
            for arrival, reply, reason in waiting:
                self._reply(arrival, reply, "ack", reason)
            self._send()
            for durable in told:
                durable()
            self._commit()

        self._commits.commit(
            b"".join(block),
            records=len(block),
            received_at_ns=self._received_at_ns,
            done=done,
        )

    def _send(self) -> None:
        for place, replies in enumerate(self._out):
            if replies:
                self._out[place] = []
                self._endpoints[place].send(replies)

    # --- what is counted and shown -------------------------------------------

    def _count(self, arrival: Arrival, result: str, reason: str) -> None:
        key, answered = (arrival.query.type, result, reason), self.statistics.answered
        answered[key] = answered.get(key, 0) + 1
        if self.watch is not None:
            self._see(arrival, f"{result} {reason}")

    def _drop(self, reason: str, arrival: Arrival) -> None:
        self.statistics.unanswered[arrival.query.type] += 1
        self.statistics.dropped[reason] += 1
        if self.watch is not None:
            self._see(arrival, reason)

    def _see(self, arrival: Arrival, outcome: str) -> None:
        assert self.watch is not None
        name = arrival.relay.name if arrival.relay is not None else ""
        self.watch(Sighting(arrival.query.octets, arrival.source, name, outcome))

    def _malformed(self, reason: Malformed, octets: bytes, source: bytes) -> None:
        self.statistics.malformed[reason] += 1
        if self.watch is not None:
            self.watch(Sighting(octets, source, "", reason))


def _exchange(query: Query) -> bytes:
    """Give what a retransmission has again: xid, relay, hardware address and line."""
    octets = query.octets
    return octets[4:8] + octets[24:44] + query.options.get(_AGENT, b"")
