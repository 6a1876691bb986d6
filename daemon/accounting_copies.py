"""Each ISP's copy of its subscribers' accounting, forwarded from the journals.

The journal is the store: every ISP has its own position in it and its own task, so one
whose server is slow or away falls behind alone. A position moves on when every copy
before it was acknowledged; until then the same is sent again, to the next server too,
for as long as it takes. What bounds it is the journal's retention: an ISP that is away
for longer loses what was discarded, and that is counted. The journals are read once for
all (``daemon.journaled_reports``): an ISP costs what is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from config.values import host_and_port
from daemon.journaled_reports import JournaledReports, Report, Whose
from daemon.network_feed import Objects
from radius.accounting_copy import copy_of_report
from radius.dynamic_authorization import ATTEMPTS, waits
from radius.packet import Code, is_response_authentic
from storage.accounting_copies import read_copy_positions, write_copy_position
from storage.database import Database, StorageError
from storage.journal import JournalError
from telemetry import logs, metrics

_UNWRITTEN = 20_000
"""Records of others that an ISP's position may pass without being written."""
_IDLE_SECONDS = 0.5
_UNDER_WAY = 128
"""Copies under way to one server: fewer than its port has identifiers."""
_PAUSE_SECONDS = 5.0

log = logs.get_logger("copies")


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

    async def deliver(self, record: Report) -> bool | None:
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
        reports: JournaledReports,
    ) -> None:
        self.name: str = isp["name"]
        self._servers = [host_and_port(where) for where in isp["accounting_servers"]]
        self._secret = isp["radius_secret"].encode()
        self._database = database
        self._reports = reports
        self._positions: dict[str, int] = {}
        self._written: dict[str, int] = {}

    async def run(self) -> None:
        """Copy until cancelled."""
        while True:
            try:
                self._written = await asyncio.to_thread(self._read_positions)
                self._positions = dict(self._written)
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
        ends = dict(await self._reports.ends())
        # Before anything is delivered: that may take as long as the ISP is away.
        lag = sum(end - self._positions.get(name, 1) for name, end in ends.items())
        metrics.ACCOUNTING_COPIES_LAG_RECORDS.labels(self.name).set(lag)
        moved = False
        for journal, end in ends.items():
            position = self._positions.get(journal, 1)
            if position >= end:
                continue
            blocks = await self._reports.read(journal, position)
            if not blocks:
                continue
            if (lost := blocks[0].first - position) > 0:
                self._count("lost", lost)
            own = [
                report
                for block in blocks
                for report in block.reports.get(self.name, ())
                if report.position >= position
            ]
            await self._deliver(own)
            await self._pass(journal, blocks[-1].behind, own=bool(own))
            moved = True
        return moved

    async def _pass(self, journal: str, position: int, *, own: bool) -> None:
        """Go on to a position; looking again at what is others' would send nothing."""
        self._positions[journal] = position
        if own or position - self._written.get(journal, 1) >= _UNWRITTEN:
            await asyncio.to_thread(self._write, journal, position)

    async def _deliver(self, records: list[Report]) -> None:
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

    async def _deliver_by(self, link: _Link, records: list[Report]) -> list[Report]:
        """Send over one link; give what it did not acknowledge."""
        left: list[Report] = []
        gate = asyncio.Semaphore(_UNDER_WAY)

        async def one(record: Report) -> None:
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
        self._written[journal] = position


class AccountingCopies:
    """The copiers of all ISPs that want copies; ``know`` first."""

    def __init__(self, database: Database, data_dir: Path, class_key: bytes) -> None:
        self._database = database
        self._reports = JournaledReports(data_dir / "journal", class_key)
        self._running: dict[str, tuple[Any, asyncio.Task[None]]] = {}

    async def know(self, objects: Objects) -> None:
        """Take the network; only the copiers of changed ISPs begin anew."""
        wanted = {
            name: body
            for (kind, name), body in objects.items()
            if kind == "isp" and body.get("accounting_servers")
        }
        whose = Whose(
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
            frozenset(wanted),
        )
        await asyncio.to_thread(self._reports.know, whose)
        for name, (body, _) in list(self._running.items()):
            if wanted.get(name) != body:
                await self._end(name)
        for name, body in wanted.items():
            if name not in self._running:
                copier = _Copier(body, self._database, self._reports)
                task = asyncio.create_task(copier.run())
                self._running[name] = body, task

    async def _end(self, name: str) -> None:
        _, task = self._running.pop(name)
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        """End every copier; each goes on from its position at the next start."""
        for name in list(self._running):
            await self._end(name)
        await asyncio.to_thread(self._reports.close)
