"""The role ``ipserver``: DHCP sockets on one side, leases in memory, a journal.

It needs nothing else to answer: the leases are those of the database and the journal,
read at the start; the network is followed, and its last copy serves while the database
is away. It owns all blocks of addresses, so there is one of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from netaddr import IPAddress

from config.network import Network
from config.schema import Settings
from daemon import clock
from daemon.datagrams import DatagramSocket, address_of, arrived_at
from daemon.network_feed import POLL_SECONDS, NetworkFeed, network_of
from daemon.role import RoleContext
from daemon.role_journal import DRAIN_READS, journal_folder, open_journal
from ipserver.allocation import Allocation
from ipserver.dhcp import MessageType
from ipserver.intake import Limits
from ipserver.known_leases import KnownLeases
from ipserver.leasequery import LeaseQueries
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import Sighting, Statistics
from ipserver.packet import Query, read
from ipserver.records import entries
from ipserver.relays import RelayTable
from ipserver.replies import Replies
from ipserver.server import DhcpServer
from storage.database import open_database
from storage.group_commit import GroupCommit
from storage.journal import JournalReader
from telemetry import logs, metrics

REPLY_TO_SOURCE_VARIABLE = "DHCP_REPLY_TO_SOURCE"
"""For tests alone: "1" sends each reply back to where its request came from, instead of
to giaddr or the client. perfdhcp stands for many relays at one address."""

_TURN_SECONDS = 0.25
_TURN_LEASES = 2000
"""Leases ended before packets have their turn again: about 5 ms."""
_LOAD_RECORDS = 5000


class LeaseClock:
    """The leases' time: the wall clock's at the start, and never jumping after it."""

    def __init__(self) -> None:
        self._ahead = clock.now() - clock.monotonic()

    def now(self) -> float:
        """Seconds on this clock."""
        return clock.monotonic() + self._ahead

    def skew(self) -> float:
        """Seconds that the wall clock is ahead of this one."""
        return clock.now() - self.now()


class _Observer:
    """Turns plain counts into metrics, once a second, off the packet path."""

    def __init__(self) -> None:
        self._drops: dict[DatagramSocket, int] = {}

    def commit(self, seconds: float, held: bool) -> None:
        metrics.JOURNAL_COMMIT_SECONDS.observe(seconds)
        if not held:
            metrics.JOURNAL_COMMIT_FAILURES.inc()

    def publish(self, statistics: Statistics, endpoints: list[DatagramSocket]) -> None:
        for (kind, result), count in statistics.messages.items():
            metrics.DHCP_MESSAGES.labels(kind, result).inc(count)
        for (result, reason), count in statistics.reasons.items():
            metrics.DHCP_ANSWERS.labels(result, reason).inc(count)
        for reason, count in statistics.dropped.items():
            metrics.DHCP_DROPPED.labels(reason).inc(count)
        for reason, count in statistics.malformed.items():
            metrics.DHCP_MALFORMED.labels(reason).inc(count)
        metrics.DHCP_LEFT_OUT.labels("agent").inc(statistics.without_agent)
        metrics.DHCP_LEFT_OUT.labels("options").inc(statistics.without_options)
        statistics.clear()
        for endpoint in endpoints:
            drops = endpoint.kernel_drops()
            metrics.DHCP_RECEIVE_QUEUE_DROPS.inc(drops - self._drops.get(endpoint, 0))
            self._drops[endpoint] = drops

    def pools(self, allocation: Allocation, network: Network) -> None:
        for pool in network.pool:
            usage = allocation.pool_usage(pool.name)
            for state in ("leased", "offered", "declined", "cooling", "free"):
                count = getattr(usage, state)
                metrics.POOL_ADDRESSES.labels(pool.name, state).set(count)


class _Tracer:
    """Shows each datagram that a live trace asks for, and what became of it."""

    def __init__(self, role: RoleContext, hops_max: int) -> None:
        self._role = role
        self._hops_max = hops_max

    def __call__(self, sighting: Sighting) -> None:
        tracing = self._role.tracing
        if tracing is None or not tracing.matches(
            nas=sighting.relay, user="", now=clock.now()
        ):
            return
        address, port = address_of(sighting.source)
        query = read(sighting.octets, self._hops_max)
        event: dict[str, Any] = {
            "nas": sighting.relay,
            "user": "",
            "source": f"{address} port {port}",
            "decision": sighting.outcome,
        }
        if isinstance(query, Query):
            event["packet"] = f"DHCP{MessageType(query.type).name}"
            event["hardware"] = query.octets[28 : 28 + query.octets[2]].hex(":")
            event["attributes"] = {
                f"option {code}": content.hex(" ")
                for code, content in query.options.items()
            }
        self._role.emit_trace(event)


def _server(
    settings: Settings,
    allocation: Allocation,
    commits: GroupCommit,
    endpoints: list[DatagramSocket],
    lease_clock: LeaseClock,
) -> DhcpServer:
    dhcp = settings.dhcp
    fixed = dhcp.server_identifier
    own = [socket.inet_aton(endpoint.local[0]) for endpoint in endpoints]

    def identifier_of(place: int, local: bytes) -> bytes:
        return arrived_at(local) if local else own[place]

    return DhcpServer(
        answers=allocation,
        commits=commits,
        replies=Replies(
            NetworkOptions(Network()),
            Statistics(),
            identifier=int(IPAddress(fixed)).to_bytes(4) if fixed else b"",
            to_source=os.environ.get(REPLY_TO_SOURCE_VARIABLE) == "1",
        ),
        lease_queries=LeaseQueries(KnownLeases(allocation.table), dhcp.leasequery_from),
        limits=Limits(
            dhcp.hops_max,
            dhcp.line_per_second,
            dhcp.relay_per_second,
            dhcp.queue_packets,
            dhcp.queue_seconds,
            settings.journal.queue_records,
        ),
        subnet_selection=dhcp.subnet_selection,
        identifier_of=identifier_of,
        clock=lease_clock.now,
        monotonic=clock.monotonic,
        time_ns=clock.now_ns,
    )


class _Loader:
    """Brings leases of the journal back, in slices: the loop goes on turning."""

    def __init__(self, allocation: Allocation, folder: Path, now: LeaseClock) -> None:
        self._allocation = allocation
        self._reader = JournalReader(folder)
        self._clock = now
        self._position = 1

    async def follow(self) -> None:
        """Take what the journal has by now."""
        while blocks := self._reader.read(self._position, _LOAD_RECORDS):
            now = self._clock.now()
            for block in blocks:
                for entry in entries(block.octets):
                    self._allocation.restore(entry, now)
                self._position = block.first + block.records
            await asyncio.sleep(0)

    def close(self) -> None:
        """Let go of the journal."""
        self._reader.close()


async def run(role: RoleContext) -> None:
    """Serve the sockets of ``role`` until it is told to stop."""
    settings, log = role.settings, logs.get_logger("ipserver")
    data_dir = Path(settings.data_dir)
    database = open_database(settings.database, data_dir)
    feed = NetworkFeed(database, data_dir / f"network-{role.label}.json")
    network = network_of(await asyncio.to_thread(lambda: feed.poll() or {}))
    lease_clock = LeaseClock()
    allocation = Allocation(
        settings.leases, random=random.SystemRandom().random, now=lease_clock.now()
    )
    allocation.change_network(network, lease_clock.now())
    allocation.begin_loading()
    loader = _Loader(allocation, journal_folder(role), lease_clock)
    await loader.follow()
    await role.ready()
    # What the role before this one journaled between our reading and its end.
    await loader.follow()
    loader.close()
    allocation.loaded()

    observer = _Observer()
    writer = await open_journal(role, log)
    commits = GroupCommit(writer, monotonic=clock.monotonic, observe=observer.commit)
    endpoints = [DatagramSocket(sock) for sock in role.sockets.get("dhcp", ())]
    server = _server(settings, allocation, commits, endpoints, lease_clock)
    server.change_network(RelayTable(network), NetworkOptions(network))
    loop = asyncio.get_running_loop()
    readables = [server.listen(endpoint) for endpoint in endpoints]
    for endpoint, readable in zip(endpoints, readables, strict=True):
        loop.add_reader(endpoint.sock, readable)
    following = asyncio.create_task(
        _follow(feed, server, allocation, lease_clock, log), name="network"
    )
    tracer = _Tracer(role, settings.dhcp.hops_max)
    role.beat()
    published = 0.0
    try:
        while not role.stopping.is_set():
            server.watch = tracer if role.tracing is not None else None
            commits.probe(lambda _: None)
            allocation.follow_wall(lease_clock.skew(), lease_clock.now())
            more = allocation.turn(lease_clock.now(), _TURN_LEASES)
            server.turn()
            if clock.monotonic() - published >= 1.0:
                published = clock.monotonic()
                observer.publish(server.statistics, endpoints)
                metrics.JOURNAL_QUEUE_RECORDS.set(server.queued)
            _say_health(role, commits, feed, server)
            await role.stopped_within(0.0 if more else _TURN_SECONDS)
    finally:
        following.cancel()
        for endpoint in endpoints:
            loop.remove_reader(endpoint.sock)
        for _ in range(DRAIN_READS):
            if not sum(readable() for readable in readables):  # each of them is read
                break
        await commits.drain()
        server.turn()
        await commits.drain()
        observer.publish(server.statistics, endpoints)
        commits.close()
        database.close()


def _say_health(
    role: RoleContext, commits: GroupCommit, feed: NetworkFeed, server: DhcpServer
) -> None:
    detail: Mapping[str, Any] = {
        "journal": commits.failure or "writable",
        "queued": server.queued,
        "network": feed.failure or "current",
    }
    role.beat_status.update(healthy=commits.failure is None, detail=detail)


async def _follow(
    feed: NetworkFeed,
    server: DhcpServer,
    allocation: Allocation,
    lease_clock: LeaseClock,
    log: structlog.stdlib.BoundLogger,
) -> None:
    while True:
        objects = await asyncio.to_thread(feed.poll)
        if objects is not None:
            network, relays, options = await asyncio.to_thread(_compiled, objects)
            allocation.change_network(network, lease_clock.now())
            server.change_network(relays, options)
            log.info("the network has changed", relays=len(network.relay))
        await asyncio.sleep(POLL_SECONDS)


def _compiled(objects: Any) -> tuple[Network, RelayTable, NetworkOptions]:
    network = network_of(objects)
    return network, RelayTable(network), NetworkOptions(network)
