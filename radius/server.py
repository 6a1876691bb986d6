"""The UDP edge: receive, verify, know duplicates, journal, answer; in that order.

Nothing is answered before the journal has it (RFC 2866 section 2), and what cannot be
recorded is met with silence and a counter, so that the NAS tries again or turns to
another server. A datagram costs a dictionary look-up, a comparison of its types and
lengths with known ones, or a walk over them, one MD5 to verify, a look into the
duplicates, its share of a group commit, and one MD5 to answer; nothing else of it is
decoded here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from radius.access_reply import access_reply
from radius.access_server import AccessServer
from radius.asked import Asked, WayOut
from radius.duplicates import Duplicates
from radius.nas import NasTable
from radius.outcomes import Drop, Sighting, Statistics
from radius.overload import kept_from
from radius.packet import (
    NOTHING_NOTABLE,
    Code,
    Malformed,
    Notable,
    accounting_response,
    is_message_authentic,
    is_request_authentic,
    trim,
    walk,
)
from radius.request_layouts import RequestLayouts
from radius.sources import Source, Sources

_READS = 8
"""Receive calls in a row before the loop has its turn: 512 datagrams, about 6 ms."""

CODES = {
    "accounting": frozenset({Code.ACCOUNTING_REQUEST, Code.STATUS_SERVER}),
    "authentication": frozenset({Code.ACCESS_REQUEST, Code.STATUS_SERVER}),
}
"""Which packets a port takes; any other is dropped (RFC 2865 section 3)."""

Received = tuple[bytes, bytes, bytes]
"""Octets, the sender's sockaddr, the local address they came to."""

Reply = tuple[bytes, bytes, bytes]
"""Octets, the sockaddr they go to, the local address they leave from."""


class Endpoint(WayOut, Protocol):
    """The socket as this module needs it; ``daemon.datagrams`` has the real one."""

    def receive(self) -> Sequence[Received]:
        """Give some datagrams that wait, or none."""


class Commits(Protocol):
    """The group commit as this module needs it; ``storage.group_commit`` has it."""

    @property
    def busy(self) -> bool:
        """Whether a commit is under way."""

    @property
    def accepts(self) -> bool:
        """Whether a block may be tried now."""

    @property
    def failure(self) -> str | None:
        """Why the last commit failed, or None."""

    def commit(
        self,
        octets: bytes,
        *,
        records: int,
        received_at_ns: int,
        done: Callable[[Exception | None], None],
    ) -> None:
        """Make a block durable and tell how it ended."""


class _Listener:
    """A socket with what belongs to it alone."""

    def __init__(self, endpoint: Endpoint, kind: str, seconds: int) -> None:
        self.endpoint = endpoint
        self.kind = kind
        self.codes = CODES[kind]
        self.duplicates = Duplicates[int](lifetime=seconds)
        self.replies: list[Reply] = []
        self.keys: list[bytes] = []


class RadiusServer:
    """Serves the RADIUS sockets of one process.

    ``address_of`` a sockaddr is text, ``origin_of`` it and a NAS's name what the
    journal has; ``on_unknown`` hears the address of a datagram of no NAS; ``access``
    answers Access-Requests, dropped without it, and counts in the same ``statistics``.
    ``watch`` is set while someone traces. ``time_ns`` is since 1970.
    """

    def __init__(
        self,
        *,
        table: NasTable,
        commits: Commits,
        address_of: Callable[[bytes], str],
        origin_of: Callable[[bytes, str], bytes],
        monotonic: Callable[[], float],
        time_ns: Callable[[], int],
        duplicate_seconds: int,
        queue_records: int,
        status_server_per_second: int,
        on_unknown: Callable[[str], None],
        access: AccessServer | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self._access = access
        self._sources = Sources(
            table, address_of=address_of, origin_of=origin_of, on_unknown=on_unknown
        )
        self._commits = commits
        self._monotonic = monotonic
        self._time_ns = time_ns
        self._duplicate_seconds = duplicate_seconds
        self._queue_records = queue_records
        self._status_server_per_second = status_server_per_second
        self._layouts = RequestLayouts()
        self._listeners: list[_Listener] = []
        self._status_second = 0
        self._status_counts: Counter[str] = Counter()
        self._block: list[bytes] = []
        self._taken: dict[str, int] = {}
        self._received_at_ns = 0
        self._batch = 1
        self._committed = 0
        self.queued = 0
        self.statistics = statistics or Statistics()
        self.watch: Callable[[Sighting], None] | None = None

    def listen(self, endpoint: Endpoint, kind: str) -> Callable[[], bool]:
        """Take on a bound socket; give the function to call when it is readable, which
        says whether anything was there to read."""
        listener = _Listener(endpoint, kind, self._duplicate_seconds)
        self._listeners.append(listener)
        return lambda: self._readable(listener)

    def change_table(self, table: NasTable) -> None:
        """Serve a changed set of NAS from the next datagram on."""
        self._sources.change_table(table)

    def _readable(self, listener: _Listener) -> bool:
        listener.duplicates.turn(self._monotonic())
        if self._access is not None and listener.kind == "authentication":
            self._access.turn()
        for read in range(_READS):
            datagrams = listener.endpoint.receive()
            if not datagrams:
                self._end_of_read(listener)
                return read > 0
            self._take(listener, datagrams)
        self._end_of_read(listener)
        return True

    def _end_of_read(self, listener: _Listener) -> None:
        if self._access is not None and listener.kind == "authentication":
            self._access.flush()
        self._commit()

    def _take(self, listener: _Listener, datagrams: Sequence[Received]) -> None:
        """Decide about each datagram; what is new goes into the block."""
        sources, layouts, taken = self._sources.known, self._layouts, self._taken
        block, replies, keys = self._block, listener.replies, listener.keys
        duplicates, batch_number, watch = listener.duplicates, self._batch, self.watch
        accounting = Code.ACCOUNTING_REQUEST in listener.codes
        room, reserve = self._queue_records - self.queued, self._queue_records // 4
        ample = room - len(datagrams) > reserve
        if not self.queued:
            self._received_at_ns = self._time_ns()
        before = len(replies)
        for octets, address, local in datagrams:
            source = sources.get(address) or self._sources.find(address)
            if source is None:
                self._drop(Drop.UNKNOWN_SOURCE, octets, address, "")
                continue
            if known := accounting and layouts.hold(octets):
                packet, notable = octets, NOTHING_NOTABLE
            else:
                checked = self._check(octets, address, source)
                if checked is None:
                    continue
                packet, notable = checked
                if packet[0] != 4 or not accounting:
                    self._serve_other(listener, packet, notable, address, local, source)
                    continue
            secret = source.secret
            if not is_request_authentic(packet, secret):
                secret = source.other_secret(packet)
                if not secret:
                    self._drop(Drop.AUTHENTICATOR, packet, address, source.name)
                    continue
            if not known:
                place = notable.message_authenticator
                if place and not is_message_authentic(packet, place, secret):
                    self._drop(Drop.MESSAGE_AUTHENTICATOR, packet, address, source.name)
                    continue
                layouts.learn(packet, notable)
            reply = accounting_response(packet, secret, notable.proxy_states)
            key = address + packet[4:20]
            if (batch := duplicates.known(key)) is not None:
                again = (reply, address, local)
                self._duplicate(listener, batch, again, packet, source)
                continue
            if not ample:
                left = room - (len(replies) - before)
                if left <= reserve and left <= kept_from(packet, self._queue_records):
                    self._drop(Drop.QUEUE_FULL, packet, address, source.name)
                    continue
            duplicates.young[key] = batch_number
            keys.append(key)
            block += (source.origin, packet)
            replies.append((reply, address, local))
            name = source.name
            taken[name] = taken.get(name, 0) + 1
            if watch is not None:
                watch(Sighting(packet, address, name, "journaled"))
        self.queued += len(replies) - before

    def _check(
        self, octets: bytes, address: bytes, source: Source
    ) -> tuple[bytes, Notable] | None:
        """Give the packet in a datagram and what a walk found, if it is one."""
        packet = trim(octets)
        notable = walk(packet) if type(packet) is bytes else packet
        if type(notable) is Malformed:
            self.statistics.malformed[source.name, notable] += 1
            self._see(octets, address, source.name, notable)
            return None
        assert isinstance(packet, bytes)
        assert isinstance(notable, Notable)
        return packet, notable

    def _duplicate(
        self,
        listener: _Listener,
        batch: int,
        again: Reply,
        packet: bytes,
        source: Source,
    ) -> None:
        """Answer a retransmission of what is durable; leave what is under way alone."""
        self.statistics.duplicates[source.name] += 1
        if batch > self._committed:
            self._drop(Drop.IN_PROGRESS, packet, again[1], source.name)
            return
        listener.endpoint.send([again])
        self.statistics.requests[source.name, "accounting", "answered_again"] += 1
        self._see(packet, again[1], source.name, "answered again")

    def _serve_other(
        self,
        listener: _Listener,
        packet: bytes,
        notable: Notable,
        address: bytes,
        local: bytes,
        source: Source,
    ) -> None:
        """Answer access and Status-Server; drop what the port does not take."""
        name, code = source.name, packet[0]
        access = self._access if code == Code.ACCESS_REQUEST else None
        if code not in listener.codes or (access is None and code != 12):
            self._drop(Drop.CODE, packet, address, name)
            return
        place = notable.message_authenticator
        secret = source.signed_with(packet, place) if place else source.secret
        if secret is None:
            self._drop(Drop.MESSAGE_AUTHENTICATOR, packet, address, name)
        elif access is not None:
            access.take(
                Asked(
                    listener.endpoint,
                    packet,
                    notable.proxy_states,
                    source.client,
                    secret,
                    is_signed=place > 0,
                    address=address,
                    local=local,
                )
            )
        elif not place:
            self._drop(Drop.MESSAGE_AUTHENTICATOR_MISSING, packet, address, name)
        elif self._commits.failure is not None:
            # RFC 5997 section 4.2 allows silence, and silence moves the NAS to a
            # server that can record.
            self._drop(Drop.JOURNAL, packet, address, name)
        elif self._over_status_rate(name):
            self._drop(Drop.RATE, packet, address, name)
        else:
            if listener.kind == "accounting":
                reply = accounting_response(packet, secret, notable.proxy_states)
            else:
                states = notable.proxy_states
                reply = access_reply(Code.ACCESS_ACCEPT, packet, secret, b"", states)
            listener.endpoint.send([(reply, address, local)])
            self.statistics.requests[name, "status", "answered"] += 1
            self._see(packet, address, name, "status answered")

    def _over_status_rate(self, name: str) -> bool:
        second = int(self._monotonic())
        if second != self._status_second:
            self._status_second = second
            self._status_counts.clear()
        self._status_counts[name] += 1
        return self._status_counts[name] > self._status_server_per_second

    def _drop(self, reason: Drop, octets: bytes, address: bytes, nas: str) -> None:
        self.statistics.dropped[nas, reason] += 1
        self._see(octets, address, nas, reason)

    def _see(self, octets: bytes, address: bytes, nas: str, outcome: str) -> None:
        if self.watch is not None:
            self.watch(Sighting(octets, address, nas, outcome))

    def _commit(self) -> None:
        """Commit the block unless one is under way; then it goes on filling."""
        if not self.queued or self._commits.busy:
            return
        waiting = [
            (listener, listener.replies, listener.keys)
            for listener in self._listeners
            if listener.replies
        ]
        for listener, _, _ in waiting:
            listener.replies, listener.keys = [], []
        block, taken, records = self._block, self._taken, self.queued
        self._block, self._taken, self.queued = [], {}, 0
        batch, self._batch = self._batch, self._batch + 1

        def done(error: Exception | None) -> None:
            if error is None:
                self._committed = batch
                for listener, replies, _ in waiting:
                    listener.endpoint.send(replies)
            else:
                for listener, _, keys in waiting:
                    listener.duplicates.forget(keys)
            for name, count in taken.items():
                if error is None:
                    self.statistics.requests[name, "accounting", "answered"] += count
                else:
                    self.statistics.dropped[name, Drop.JOURNAL] += count
            self._commit()

        if self._commits.accepts:
            self._commits.commit(
                b"".join(block),
                records=records,
                received_at_ns=self._received_at_ns,
                done=done,
            )
        else:
            done(OSError(self._commits.failure))
