"""ISPs' own RADIUS servers, asked about their users over as many ports as it takes.

A port has 256 identifiers, so a server gets another port when one is full, up to a
bound. A request waits for five seconds at one server and is then sent once to the next
that lives. What happens when none does is the ISP's choice (``when_down``).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from config.values import host_and_port
from daemon import clock
from radius.asked import Asked, HomeAnswer
from radius.home_server import ANSWER_SECONDS, Liveness
from radius.outcomes import Drop, Statistics
from radius.overload import begins
from radius.packet import is_response_authentic
from radius.proxying import forwarded, returned, status_server

_PORTS = 16
"""Source ports for one server: 4096 requests under way."""
_OURS = os.urandom(8)
"""Begins each Proxy-State of this process; one in a request has come round a loop."""
_SWEEP_SECONDS = 0.25

Done = Callable[[HomeAnswer | Drop | None], None]


class _Pending(NamedTuple):
    request: bytes
    asked: Asked
    proxy_state: bytes
    done: Done
    sent_at: float
    others: list[_Server]


class _Server:
    """One server of one ISP."""

    def __init__(self, where: str, secret: bytes, *, must_sign: bool) -> None:
        self.address = host_and_port(where)
        self.secret = secret
        self.must_sign = must_sign
        self.liveness = Liveness()
        self.ports: list[_Port] = []

    def free(self, *, begins: bool) -> tuple[_Port, int] | None:
        """Give an identifier; what begins a conversation gets none of the last ones."""
        if begins and len(self.ports) >= _PORTS - _PORTS // 4:
            under_way = sum(len(port.pending) for port in self.ports)
            if under_way >= (_PORTS - _PORTS // 4) * 256:
                return None
        for port in self.ports:
            identifier = port.free()
            if identifier is not None:
                return port, identifier
        if len(self.ports) >= _PORTS:
            return None
        port = _Port(self)
        self.ports.append(port)
        return port, 0

    def close(self) -> None:
        for port in self.ports:
            port.close()


class _Port:
    """One source port towards a server, connected: what others send is not seen."""

    def __init__(self, server: _Server) -> None:
        host, number = server.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = server
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((host, number))
        self.pending: dict[int, _Pending] = {}
        self.probe: bytes | None = None
        self._next = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.socket, self._readable)

    def free(self) -> int | None:
        """Give an identifier that is not under way, the longest unused first."""
        for _ in range(256):
            self._next = (self._next + 1) & 255
            if self._next not in self.pending:
                return self._next
        return None

    def send(self, octets: bytes) -> None:
        try:
            self.socket.send(octets)
        except OSError:  # refused or full: the same as lost on the way
            return

    def _readable(self) -> None:
        for _ in range(64):
            try:
                datagram = self.socket.recv(8192)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier send
                continue
            self._heard(datagram)

    def _heard(self, datagram: bytes) -> None:
        if len(datagram) < 20:
            return
        secret = self.server.secret
        if (
            self.probe is not None
            and datagram[1] == self.probe[1]
            and is_response_authentic(datagram, self.probe, secret)
        ):
            self.probe = None
            self.server.liveness.answered()
            return
        pending = self.pending.get(datagram[1])
        if pending is None:
            return
        asked = pending.asked
        answer = returned(
            datagram,
            pending.request,
            secret=asked.secret,
            home_secret=secret,
            authenticator=asked.packet[4:20],
            proxy_state=pending.proxy_state,
            must_sign=self.server.must_sign,
        )
        if answer is not None:
            del self.pending[datagram[1]]
            self.server.liveness.answered()
            pending.done(answer)

    def close(self) -> None:
        self._loop.remove_reader(self.socket)
        self.socket.close()


class HomeServers:
    """The servers of all ISPs; ``know`` first. Counts into the worker's statistics."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._servers: dict[str, list[_Server]] = {}
        self._silent: set[str] = set()
        self._known: dict[str, tuple[Any, ...]] = {}
        self._count = 0
        self._sweeping: asyncio.TimerHandle | None = None

    def know(self, isps: Iterable[Mapping[str, Any]]) -> None:
        """Take the ISPs of the network; the servers of unchanged ones are kept."""
        wanted = {isp["name"]: isp for isp in isps if isp.get("authentication_servers")}
        for name in self._servers.keys() - wanted.keys():
            self._forget(name)
        for name, isp in wanted.items():
            secret = isp.get("radius_secret", "")
            must_sign = isp.get("message_authenticator", "require") == "require"
            rows = (*isp["authentication_servers"], secret, must_sign)
            if self._known.get(name) != rows:
                self._forget(name)
                self._known[name] = rows
                self._servers[name] = [
                    _Server(where, secret.encode(), must_sign=must_sign)
                    for where in isp["authentication_servers"]
                ]
        self._silent = {
            name for name, isp in wanted.items() if isp.get("when_down") == "silence"
        }

    def _forget(self, name: str) -> None:
        for server in self._servers.pop(name, ()):
            server.close()
        self._known.pop(name, None)

    def ask(self, isp: str, asked: Asked, done: Done) -> None:
        """Ask an ISP's first server that lives (``radius.asked.Wholesale``)."""
        if b"\x21" + bytes((18,)) + _OURS in asked.proxy_states:
            done(Drop.LOOP)
            return
        self._send(isp, list(self._servers.get(isp, ())), asked, done)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(
                _SWEEP_SECONDS, self._sweep
            )

    def _send(self, isp: str, servers: list[_Server], asked: Asked, done: Done) -> None:
        now = clock.monotonic()
        while servers:
            server = servers.pop(0)
            if not server.liveness.is_alive(now):
                continue
            free = server.free(begins=begins(asked.packet))
            if free is None:
                continue
            port, identifier = free
            self._count += 1
            proxy_state = _OURS + self._count.to_bytes(8)
            request = forwarded(
                asked.packet,
                identifier=identifier,
                authenticator=os.urandom(16),
                secret=asked.secret,
                home_secret=server.secret,
                proxy_state=proxy_state,
            )
            if not request:
                done(Drop.LONG_ANSWER)
                return
            port.pending[identifier] = _Pending(
                request, asked, proxy_state, done, now, servers
            )
            server.liveness.asked(now)
            port.send(request)
            self._statistics.requests[asked.client.name, "home", isp] += 1
            return
        done(Drop.HOME_SERVER if isp in self._silent else None)

    def _sweep(self) -> None:
        """Give up on what was not answered in time; probe the dead."""
        now = clock.monotonic()
        busy = False
        for isp, servers in list(self._servers.items()):
            for server in servers:
                for port in server.ports:
                    lost = [
                        (identifier, pending)
                        for identifier, pending in port.pending.items()
                        if now - pending.sent_at >= ANSWER_SECONDS
                    ]
                    for identifier, pending in lost:
                        del port.pending[identifier]
                        server.liveness.lost(now)
                        self._send(isp, pending.others, pending.asked, pending.done)
                    busy |= bool(port.pending)
                if server.liveness.wants_probe(now):
                    self._probe(server)
                busy |= not server.liveness.is_alive(now)
        self._sweeping = (
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
            if busy
            else None
        )

    def _probe(self, server: _Server) -> None:
        free = server.free(begins=False)
        if free is not None:
            port, identifier = free
            port.probe = status_server(identifier, os.urandom(16), server.secret)
            port.send(port.probe)

    def close(self) -> None:
        """Close every port; what is under way gets no answer."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for name in list(self._servers):
            self._forget(name)
