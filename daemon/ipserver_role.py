"""The role ``ipserver``: DHCP sockets on one side, leases in memory, a journal.

It needs nothing else to answer: the leases are those of the database and the journal,
read at the start; the network is followed, and its last copy serves while the database
is away. It owns all blocks of addresses, so there is one of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from netaddr import IPAddress

from config.network import Network, network_of
from config.restrictions import connected
from config.schema import Settings
from daemon import clock, over_allocation
from daemon.address_server import AddressServer
from daemon.datagrams import DatagramSocket, address_of, arrived_at
from daemon.network_feed import POLL_SECONDS, NetworkFeed
from daemon.role import RoleContext
from daemon.role_journal import DRAIN_READS, journal_folder, open_journal
from ipserver.dhcp import MessageType
from ipserver.intake import Limits
from ipserver.leasequery import LeaseQueries
from ipserver.lines import Lines
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import Sighting, Statistics
from ipserver.packet import Query, read
from ipserver.relays import RelayTable
from ipserver.replies import Replies
from ipserver.server import DhcpServer
from storage.database import Database, StorageError, open_database
from storage.group_commit import GroupCommit
from storage.journal import JournalError
from telemetry import address_metrics, logs, metrics

REPLY_TO_SOURCE_VARIABLE = "DHCP_REPLY_TO_SOURCE"
"""For tests alone: "1" sends each reply back to where its request came from, instead of
to giaddr or the client. perfdhcp stands for many relays at one address."""

_TURN_SECONDS = 0.25


class _Observer:
    """Turns plain counts into metrics, once a second, off the packet path."""

    def __init__(self) -> None:
        self._drops: dict[DatagramSocket, int] = {}

    def commit(self, seconds: float, held: bool) -> None:
        metrics.JOURNAL_COMMIT_SECONDS.observe(seconds)
        if not held:
            metrics.JOURNAL_COMMIT_FAILURES.inc()

    def publish(self, statistics: Statistics, endpoints: list[DatagramSocket]) -> None:
        for (kind, result), count in statistics.messages().items():
            address_metrics.DHCP_MESSAGES.labels(kind, result).inc(count)
        for (result, reason), count in statistics.reasons().items():
            address_metrics.DHCP_ANSWERS.labels(result, reason).inc(count)
        for reason, count in statistics.dropped.items():
            address_metrics.DHCP_DROPPED.labels(reason).inc(count)
        for reason, count in statistics.malformed.items():
            address_metrics.DHCP_MALFORMED.labels(reason).inc(count)
        for seconds in statistics.seconds:
            address_metrics.DHCP_ALLOCATION_SECONDS.observe(seconds)
        address_metrics.DHCP_TRUNCATED.inc(statistics.truncated)
        address_metrics.DHCP_LEFT_OUT.labels("agent").inc(statistics.without_agent)
        address_metrics.DHCP_LEFT_OUT.labels("options").inc(statistics.without_options)
        statistics.clear()
        for endpoint in endpoints:
            drops = endpoint.kernel_drops()
            address_metrics.DHCP_RECEIVE_QUEUE_DROPS.inc(
                drops - self._drops.get(endpoint, 0)
            )
            self._drops[endpoint] = drops


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
    addresses: AddressServer,
    commits: GroupCommit,
    endpoints: list[DatagramSocket],
) -> DhcpServer:
    dhcp = settings.dhcp
    fixed = dhcp.server_identifier
    own = [socket.inet_aton(endpoint.local[0]) for endpoint in endpoints]

    def identifier_of(place: int, local: bytes) -> bytes:
        return arrived_at(local) if local else own[place]

    return DhcpServer(
        answers=addresses.allocation,
        commits=commits,
        replies=Replies(
            NetworkOptions(Network()),
            Statistics(),
            identifier=int(IPAddress(fixed)).to_bytes(4) if fixed else b"",
            to_source=os.environ.get(REPLY_TO_SOURCE_VARIABLE) == "1",
        ),
        lease_queries=LeaseQueries(addresses.allocation, dhcp.leasequery_from),
        limits=Limits(
            dhcp.hops_max,
            dhcp.line_per_second,
            dhcp.relay_per_second,
            dhcp.queue_packets,
            dhcp.queue_seconds,
            settings.journal.queue_records,
            dhcp.parked_seconds,
            dhcp.parked_discovers,
        ),
        subnet_selection=dhcp.subnet_selection,
        identifier_of=identifier_of,
        clock=addresses.now,
        monotonic=clock.monotonic,
        time_ns=clock.now_ns,
    )


async def _load(
    role: RoleContext,
    addresses: AddressServer,
    database: Database,
    log: structlog.stdlib.BoundLogger,
) -> None:
    """Have all leases; while a store is away, say so and try again."""
    limiter = logs.RateLimiter(10)
    while True:
        try:
            await asyncio.to_thread(addresses.take_up, database, journal_folder(role))
            return
        except (StorageError, JournalError) as error:
            problem = str(error).splitlines()[0]
            role.beat_status.update(healthy=False, detail={"leases": problem})
            if limiter.allow("leases", clock.monotonic()) is not None:
                log.error("the leases cannot be loaded", error=problem)
            if await role.stopped_within(0.5):
                raise


async def run(role: RoleContext) -> None:
    """Serve the sockets of ``role`` until it is told to stop."""
    settings, log = role.settings, logs.get_logger("ipserver")
    data_dir = Path(settings.data_dir)
    database = open_database(settings.database, data_dir)
    feed = NetworkFeed(database, data_dir / f"network-{role.label}.json")
    objects = await asyncio.to_thread(lambda: feed.poll() or {})
    network = network_of(connected(objects))
    addresses = AddressServer(settings.leases, network)
    # Most of the leases while the role that is replaced goes on serving; without the
    # database the others must not wait for this one.
    try:
        await asyncio.to_thread(addresses.load, database, journal_folder(role))
    except (StorageError, JournalError) as error:
        log.error("the leases cannot be loaded", error=str(error).splitlines()[0])
    await role.ready()
    role.beat()
    await _load(role, addresses, database, log)

    observer, gauges = _Observer(), over_allocation.Gauges()
    writer = await open_journal(role, log)
    commits = GroupCommit(writer, monotonic=clock.monotonic, observe=observer.commit)
    endpoints = [DatagramSocket(sock) for sock in role.sockets.get("dhcp", ())]
    server = _server(settings, addresses, commits, endpoints)
    addresses.server = server
    server.change_network(RelayTable(network), NetworkOptions(network))
    loop = asyncio.get_running_loop()
    readables = [server.listen(endpoint) for endpoint in endpoints]
    for endpoint, readable in zip(endpoints, readables, strict=True):
        loop.add_reader(endpoint.sock, readable)
    following = asyncio.create_task(_follow(feed, addresses, log))
    inbox = asyncio.create_task(over_allocation.follow_inbox(addresses, database))
    role.answer = partial(over_allocation.answer, addresses)
    tracer = _Tracer(role, settings.dhcp.hops_max)
    published = 0.0
    try:
        while not role.stopping.is_set():
            for task in (following, inbox):
                if task.done():
                    task.result()
            server.watch = tracer if role.tracing is not None else None
            commits.probe(lambda _: None)
            more = addresses.turn()
            server.turn()
            if clock.monotonic() - published >= 1.0:
                published = clock.monotonic()
                observer.publish(server.statistics, endpoints)
                gauges.publish(addresses)
                metrics.JOURNAL_QUEUE_RECORDS.set(server.queued)
            _say_health(role, commits, feed, server)
            await role.stopped_within(0.001 if more else _TURN_SECONDS)
    finally:
        following.cancel()
        inbox.cancel()
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
    feed: NetworkFeed, addresses: AddressServer, log: structlog.stdlib.BoundLogger
) -> None:
    assert addresses.server is not None
    while True:
        objects = await asyncio.to_thread(feed.poll)
        if objects is not None:
            # A hundred thousand lines take a second, in which packets are served.
            network, lines, relays, options = await asyncio.to_thread(
                _compiled, objects
            )
            addresses.change_network(network, lines)
            addresses.server.change_network(relays, options)
            log.info("the network has changed", relays=len(network.relay))
        await asyncio.sleep(POLL_SECONDS)


def _compiled(objects: Any) -> tuple[Network, Lines, RelayTable, NetworkOptions]:
    network = network_of(connected(objects))
    return network, Lines(network), RelayTable(network), NetworkOptions(network)
