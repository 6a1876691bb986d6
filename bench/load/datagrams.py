"""Many datagrams a system call, from the client's side, by ctypes.

Python's socket module sends and receives one datagram a call, which costs a load
generator more than building the packet. Linux has `sendmmsg` and `recvmmsg`; the
headers that they take are laid out once, over the memory of the slots, and only the
list of slots to send is rewritten.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Sequence

from bench.load.packets import SLOT_BYTES, SLOTS, Slots

__all__ = ["REPLY_BYTES", "SourcePort"]

REPLY_BYTES = 256
"""Longest reply that is read whole; an Accounting-Response has 20 octets."""

_HEADER = struct.Struct("@PI4xPNPNi4xI4x")
"""struct mmsghdr of 64-bit Linux: msghdr, then msg_len."""
_VECTOR = struct.Struct("@PN")
_LENGTH_AT = 14
_WORDS = _HEADER.size // 4
_MSG_DONTWAIT = 0x40

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = [*_sendmmsg.argtypes, ctypes.c_void_p]


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class SourcePort:
    """One connected UDP socket with its 256 slots.

    Connected, so that the kernel drops what does not come from the server and tells
    when nobody listens.
    """

    def __init__(self, source: str, target: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect(target)
        self.socket.setblocking(False)
        self.slots = Slots()
        self.refused = 0
        """Sends that failed because nobody listened."""
        self._descriptor = self.socket.fileno()
        base = _address(self.slots.buffer)
        self._vectors_of: dict[int, list[bytes]] = {}
        self._base = base
        self._out_vectors = bytearray(SLOTS * _VECTOR.size)
        self._out = bytearray(SLOTS * _HEADER.size)
        self._replies = bytearray(SLOTS * REPLY_BYTES)
        self._in_vectors = bytearray(SLOTS * _VECTOR.size)
        self._in = bytearray(SLOTS * _HEADER.size)
        for headers, vectors in (
            (self._out, self._out_vectors),
            (self._in, self._in_vectors),
        ):
            at = _address(vectors)
            for slot in range(SLOTS):
                _HEADER.pack_into(
                    headers,
                    slot * _HEADER.size,
                    *(0, 0, at + slot * _VECTOR.size, 1, 0, 0, 0, 0),
                )
        replies = _address(self._replies)
        for slot in range(SLOTS):
            _VECTOR.pack_into(
                self._in_vectors,
                slot * _VECTOR.size,
                *(replies + slot * REPLY_BYTES, REPLY_BYTES),
            )
        self._out_at, self._in_at = _address(self._out), _address(self._in)
        self._lengths = memoryview(self._in).cast("I")[_LENGTH_AT::_WORDS]

    def send(self, identifiers: Sequence[int], octets: int) -> None:
        """Send the packets of `octets` octets in these slots, in order.

        What the kernel does not take (full buffer, nobody listening) is lost like any
        datagram: its retransmission is due a second later.
        """
        vectors = self._vectors_of.get(octets)
        if vectors is None:
            vectors = self._vectors_of[octets] = [
                _VECTOR.pack(self._base + slot * SLOT_BYTES, octets)
                for slot in range(SLOTS)
            ]
        count = len(identifiers)
        self._out_vectors[: count * _VECTOR.size] = b"".join(
            [vectors[identifier] for identifier in identifiers]
        )
        done = 0
        while done < count:
            sent = _sendmmsg(
                self._descriptor, self._out_at + done * _HEADER.size, count - done, 0
            )
            if sent > 0:
                done += sent
                continue
            problem = ctypes.get_errno()
            if problem == errno.ECONNREFUSED:
                # Told once for an earlier datagram; the next call sends.
                self.refused += 1
            elif problem == errno.EAGAIN:
                return
            elif problem != errno.EINTR:
                raise OSError(problem, os.strerror(problem))

    def receive(self) -> list[bytes]:
        """All replies that have arrived, up to 256; empty when there are none."""
        count = _recvmmsg(self._descriptor, self._in_at, SLOTS, _MSG_DONTWAIT, None)
        if count <= 0:
            problem = ctypes.get_errno()
            if problem == errno.ECONNREFUSED:
                self.refused += 1
            elif problem not in (errno.EAGAIN, errno.EINTR):
                raise OSError(problem, os.strerror(problem))
            return []
        replies = self._replies
        return [
            bytes(replies[at : at + length])
            for at, length in zip(
                range(0, count * REPLY_BYTES, REPLY_BYTES),
                self._lengths[:count].tolist(),
                strict=True,
            )
        ]

    def close(self) -> None:
        """Close the socket; its slots stay readable."""
        self.socket.close()
