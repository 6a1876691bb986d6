"""UDP in batches: many datagrams a call, each answered from the address it asked.

``recvmmsg`` and ``sendmmsg`` through ctypes, because one call for 64 datagrams costs
about an eighth less CPU than ``recvfrom`` and ``sendto`` for each, and because the
destination address of each datagram (``IP_PKTINFO``, RFC 3542 for IPv6) comes along for
nothing, where ``socket.recvmsg`` takes longer than all the rest. A datagram's source is
kept as the kernel's own ``sockaddr`` octets: good as a dictionary key and as the
destination of the reply; ``address_of`` makes it readable where someone reads it.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import socket
import struct
import sys
from itertools import repeat
from typing import TYPE_CHECKING

from daemon.segmentation import DATAGRAMS_MAX, OCTETS_MAX, UDP_SEGMENT, Segmentation

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH = 64
"""Datagrams a call: past this there is hardly anything more to save."""

DATAGRAM_OCTETS = 4096
"""Octets kept of a datagram: RFC 2865 section 3's maximum; the rest is padding."""

_CONTROL_OCTETS = 48
_IPV6_PKTINFO = struct.Struct("@NiI16sI4x")
_IPV4_PKTINFO = struct.Struct("@NiIi4s4s4x")
_PKTINFO = slice(16, 28)
"""The address in ``_IPV4_PKTINFO``, without its header and the padding behind it."""
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8


Datagram = tuple[bytes, bytes, bytes]
"""One datagram: its octets, its sender's sockaddr, and where it arrived."""


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint))


_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_int,
    ctypes.c_void_p,
)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


def address_of(source: bytes) -> tuple[str, int]:
    """Give the address and port in a sockaddr; an IPv4-mapped address as IPv4."""
    family, port = struct.unpack_from("=H", source)[0], int.from_bytes(source[2:4])
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, source[4:8]), port
    address = ipaddress.IPv6Address(source[8:24])
    return str(address.ipv4_mapped or address), port


def arrived_at(local: bytes) -> bytes:
    """Give the IPv4 address, 4 octets, in what a wildcard socket's ``local`` says."""
    octets: bytes = _IPV4_PKTINFO.unpack_from(local)[4]
    return octets


class _Vector:
    """A row of message headers over one block of memory, laid out once."""

    def __init__(self, name_octets: int, *, control: bool) -> None:
        self.data = bytearray(BATCH * DATAGRAM_OCTETS)
        self.names = bytearray(BATCH * name_octets)
        self.controls = bytearray(BATCH * _CONTROL_OCTETS)
        self.vectors = (_IoVec * BATCH)()
        self.headers = (_MMsgHdr * BATCH)()
        data, names = _address(self.data), _address(self.names)
        controls = _address(self.controls)
        for i in range(BATCH):
            self.vectors[i].base = data + i * DATAGRAM_OCTETS
            self.vectors[i].length = DATAGRAM_OCTETS
            header = self.headers[i].header
            header.name = names + i * name_octets
            header.namelen = name_octets
            header.iov = ctypes.addressof(self.vectors) + i * ctypes.sizeof(_IoVec)
            header.iovlen = 1
            if control:
                header.control = controls + i * _CONTROL_OCTETS
                header.controllen = _CONTROL_OCTETS
        self.address = ctypes.addressof(self.headers)
        self.raw = memoryview(self.headers).cast("B")
        self.fresh = bytes(self.headers)


def _address(memory: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


_MMSGHDR_OCTETS = ctypes.sizeof(_MMsgHdr)
_LENGTH = f"{_MMsgHdr.length.offset}xI{_MMSGHDR_OCTETS - _MMsgHdr.length.offset - 4}x"
_LENGTHS = [struct.Struct("=" + _LENGTH * count) for count in range(BATCH + 1)]
"""Reads the lengths of as many datagrams; most calls bring a few."""


def _pieces(row: bytes, count: int, size: int) -> list[bytes]:
    """Cut a row; those that are alike, as of one sender, are one object, which hashes
    once and is equal to itself at once."""
    first = row[:size]
    if row[: count * size] == first * count:
        return [first] * count
    return [row[at : at + size] for at in range(0, count * size, size)]


class DatagramSocket:
    """A bound, non-blocking UDP socket that receives and answers in batches.

    ``sock`` is bound already; it stays the caller's to close. On a wildcard address the
    kernel is asked for each datagram's destination, and the reply leaves from it.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.local = sock.getsockname()[:2]
        self._fd = sock.fileno()
        self._ipv6 = sock.family == socket.AF_INET6
        self._name_octets = 28 if self._ipv6 else 16
        self._wildcard = ipaddress.ip_address(self.local[0]).is_unspecified
        if self._wildcard and self._ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif self._wildcard:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._in = _Vector(self._name_octets, control=self._wildcard)
        self._out = _Vector(self._name_octets, control=self._wildcard)
        self._lengths = [DATAGRAM_OCTETS] * BATCH
        self._data = memoryview(self._in.data)
        self._starts = range(0, BATCH * DATAGRAM_OCTETS, DATAGRAM_OCTETS)
        self._reply_controls: dict[bytes, bytes] = {}
        self._segmentation = Segmentation(sock)

    def receive(self) -> list[Datagram]:
        """Give up to ``BATCH`` datagrams that wait in the kernel, or none."""
        vector = self._in
        vector.raw[:] = vector.fresh
        count = _recvmmsg(self._fd, vector.address, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            if count < 0 and ctypes.get_errno() not in _NOTHING_NOW:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            return []
        lengths = _LENGTHS[count].unpack_from(vector.raw)
        data, names, size = self._data, bytes(vector.names), self._name_octets
        octets = [
            data[o : o + n].tobytes()
            for o, n in zip(self._starts, lengths, strict=False)
        ]
        sources = _pieces(names, count, size)
        if not self._wildcard:
            return list(zip(octets, sources, repeat(b""), strict=False))
        locals_ = _pieces(bytes(vector.controls), count, _CONTROL_OCTETS)
        return list(zip(octets, sources, locals_, strict=True))

    def send(self, replies: list[tuple[bytes, bytes, bytes]]) -> int:
        """Send ``(octets, source, local)`` each to its source; give how many left.

        A full socket buffer stops the batch: what is left over is not sent, and the
        client's retransmission asks for it again.
        """
        sent = 0
        if len(replies) > 1 and self._segmentation.supported:
            replies, sent = self._send_alike(replies)
        for start in range(0, len(replies), BATCH):
            sent += self._send_batch(replies[start : start + BATCH])
        return sent

    def _send_alike(
        self, replies: list[tuple[bytes, bytes, bytes]]
    ) -> tuple[list[tuple[bytes, bytes, bytes]], int]:
        """Send those of one size to one place together; give the others, and how many
        have left."""
        alike: dict[tuple[bytes, bytes, int], list[bytes]] = {}
        latest, group = None, []
        for octets, source, local in replies:
            kind = source, local, len(octets)
            if kind != latest:  # who sends, sends several in a row
                latest, group = kind, alike.setdefault(kind, [])
            group.append(octets)
        if len(alike) == len(replies):
            return replies, 0
        others, sent = [], 0
        for (source, local, size), group in alike.items():
            each = min(DATAGRAMS_MAX, OCTETS_MAX // max(1, size))
            for start in range(0, len(group), each):
                some = group[start : start + each]
                if len(some) > 1 and self._sent_together(some, source, local, size):
                    sent += len(some)
                else:
                    others += [(octets, source, local) for octets in some]
        return others, sent

    def _sent_together(
        self, octets: list[bytes], source: bytes, local: bytes, size: int
    ) -> bool:
        """Send datagrams of one size as one; False when it is better done singly."""
        address = source[4:8]
        if not self._segmentation.allowed(address):
            return False
        control = [(socket.IPPROTO_UDP, UDP_SEGMENT, size.to_bytes(2, sys.byteorder))]
        if self._wildcard:
            pktinfo = self._reply_controls.get(local) or self._reply_control(local)
            control.append((socket.IPPROTO_IP, _IP_PKTINFO, pktinfo[_PKTINFO]))
        try:
            self.sock.sendmsg([b"".join(octets)], control, 0, address_of(source))
        except OSError as error:
            if error.errno not in _NOTHING_NOW:
                self._segmentation.refuse(address)
            return False
        return True

    def _send_batch(self, replies: list[tuple[bytes, bytes, bytes]]) -> int:
        vector, size = self._out, self._name_octets
        data, names, lengths = vector.data, vector.names, self._lengths
        place = name = 0
        for i, (octets, source, _) in enumerate(replies):
            n = len(octets)
            data[place : place + n] = octets
            names[name : name + size] = source
            if lengths[i] != n:  # nearly all replies have the same 20 octets
                lengths[i] = vector.vectors[i].length = n
            place += DATAGRAM_OCTETS
            name += size
        if self._wildcard:
            self._set_controls(local for _, _, local in replies)
        sent = 0
        while sent < len(replies):
            count = _sendmmsg(
                self._fd,
                vector.address + sent * _MMSGHDR_OCTETS,
                len(replies) - sent,
                0,
            )
            if count > 0:
                sent += count
            elif ctypes.get_errno() in _NOTHING_NOW:
                return sent
            else:  # this one destination refuses (EPERM, ENETUNREACH ...): go past it
                sent += 1
        return sent

    def _set_controls(self, locals_: Iterable[bytes]) -> None:
        for i, local in enumerate(locals_):
            control = self._reply_controls.get(local)
            if control is None:
                control = self._reply_control(local)
            begin = i * _CONTROL_OCTETS
            self._out.controls[begin : begin + len(control)] = control
            self._out.headers[i].header.controllen = len(control)

    def _reply_control(self, local: bytes) -> bytes:
        """Turn a received pktinfo into the one that sends from the same address.

        The interface is left to routing (0), except for link-local addresses, which
        mean nothing without it.
        """
        if self._ipv6:
            size, level, kind, address, interface = _IPV6_PKTINFO.unpack_from(local)
            if not ipaddress.IPv6Address(address).is_link_local:
                interface = 0
            control = _IPV6_PKTINFO.pack(size, level, kind, address, interface)
        else:
            size, level, kind, _, here, _ = _IPV4_PKTINFO.unpack_from(local)
            control = _IPV4_PKTINFO.pack(size, level, kind, 0, here, bytes(4))
        if len(self._reply_controls) < 4096:  # as many as a host has addresses
            self._reply_controls[local] = control
        return control

    def kernel_drops(self) -> int:
        """Give how many datagrams the kernel dropped for want of receive buffer."""
        info = self.sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        return int(struct.unpack_from("=9I", info)[_MEMINFO_DROPS])


_IP_PKTINFO = 8
_NOTHING_NOW = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED})
