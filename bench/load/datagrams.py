"""Many datagrams a system call, from the client's side, by ctypes.

Python's socket module sends and receives one datagram a call, which costs a load
generator more than building the packet. Linux takes many of one size as one message
(`UDP_SEGMENT`): its octets are where they lie in the slots, and only the list of slots
is rewritten. The server gets each as a datagram. Where the kernel refuses that, as
through a device that cannot add checksums, `sendmmsg` takes them one by one. Replies
that came together are taken together (`UDP_GRO`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Sequence

from bench.load.packets import SLOT_BYTES, SLOTS, Slots
from daemon.segmentation import DATAGRAMS_MAX, UDP_SEGMENT

__all__ = ["SourcePort"]

_UDP_GRO = 104
_MESSAGES = 64
"""Messages that one call receives; each is one reply or many of one size."""
_MESSAGE_BYTES = 8192
"""Room for one: the kernel puts up to 128 datagrams together, and an
Accounting-Response has 20 octets, 38 with a Message-Authenticator."""

_MESSAGE = struct.Struct("@PI4xPNPNi4x")
"""struct msghdr of 64-bit Linux."""
_HEADER = struct.Struct("@PI4xPNPNi4xI4x")
"""struct mmsghdr: msghdr, then msg_len."""
_VECTOR = struct.Struct("@PN")
_RECEIVED = struct.Struct("@40xN8xI4x")
"""Of a received mmsghdr, how many octets of control there are and of data."""
_CONTROL = struct.Struct("@Nii")
"""struct cmsghdr: its length, level and type; data follows, here up to 8 octets."""
_CONTROL_BYTES = _CONTROL.size + 8
_SIZE = struct.Struct(f"@{_CONTROL.size}xi")
_MSG_DONTWAIT = 0x40

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_sendmsg = _libc.sendmsg
_sendmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = [*_sendmmsg.argtypes, ctypes.c_void_p]


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class _Inbox:
    """Where replies are received; one for all ports, whose turns never overlap."""

    def __init__(self) -> None:
        self.octets = bytearray(_MESSAGES * _MESSAGE_BYTES)
        self._vectors = bytearray(_MESSAGES * _VECTOR.size)
        self.controls = bytearray(_MESSAGES * _CONTROL_BYTES)
        self.headers = bytearray(_MESSAGES * _HEADER.size)
        octets, vectors = _address(self.octets), _address(self._vectors)
        controls = _address(self.controls)
        for number in range(_MESSAGES):
            _VECTOR.pack_into(
                self._vectors,
                number * _VECTOR.size,
                *(octets + number * _MESSAGE_BYTES, _MESSAGE_BYTES),
            )
            _HEADER.pack_into(
                self.headers,
                number * _HEADER.size,
                *(0, 0, vectors + number * _VECTOR.size, 1),
                *(controls + number * _CONTROL_BYTES, _CONTROL_BYTES, 0, 0),
            )
        self.fresh = bytes(self.headers)
        self.address = _address(self.headers)


_inbox = _Inbox()


class SourcePort:
    """One connected UDP socket with its 256 slots.

    Connected, so that the kernel drops what does not come from the server and tells
    when nobody listens.
    """

    def __init__(self, source: str, target: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        self.socket.bind((source, 0))
        self.socket.connect(target)
        self.socket.setblocking(False)
        self.slots = Slots()
        self.refused = 0
        """Sends that failed because nobody listened."""
        self.together = True
        """Whether datagrams of one size leave as one; the kernel may refuse it."""
        self._descriptor = self.socket.fileno()
        self._vectors_of: dict[int, list[bytes]] = {}
        self._base = _address(self.slots.buffer)
        self._vectors = bytearray(SLOTS * _VECTOR.size)
        self._vectors_at = _address(self._vectors)
        self._singles = bytearray(SLOTS * _HEADER.size)
        for slot in range(SLOTS):
            _HEADER.pack_into(
                self._singles,
                slot * _HEADER.size,
                *(0, 0, self._vectors_at + slot * _VECTOR.size, 1, 0, 0, 0, 0),
            )
        self._singles_at = _address(self._singles)
        self._message = bytearray(_MESSAGE.size)
        self._message_at = _address(self._message)
        self._control = bytearray(_CONTROL_BYTES)
        self._control_at = _address(self._control)
        self._control_octets = 0

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
        self._vectors[: count * _VECTOR.size] = b"".join(
            [vectors[identifier] for identifier in identifiers]
        )
        done = 0
        while done < count:
            if self.together:
                sent = self._send_together(done, count, octets)
            else:
                first = self._singles_at + done * _HEADER.size
                sent = _sendmmsg(self._descriptor, first, count - done, 0)
            if sent > 0:
                done += sent
                continue
            problem = ctypes.get_errno()
            if problem == errno.ECONNREFUSED:
                # Told once for an earlier datagram; the next call sends.
                self.refused += 1
            elif problem == errno.EAGAIN:
                return
            elif problem == errno.EINTR:
                continue
            elif self.together:
                self.together = False
            else:
                raise OSError(problem, os.strerror(problem))

    def _send_together(self, done: int, count: int, octets: int) -> int:
        """Send what is left as one message, or as much as one takes (64 slots are less
        than 65,507 octets); how many left, or -1."""
        if octets != self._control_octets:
            _CONTROL.pack_into(
                self._control, 0, _CONTROL.size + 2, socket.IPPROTO_UDP, UDP_SEGMENT
            )
            size = octets.to_bytes(2, sys.byteorder)
            self._control[_CONTROL.size : _CONTROL.size + 2] = size
            self._control_octets = octets
        some = min(DATAGRAMS_MAX, count - done)
        _MESSAGE.pack_into(
            self._message,
            0,
            *(0, 0, self._vectors_at + done * _VECTOR.size, some),
            *(self._control_at, _CONTROL_BYTES, 0),
        )
        sent = _sendmsg(self._descriptor, self._message_at, 0)
        return some if sent >= 0 else -1

    def receive(self) -> list[tuple[bytes, int]]:
        """Replies that have arrived, those together that the kernel put together: their
        octets, one behind the other, and how many each has. Empty when there are none.
        """
        inbox = _inbox
        count = _recvmmsg(
            self._descriptor, inbox.address, _MESSAGES, _MSG_DONTWAIT, None
        )
        if count <= 0:
            problem = ctypes.get_errno()
            if problem == errno.ECONNREFUSED:
                self.refused += 1
            elif problem not in (errno.EAGAIN, errno.EINTR):
                raise OSError(problem, os.strerror(problem))
            return []
        replies = []
        for number in range(count):
            told, length = _RECEIVED.unpack_from(inbox.headers, number * _HEADER.size)
            at = number * _MESSAGE_BYTES
            octets = bytes(inbox.octets[at : at + length])
            if not told:
                replies.append((octets, length))
                continue
            (size,) = _SIZE.unpack_from(inbox.controls, number * _CONTROL_BYTES)
            last = length % size
            replies.append((octets[: length - last], size))
            if last:  # only the last one may be shorter
                replies.append((octets[length - last :], last))
        used = count * _HEADER.size
        inbox.headers[:used] = inbox.fresh[:used]
        return replies

    def close(self) -> None:
        """Close the socket; its slots stay readable."""
        self.socket.close()
