"""Each ISP's copy of its subscribers' accounting, forwarded from the journals.

The journal is the store: every ISP has its own position in it and its own task, so one
whose server is slow or away falls behind alone. A position moves on when every copy
before it was acknowledged; until then the same is sent again, to the next server too,
for as long as it takes. What bounds it is the journal's retention: an ISP that is away
for longer loses what was discarded, and that is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from config.values import host_and_port
from daemon.network_feed import Objects
from radius.accounting_copy import copy_of_report, isp_of_report
from radius.dynamic_authorization import ATTEMPTS, waits
from radius.packet import Code, is_response_authentic
from radius.records import RecordReader
from storage.accounting_copies import read_copy_positions, write_copy_position
from storage.database import Database, StorageError
from storage.journal import Block, JournalError, JournalReader
from telemetry import logs, metrics

_RECORDS = 2000
"""Records looked at for one ISP at a time."""
_IDLE_SECONDS = 0.5
_UNDER_WAY = 128
"""Copies under way to one server: fewer than its port has identifiers."""
_PAUSE_SECONDS = 5.0

log = logs.get_logger("copies")


class _Report(NamedTuple):
    """A packet of a journal: its position, and when its block came (ns since 1970)."""

    position: int
    received_at_ns: int
    packet: bytes


class _Whose(NamedTuple):
    isp_of_service: Mapping[str, str]
    isp_of_realm: Mapping[str, str]


class _Link(asyncio.DatagramProtocol):
    """One connected port towards an ISP's accounting server."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._waiting: dict[int, tuple[bytes, asyncio.Future[None]]] = {}
        self._next = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def error_received(self, exc: Exception) -> None:
        """Take a refusal for silence: the server may be back with the next try."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        waiting = self._waiting.get(data[1]) if len(data) >= 20 else None
        if waiting is None or data[0] != Code.ACCOUNTING_RESPONSE:
            return
        request, answered = waiting
        if is_response_authentic(data, request, self._secret) and not answered.done():
            answered.set_result(None)

    async def deliver(self, record: _Report) -> bool | None:
        """Send a copy until it is acknowledged; False when nobody answers.

        None when there can be no copy: it would be longer than a packet.
        """
        identifier = self._free()
        request = copy_of_report(
            record.packet,
            identifier=identifier,
            received_at=record.received_at_ns // 1_000_000_000,
            secret=self._secret,
            proxy_state=b"fairlane" + record.position.to_bytes(8),
        )
        if not request:
            return None
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[identifier] = request, answered
        try:
            for wait in waits((0.0,) * ATTEMPTS):
                assert self._transport is not None
                self._transport.sendto(request)
                done, _ = await asyncio.wait({answered}, timeout=wait)
                if done:
                    return True
            return False
        finally:
            del self._waiting[identifier]

    def _free(self) -> int:
        while True:
            self._next = (self._next + 1) & 255
            if self._next not in self._waiting:
                return self._next

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Copier:
    """The copies of one ISP."""

    def __init__(
        self,
        isp: Mapping[str, Any],
        database: Database,
        folder: Path,
        class_key: bytes,
    ) -> None:
        self.name: str = isp["name"]
        self._servers = [host_and_port(where) for where in isp["accounting_servers"]]
        self._secret = isp["radius_secret"].encode()
        self._database = database
        self._folder = folder
        self._class_key = class_key
        self._readers: dict[str, JournalReader] = {}
        self._records = RecordReader()
        self._positions: dict[str, int] = {}
        self.whose = _Whose({}, {})

    async def run(self) -> None:
        """Copy until cancelled."""
        while True:
            try:
                self._positions = await asyncio.to_thread(self._read_positions)
                while True:
                    if not await self._round():
                        await asyncio.sleep(_IDLE_SECONDS)
            except (StorageError, JournalError) as error:
                reason = str(error).splitlines()[0]
                log.warning("copies wait", isp=self.name, error=reason)
            except Exception:
                log.exception("copies ended by themselves", isp=self.name)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _read_positions(self) -> dict[str, int]:
        with self._database.read.connect() as connection:
            return read_copy_positions(connection, self.name)

    async def _round(self) -> bool:
        """Look at the next records of each journal; say whether there were any."""
        journals = await asyncio.to_thread(self._journals)
        # Before anything is delivered: that may take as long as the ISP is away.
        lag = await asyncio.to_thread(self._lag, journals)
        metrics.ACCOUNTING_COPIES_LAG_RECORDS.labels(self.name).set(lag)
        for journal, reader in journals.items():
            position = self._positions.get(journal, 1)
            blocks = await asyncio.to_thread(reader.read, position, _RECORDS)
            if blocks:
                lost = blocks[0].first - position
                if lost > 0:
                    self._count("lost", lost)
                own = await asyncio.to_thread(self._own, blocks, position)
                await self._deliver(own)
                behind = blocks[-1].first + blocks[-1].records
                await asyncio.to_thread(self._write, journal, behind)
        return lag > 0

    def _lag(self, journals: Mapping[str, JournalReader]) -> int:
        return sum(
            reader.backlog(self._positions.get(journal, 1)).records
            for journal, reader in journals.items()
        )

    def _journals(self) -> dict[str, JournalReader]:
        if self._folder.is_dir():
            for path in sorted(self._folder.iterdir()):
                if path.is_dir() and path.name not in self._readers:
                    self._readers[path.name] = JournalReader(path)
        return self._readers

    def _own(self, blocks: list[Block], position: int) -> list[_Report]:
        """Find this ISP's reports from ``position`` on."""
        found = []
        for block in blocks:
            records = self._records.read(block.octets)
            for at, (_, packet) in enumerate(records, start=block.first):
                if at >= position and self.name == self._isp_of(packet):
                    found.append(_Report(at, block.received_at_ns, packet))
        return found

    def _isp_of(self, packet: bytes) -> str | None:
        return isp_of_report(
            packet,
            class_key=self._class_key,
            isp_of_service=self.whose.isp_of_service,
            isp_of_realm=self.whose.isp_of_realm,
        )

    async def _deliver(self, records: list[_Report]) -> None:
        """Send until all are acknowledged, one server after the other."""
        server = 0
        while records:
            loop = asyncio.get_running_loop()
            _, link = await loop.create_datagram_endpoint(
                self._link, remote_addr=self._servers[server]
            )
            try:
                records = await self._deliver_by(link, records)
            finally:
                link.close()
            server = (server + 1) % len(self._servers)
            if records:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _link(self) -> _Link:
        return _Link(self._secret)

    async def _deliver_by(self, link: _Link, records: list[_Report]) -> list[_Report]:
        """Send over one link; give what it did not acknowledge."""
        left: list[_Report] = []
        gate = asyncio.Semaphore(_UNDER_WAY)

        async def one(record: _Report) -> None:
            async with gate:
                if left:  # this server does not answer: do not try it with all
                    left.append(record)
                    return
                delivered = await link.deliver(record)
                if delivered is False:
                    left.append(record)
                else:
                    self._count("acknowledged" if delivered else "too_long", 1)

        async with asyncio.TaskGroup() as tasks:
            for record in records:
                tasks.create_task(one(record))
        if left:
            self._count("unanswered", 1)
        return sorted(left, key=lambda record: record.position)

    def _count(self, result: str, number: int) -> None:
        metrics.ACCOUNTING_COPIES.labels(self.name, result).inc(number)

    def _write(self, journal: str, position: int) -> None:
        with self._database.write.begin() as connection:
            write_copy_position(connection, self.name, journal, position)
        self._positions[journal] = position

    def close(self) -> None:
        """Close the journals."""
        for reader in self._readers.values():
            reader.close()


class AccountingCopies:
    """The copiers of all ISPs that want copies; ``know`` first."""

    def __init__(self, database: Database, data_dir: Path, class_key: bytes) -> None:
        self._database = database
        self._folder = data_dir / "journal"
        self._class_key = class_key
        self._running: dict[str, tuple[Any, _Copier, asyncio.Task[None]]] = {}

    async def know(self, objects: Objects) -> None:
        """Take the network; only the copiers of changed ISPs begin anew."""
        whose = _Whose(
            {
                name: body["isp"]
                for (kind, name), body in objects.items()
                if kind == "service"
            },
            {
                realm.casefold(): name
                for (kind, name), body in objects.items()
                if kind == "isp"
                for realm in body.get("realms", ())
            },
        )
        wanted = {
            name: body
            for (kind, name), body in objects.items()
            if kind == "isp" and body.get("accounting_servers")
        }
        for name, (body, _, _) in list(self._running.items()):
            if wanted.get(name) != body:
                await self._end(name)
        for name, body in wanted.items():
            if name not in self._running:
                copier = _Copier(body, self._database, self._folder, self._class_key)
                task = asyncio.create_task(copier.run())
                self._running[name] = body, copier, task
            self._running[name][1].whose = whose

    async def _end(self, name: str) -> None:
        _, copier, task = self._running.pop(name)
        task.cancel()
        await asyncio.wait([task])
        copier.close()

    async def close(self) -> None:
        """End every copier; each goes on from its position at the next start."""
        for name in list(self._running):
            await self._end(name)
