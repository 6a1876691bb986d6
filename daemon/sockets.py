"""Binds the sockets, or takes those that the service manager bound (LISTEN_FDS).

The supervisor owns every socket and keeps it open when a role dies or is replaced:
what the kernel has queued waits for the next one.  Each RADIUS address gets one socket
per worker (SO_REUSEPORT: the kernel spreads clients over them by hash).  When
a reload asks for fewer workers the surplus sockets stay and are shared out, because
closing one would throw away what is queued in it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field

from config.values import host_and_port

# Not in the socket module of Python 3.11; the number is the same on every Linux
# but those on alpha, mips, parisc and sparc, where the plain option is used instead.
_SO_RCVBUFFORCE = 33
_LISTEN_FDS_START = 3
_HTTP_BACKLOG = 1024
_BY_WORKER = frozenset({"authentication", "accounting"})


class AddressError(ValueError):
    """An address to listen on that cannot be understood or bound."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen: ``kind`` is authentication, accounting, dhcp or http."""

    kind: str
    host: str
    port: int

    @property
    def type(self) -> socket.SocketKind:
        """Stream for HTTP, datagram for RADIUS and DHCP."""
        return socket.SOCK_STREAM if self.kind == "http" else socket.SOCK_DGRAM

    @property
    def family(self) -> socket.AddressFamily:
        """By the look of the address: a colon makes it IPv6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} {host}:{self.port}"


def endpoint(kind: str, text: str) -> Endpoint:
    """Read ``host:port`` or ``[v6]:port``; raises AddressError."""
    try:
        return Endpoint(kind, *host_and_port(text))
    except ValueError as error:
        raise AddressError(f"{text}: {error}") from error


def make(where: Endpoint, receive_buffer_bytes: int = 0) -> socket.socket:
    """Make one socket that is ready to be bound; raises AddressError."""
    try:
        sock = socket.socket(where.family, where.type)
    except OSError as error:
        raise AddressError(f"{where}: {error.strerror or error}") from error
    if where.family == socket.AF_INET6:
        # v4 clients come in on a v4 address or not at all: no mapped surprises.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if where.type == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        prepare(sock, receive_buffer_bytes)
    return sock


def bind(sock: socket.socket, where: Endpoint) -> None:
    """Bind a socket of ``make``; closes it and raises AddressError where it cannot."""
    try:
        # Resolves nothing; it turns the %scope of a link-local address into a number.
        found = socket.getaddrinfo(
            where.host,
            where.port,
            where.family,
            where.type,
            flags=socket.AI_NUMERICHOST,
        )
        sock.bind(found[0][4])
        if where.type == socket.SOCK_STREAM:
            prepare(sock, 0)
    except OSError as error:
        sock.close()
        raise AddressError(f"{where}: {error.strerror or error}") from error


def prepare(sock: socket.socket, receive_buffer_bytes: int) -> None:
    """Make ``sock`` non-blocking, listening or deep, whoever bound it."""
    sock.setblocking(False)
    if sock.type == socket.SOCK_STREAM:
        sock.listen(_HTTP_BACKLOG)
    elif receive_buffer_bytes:
        set_receive_buffer(sock, receive_buffer_bytes)


def set_receive_buffer(sock: socket.socket, wanted_bytes: int) -> int:
    """Ask for a receive buffer and return the bytes granted.

    SO_RCVBUFFORCE passes net.core.rmem_max but needs CAP_NET_ADMIN; without it the
    kernel cuts the request down silently, which ``doctor`` and the log tell.
    The kernel reports twice what was set, for its own book-keeping. A buffer that
    the service manager made deeper is left so.
    """
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted >= wanted_bytes:
        return granted
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted_bytes)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def inherited(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Take the sockets that socket activation passed (sd_listen_fds(3)).

    The variables are removed and the descriptors made close-on-exec, as the protocol
    asks.  LISTEN_PID of another process means that they are not ours.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for fd in range(_LISTEN_FDS_START, _LISTEN_FDS_START + int(count)):
        os.set_inheritable(fd, False)
        found.append(socket.socket(fileno=fd))
    return found


def serves(sock: socket.socket, where: Endpoint) -> bool:
    """Tell whether ``sock`` is bound to ``where``: same type, address and port."""
    if sock.family != where.family or sock.type != where.type:
        return False
    name = sock.getsockname()
    wanted = socket.inet_pton(where.family, where.host.partition("%")[0])
    bound = socket.inet_pton(sock.family, name[0].partition("%")[0])
    return bool(bound == wanted and name[1] == where.port)


@dataclass(slots=True)
class SocketPool:
    """Every socket of the daemon, by endpoint, across generations of roles."""

    inherited: list[socket.socket] = field(default_factory=list)
    bound: dict[Endpoint, list[socket.socket]] = field(default_factory=dict)

    def open(
        self, endpoints: Sequence[Endpoint], workers: int, receive_buffer_bytes: int
    ) -> dict[Endpoint, list[socket.socket]]:
        """Return the sockets for ``endpoints``, binding those that are missing.

        RADIUS has a socket for each of its ``workers``, all else one.
        All or nothing: on AddressError those bound by this call are closed again.
        Port 0 is bound once and then shared by the other workers' sockets. What joins
        sockets in use is left unbound until ``complete``: the kernel gives a socket its
        share of the clients as soon as it is bound, and nobody reads it yet.
        """
        opened: dict[Endpoint, list[socket.socket]] = {}
        fresh: list[socket.socket] = []
        try:
            for where in endpoints:
                have = list(self.bound.get(where, ()))
                in_use = bool(have)
                if not have:
                    have = [sock for sock in self.inherited if serves(sock, where)]
                    for sock in have:
                        prepare(sock, receive_buffer_bytes)
                wanted = workers if where.kind in _BY_WORKER else 1
                while len(have) < wanted and self._may_add(have):
                    sock = make(where, receive_buffer_bytes)
                    if not in_use:
                        bind(sock, _beside(where, have))
                    have.append(sock)
                    fresh.append(sock)
                opened[where] = have
        except AddressError:
            for sock in fresh:
                sock.close()
            raise
        return opened

    def complete(self, opened: dict[Endpoint, list[socket.socket]]) -> None:
        """Bind what ``open`` left unbound, now that somebody is about to read it.

        Raises AddressError; what is bound by then is for ``discard``.
        """
        for where, socks in opened.items():
            for sock in socks:
                if sock.getsockname()[1] == 0:
                    bind(sock, _beside(where, socks))

    def _may_add(self, have: list[socket.socket]) -> bool:
        # The kernel lets sockets share a port only under one user; those that the
        # service manager bound are its own, so workers share them instead.
        return not any(sock in self.inherited for sock in have)

    def adopt(self, opened: dict[Endpoint, list[socket.socket]]) -> None:
        """Make ``opened`` the sockets in use and close all others."""
        kept = {id(sock) for socks in opened.values() for sock in socks}
        for socks in self.bound.values():
            for sock in socks:
                if id(sock) not in kept:
                    sock.close()
        self.bound = opened

    def discard(self, opened: dict[Endpoint, list[socket.socket]]) -> None:
        """Close what ``opened`` has and the sockets in use do not: a failed reload."""
        kept = {id(sock) for socks in self.bound.values() for sock in socks}
        kept |= {id(sock) for sock in self.inherited}
        for socks in opened.values():
            for sock in socks:
                if id(sock) not in kept:
                    sock.close()

    def unclaimed(self) -> list[str]:
        """Name the inherited sockets that no configured address asked for."""
        claimed = {id(sock) for socks in self.bound.values() for sock in socks}
        return [
            str(sock.getsockname())
            for sock in self.inherited
            if id(sock) not in claimed
        ]

    def close(self) -> None:
        """Close all of them; the daemon is over."""
        for socks in self.bound.values():
            for sock in socks:
                sock.close()
        for sock in self.inherited:
            sock.close()


def _beside(where: Endpoint, have: Sequence[socket.socket]) -> Endpoint:
    """Say where the next socket of an endpoint goes: to the port that the first got."""
    if where.port or not have:
        return where
    return Endpoint(where.kind, where.host, have[0].getsockname()[1])


def share(
    socks: Sequence[socket.socket], index: int, workers: int
) -> list[socket.socket]:
    """Return worker ``index``'s part of one address's sockets.

    Every socket has a reader: more sockets than workers are dealt out in turn, fewer
    are read by several workers.
    """
    if len(socks) < workers:
        return [socks[index % len(socks)]]
    return list(socks[index::workers])
