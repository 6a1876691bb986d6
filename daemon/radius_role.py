"""The role ``radius``: RADIUS sockets on one side, a journal on the other.

It needs nothing else to answer: not the database, whose network it has a copy of, and
not the other roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from config.plant import Nas
from daemon import clock
from daemon.access_edge import AccessEdge
from daemon.datagrams import DatagramSocket, address_of
from daemon.network_feed import POLL_SECONDS, NetworkFeed, Objects
from daemon.role import RoleContext
from daemon.role_journal import DRAIN_READS, open_journal
from radius.attributes import MalformedPacketError, attributes
from radius.nas import NasTable
from radius.outcomes import Sighting, Statistics
from radius.packet import Code, trim
from radius.records import Origin, encode_origin
from radius.server import RadiusServer
from storage.database import open_database
from storage.group_commit import GroupCommit
from storage.journal import JournalWriter
from telemetry import logs, metrics

_KINDS = ("accounting", "authentication")


def nas_table(objects: Objects) -> NasTable:
    """Make the look-up table of the NAS in the network."""
    return NasTable.build(
        msgspec.convert(body, Nas)
        for (kind, _), body in objects.items()
        if kind == "nas"
    )


def _origin_of(source: bytes, nas: str) -> bytes:
    """Encode a sender for the journal: an IPv4 sockaddr has 16 octets, IPv6 28."""
    address = source[4:8] if len(source) == 16 else source[8:24]
    return encode_origin(Origin(address, int.from_bytes(source[2:4]), nas))


class _Observer:
    """Turns plain counts into metrics, once a second, off the packet path."""

    def __init__(self) -> None:
        self._drops: dict[DatagramSocket, int] = {}

    def commit(self, seconds: float, held: bool) -> None:
        metrics.JOURNAL_COMMIT_SECONDS.observe(seconds)
        if not held:
            metrics.JOURNAL_COMMIT_FAILURES.inc()

    def publish(self, statistics: Statistics, endpoints: list[DatagramSocket]) -> None:
        for (nas, kind, result), count in _taken(statistics.requests):
            metrics.RADIUS_REQUESTS.labels(kind, result, nas).inc(count)
        for _, count in _taken(statistics.duplicates):
            metrics.RADIUS_DUPLICATES.inc(count)
        for (nas, reason), count in _taken(statistics.malformed):
            metrics.RADIUS_MALFORMED.labels(reason, nas).inc(count)
        for (nas, reason), count in _taken(statistics.refused):
            metrics.RADIUS_REFUSED.labels(reason, nas).inc(count)
        for nas, count in _taken(statistics.unsigned):
            metrics.RADIUS_UNSIGNED.labels(nas).inc(count)
        for (nas, reason), count in _taken(statistics.dropped):
            metrics.RADIUS_DROPPED.labels(reason, nas).inc(count)
            if not nas:
                metrics.RADIUS_UNKNOWN_SOURCE.inc(count)
        for endpoint in endpoints:
            drops = endpoint.kernel_drops()
            metrics.RADIUS_RECEIVE_QUEUE_DROPS.inc(drops - self._drops.get(endpoint, 0))
            self._drops[endpoint] = drops


def _taken(counts: dict[Any, int]) -> list[tuple[Any, int]]:
    items = list(counts.items())
    counts.clear()
    return items


class _Tracer:
    """Shows each datagram that a live trace asks for, and what became of it."""

    def __init__(self, role: RoleContext) -> None:
        self._role = role

    def __call__(self, sighting: Sighting) -> None:
        tracing = self._role.tracing
        if tracing is None or not tracing.matches(
            nas=sighting.nas, user=None, now=clock.now()
        ):
            return
        try:
            shown = attributes(trim(sighting.octets))  # type: ignore[arg-type]
        except (MalformedPacketError, TypeError):
            shown = []
        user = next((str(a.value) for a in shown if a.name == "User-Name"), "")
        if not tracing.matches(nas=sighting.nas, user=user, now=clock.now()):
            return
        address, port = address_of(sighting.source)
        code = sighting.octets[0] if sighting.octets else 0
        self._role.emit_trace(
            {
                "nas": sighting.nas,
                "user": user,
                "source": f"{address} port {port}",
                "packet": Code(code).name if code in set(Code) else f"code {code}",
                "identifier": sighting.octets[1] if len(sighting.octets) > 1 else None,
                "decision": sighting.outcome,
                "attributes": {a.name: str(a.value) for a in shown},
            }
        )


async def run(role: RoleContext) -> None:
    """Serve the sockets of ``role`` until it is told to stop."""
    settings, log = role.settings, logs.get_logger("radius")
    data_dir = Path(settings.data_dir)
    database = open_database(settings.database, data_dir)
    feed = NetworkFeed(database, data_dir / f"network-{role.label}.json")
    objects = await asyncio.to_thread(feed.poll)
    table = nas_table(objects or {})
    await role.ready()

    loop = asyncio.get_running_loop()
    observer, limiter = (
        _Observer(),
        logs.RateLimiter(settings.radius.unknown_source_log_seconds),
    )

    def unknown(address: str) -> None:
        suppressed = limiter.allow("unknown source", clock.monotonic())
        if suppressed is not None:
            log.warning(
                "packet from an address of no NAS",
                address=address,
                suppressed=suppressed,
            )

    writer = await open_journal(role, log)
    commits = GroupCommit(writer, monotonic=clock.monotonic, observe=observer.commit)
    statistics = Statistics()
    access = AccessEdge(role, database, statistics)
    access.change(objects or {}, None)
    server = RadiusServer(
        table=table,
        commits=commits,
        address_of=lambda source: address_of(source)[0],
        origin_of=_origin_of,
        monotonic=clock.monotonic,
        time_ns=clock.now_ns,
        duplicate_seconds=settings.radius.duplicate_seconds,
        queue_records=settings.journal.queue_records,
        status_server_per_second=settings.radius.status_server_per_second,
        on_unknown=unknown,
        access=access.server,
        statistics=statistics,
    )
    endpoints: list[DatagramSocket] = []
    readables = []
    for kind in _KINDS:
        for sock in role.sockets.get(kind, ()):
            endpoint = DatagramSocket(sock)
            readable = server.listen(endpoint, kind)
            loop.add_reader(sock, readable)
            endpoints.append(endpoint)
            readables.append(readable)
    following = asyncio.create_task(_follow(feed, server, access, log))
    tracer = _Tracer(role)
    _say_health(role, commits, feed, writer, access)
    role.beat()
    try:
        while not role.stopping.is_set():
            server.watch = tracer if role.tracing is not None else None
            access.server.answers.watch = server.watch
            commits.probe(lambda _: None)
            observer.publish(server.statistics, endpoints)
            metrics.JOURNAL_QUEUE_RECORDS.set(server.queued)
            _say_health(role, commits, feed, writer, access)
            await role.stopped_within(0.25 if commits.failure else 1.0)
    finally:
        following.cancel()
        for endpoint in endpoints:
            loop.remove_reader(endpoint.sock)
        for _ in range(DRAIN_READS):
            if not any(readable() for readable in readables):
                break
        while commits.busy or server.queued:
            await commits.drain()
        observer.publish(server.statistics, endpoints)
        access.close()
        commits.close()
        database.close()


def _say_health(
    role: RoleContext,
    commits: GroupCommit,
    feed: NetworkFeed,
    writer: JournalWriter,
    access: AccessEdge,
) -> None:
    detail: Mapping[str, Any] = {
        "journal": commits.failure or "writable",
        "next_position": writer.next_position,
        "network": feed.failure or "current",
        "places": access.failure or "writable",
    }
    role.beat_status.update(healthy=commits.failure is None, detail=detail)


async def _follow(
    feed: NetworkFeed,
    server: RadiusServer,
    access: AccessEdge,
    log: structlog.stdlib.BoundLogger,
) -> None:
    while True:
        objects = await asyncio.to_thread(feed.poll)
        if objects is not None:
            changed = feed.changed
            access.change(objects, changed)
            if changed is None or any(kind == "nas" for kind, _, _ in changed):
                server.change_table(nas_table(objects))
                nas = sum(kind == "nas" for kind, _ in objects)
                log.info("the NAS have changed", nas=nas)
        await asyncio.sleep(POLL_SECONDS)
