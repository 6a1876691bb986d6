"""Sends CoA and Disconnect requests for the role ``control``, and follows each.

pyrad's client makes, signs and matches the packets; the times are RFC 5080's, so each
retransmission is this module's, with the very octets that pyrad sent first. Each step
is written before the next is taken: what a dead process had sent is sent again by the
next one, and changes nothing at the NAS. Verification is by accounting: a session that
ended proves a Disconnect, a report after the answer proves that a CoA left the session
alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import Any

import msgspec
from netaddr import IPNetwork
from pyrad.client_async import ClientAsync

from config import radius_dictionary
from config.plant import Nas
from config.schema import Settings
from config.values import prefix_of
from daemon import clock
from daemon.network_feed import Objects
from radius.dynamic_authorization import (
    ATTEMPTS,
    CODES,
    FAILED,
    GIVE_UP_SECONDS,
    SESSION_CONTEXT_NOT_FOUND,
    Event,
    Kind,
    State,
    Target,
    error_cause,
    request_attributes,
    step,
    waits,
)
from radius.packet import Code
from radius.profiles import Grant, Rates
from radius.proxying import attributes_of
from radius.subscribers import Subscribers
from storage.access_sessions import NasSession, sessions_by_id
from storage.coa import Command, add_command, move, unfinished
from storage.database import Database, StorageError
from telemetry import logs, metrics

POLL_SECONDS = 0.25
_AT_ONCE = 500
_PER_NAS = 64
"""Requests under way at one NAS; its control plane is a small processor."""
_VERIFY_INTERVALS = 2
"""Interim intervals within which accounting has to show the effect."""

log = logs.get_logger("coa")


class CoaSender:
    """Follows the commands in the database until ``run`` is cancelled."""

    def __init__(
        self, database: Database, settings: Settings, subscribers: Subscribers
    ) -> None:
        self._database = database
        self._subscribers = subscribers
        self._verify_seconds = _VERIFY_INTERVALS * settings.accounting.interim_seconds
        self._nas: dict[str, Nas] = {}
        self._clients: dict[str, ClientAsync] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._dictionary = radius_dictionary.read()
        self._random = random.SystemRandom()
        self._limiter = logs.RateLimiter(10)
        self._known = asyncio.Event()
        # It tells of each connection; what matters of them is in the commands.
        logging.getLogger("pyrad").setLevel(logging.ERROR)

    async def know(self, objects: Objects) -> None:
        """Take the NAS of the network; connections to changed ones are made anew."""
        nas = {
            name: msgspec.convert(body, Nas)
            for (kind, name), body in objects.items()
            if kind == "nas"
        }
        for name in [n for n in self._clients if nas.get(n) != self._nas.get(n)]:
            await self._close(name)
        self._nas = nas
        self._known.set()

    async def run(self) -> None:
        """Send what is queued, and judge what was answered, again and again."""
        await self._known.wait()  # before, every NAS would be one that is no more
        while True:
            try:
                await self._round()
            except StorageError as error:
                if self._limiter.allow("database", clock.monotonic()) is not None:
                    log.warning("commands wait", error=str(error).splitlines()[0])
            await asyncio.sleep(POLL_SECONDS)

    async def _round(self) -> None:
        now = int(clock.now())
        for command, (state, last_arrival_at) in await asyncio.to_thread(self._read):
            if command.id in self._under_way:
                continue
            if command.state == State.ACKED:
                await self._verify(command, state, last_arrival_at, now)
            elif state in (None, "closed"):
                await self._happened(command, Event.SESSION_CLOSED, answered_at=now)
            else:
                task = asyncio.create_task(self._carry_out(command))
                self._under_way[command.id] = task
                task.add_done_callback(self._done(command.id))

    def _done(self, number: int) -> Any:
        def forget(task: asyncio.Task[None]) -> None:
            del self._under_way[number]
            if not task.cancelled() and task.exception() is not None:
                log.error("a command failed", number=number, exc_info=task.exception())

        return forget

    def _read(self) -> list[tuple[Command, Any]]:
        with self._database.read.connect() as connection:
            return unfinished(connection, _AT_ONCE)

    # --- sending ------------------------------------------------------------------

    async def _carry_out(self, command: Command) -> None:
        nas = self._nas.get(command.nas)
        address = None if nas is None else _host(nas)
        if nas is None or address is None:
            reason = "the NAS is no more" if nas is None else "its prefix is no host"
            sent = await self._happened(command, Event.SENT, reason=reason)
            await self._happened(sent, Event.NO_ANSWER, reason=reason)
            return
        gate = self._gates.setdefault(command.nas, asyncio.Semaphore(_PER_NAS))
        async with gate:
            session = await asyncio.to_thread(self._session, command.session_id)
            if session is not None:
                await self._send(command, nas, address, session)

    def _session(self, number: int) -> NasSession | None:
        with self._database.read.connect() as connection:
            return sessions_by_id(connection, [number]).get(number)

    async def _send(
        self, command: Command, nas: Nas, address: str, session: NasSession
    ) -> None:
        client = await self._client(nas, address)
        packet = client.CreateCoAPacket(
            code=int(CODES[Kind(command.kind)]), message_authenticator=True
        )
        for kind, whole in attributes_of(self._attributes(command, nas, session)):
            if kind == 26:
                key: Any = (int.from_bytes(whole[2:6]), whole[6])
                packet.setdefault(key, []).append(whole[8:])
            else:
                packet.setdefault(kind, []).append(whole[2:])
        answered = client.SendPacket(packet)
        octets = client.protocol_coa.pending_requests[packet.id]["raw"]
        sent = await self._happened(
            command, Event.SENT, sent_at=int(clock.now()), packet=octets, attempts=1
        )
        attempts = 0
        jitters = tuple(self._random.uniform(-1, 1) for _ in range(ATTEMPTS))
        for wait in waits(jitters):
            if attempts:
                client.protocol_coa.transport.sendto(octets)
            attempts += 1
            metrics.COA_SENT.labels(command.kind, command.nas).inc()
            # A NAS that refuses the port is as silent as one that is not there.
            with contextlib.suppress(TimeoutError, OSError):
                reply = await asyncio.wait_for(asyncio.shield(answered), wait)
                await self._answered(sent, reply, attempts)
                return
        answered.cancel()
        reason = f"no answer to {attempts} requests in {GIVE_UP_SECONDS:.0f} s"
        await self._happened(sent, Event.NO_ANSWER, attempts=attempts, reason=reason)

    async def _answered(self, command: Command, reply: Any, attempts: int) -> None:
        acked = reply.code in (Code.COA_ACK, Code.DISCONNECT_ACK)
        cause = error_cause(reply.get(101, []))
        event = (
            Event.ACK
            if acked
            else Event.NO_SESSION
            if cause == SESSION_CONTEXT_NOT_FOUND
            else Event.NAK
        )
        await self._happened(
            command,
            event,
            answered_at=int(clock.now()),
            error_cause=cause,
            attempts=attempts,
        )

    def _attributes(self, command: Command, nas: Nas, session: NasSession) -> bytes:
        target = Target(
            session.user_name,
            session.nas_identity,
            session.acct_session_id,
            session.framed_ip_address,
            session.calling_station_id,
            session.nas_port_id,
        )
        kind = Kind(command.kind)
        subscriber = self._subscribers.of_name(command.service)
        grant = subscriber.grant if subscriber is not None else Grant()
        if command.up_kbps is not None and command.down_kbps is not None:
            grant = grant._replace(rates=Rates(command.up_kbps, command.down_kbps))
        now = int(clock.now())
        return request_attributes(kind, nas.profile, target, grant, now)

    # --- what came of it ----------------------------------------------------------

    async def _verify(
        self, command: Command, state: str | None, last_arrival_at: int, now: int
    ) -> None:
        answered_at = command.answered_at or now
        if command.kind == Kind.DISCONNECT:
            shown = state in (None, "closed")
        else:
            shown = state in (None, "closed") or last_arrival_at > answered_at
        if shown:
            await self._happened(command, Event.SHOWN, verified_at=now)
        elif now - answered_at > self._verify_seconds:
            reason = f"accounting showed no effect in {self._verify_seconds} s"
            await self._happened(command, Event.NOT_SHOWN, reason=reason)

    async def _happened(self, command: Command, event: Event, **values: Any) -> Command:
        """Write what happened; a CoA that failed may be followed by a Disconnect."""
        after = step(State(command.state), event)
        changed = command._replace(
            state=after, **{k: v for k, v in values.items() if k != "packet"}
        )

        def write() -> bool:
            with self._database.write.begin() as connection:
                moved = move(
                    connection, command.id, before=command.state, state=after, **values
                )
                if moved and command.falls_back and after in FAILED:
                    _follow(connection, command, int(clock.now()))
                return moved

        if await asyncio.to_thread(write) and after != command.state:
            metrics.COA_COMMANDS.labels(command.kind, after).inc()
        return changed

    # --- clients --------------------------------------------------------------------

    async def _client(self, nas: Nas, address: str) -> ClientAsync:
        client = self._clients.get(nas.name)
        if client is None:
            client = ClientAsync(
                server=address,
                coa_port=nas.coa_port,
                secret=nas.keys()[0],
                dict=self._dictionary,
                retries=0,
                # Our own times are shorter: pyrad must not give up before.
                timeout=2 * GIVE_UP_SECONDS,
            )
            self._clients[nas.name] = client
            await client.initialize_transports(enable_coa=True)
        return client

    async def _close(self, name: str) -> None:
        client = self._clients.pop(name)
        await client.deinitialize_transports()

    async def close(self) -> None:
        """End what is under way; it is taken up again at the next start."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in list(self._clients):
            await self._close(name)


def _follow(connection: Any, command: Command, now: int) -> None:
    add_command(
        connection,
        kind=Kind.DISCONNECT,
        tenant=command.tenant,
        service=command.service,
        nas=command.nas,
        session_id=command.session_id,
        acct_session_id=command.acct_session_id,
        requested_by=command.requested_by,
        requested_at=now,
        follows=command.id,
    )


def _host(nas: Nas) -> str | None:
    """Give the address of a NAS; a range has none that could be asked."""
    prefix: IPNetwork = prefix_of(nas.address)
    return str(prefix.ip) if prefix.size == 1 else None
