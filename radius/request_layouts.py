"""Accounting-Requests whose form is known, which is the receiver's quick way.

A NAS builds its packets alike: the same attributes, of the same lengths, in the same
order. A walk over a packet reads nothing but its types and lengths, so it need not be
done again where those are what they were in a packet that was walked: one comparison
of a mask tells. What has no layout yet, or is not plain, goes the way of ``trim`` and
``walk``, which remain the only judges.
"""

from __future__ import annotations

from radius.packet import HEADER_OCTETS, Code, Notable

_LAYOUTS = 8
"""Layouts of one packet length: names of other lengths can make up for one another."""
_LENGTHS = 256
"""Packet lengths with layouts; more than names and counters make of one another."""
_LEARN_EVERY = 8
"""Making a layout costs as much as some walks; one in so many unknown packets is enough
to have the frequent layouts soon, and bounds what the rare ones cost."""


def form_mask(packet: bytes) -> bytearray:
    """Give 255 for each octet of a walked packet that is an attribute's type or length,
    and 0 for the others."""
    mask = bytearray(len(packet))
    place = HEADER_OCTETS
    while place < len(packet):
        mask[place] = mask[place + 1] = 0xFF
        place += packet[place + 1]
    return mask


class RequestLayouts:
    """Learns layouts of plain Accounting-Requests: neither signed by a
    Message-Authenticator nor with a Proxy-State."""

    def __init__(self) -> None:
        self._layouts: dict[int, list[tuple[int, int]]] = {}
        self._unknown = 0

    def hold(self, datagram: bytes) -> bool:
        """Whether a datagram has a known layout: then it is an Accounting-Request
        without padding, and a walk over it would find nothing notable."""
        octets = int.from_bytes(datagram)
        for mask, expected in self._layouts.get(len(datagram), ()):
            if octets & mask == expected:
                return True
        return False

    def learn(self, packet: bytes, notable: Notable) -> None:
        """Take notice of an authentic packet that was walked and has no layout."""
        if packet[0] != Code.ACCOUNTING_REQUEST:
            return
        if notable.message_authenticator or notable.proxy_states:
            return
        self._unknown += 1
        if self._unknown % _LEARN_EVERY:
            return
        mask = form_mask(packet)
        mask[0] = mask[2] = mask[3] = 0xFF  # the code and the packet's length
        if len(self._layouts) >= _LENGTHS:
            self._layouts.clear()
        layouts = self._layouts.setdefault(len(packet), [])
        number = int.from_bytes(mask)
        layouts.insert(0, (number, int.from_bytes(packet) & number))
        del layouts[_LAYOUTS:]
