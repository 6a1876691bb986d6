"""What is let go first when there is more than can be done (RFC 5080 section 2.2.3).

The last part of a bounded queue is kept for what would be missed most. Of accounting
that is a Stop, which nothing follows, then a Start; the next Interim-Update says what a
lost one did. Of Access-Requests it is one with State, which has cost others work
already: an EAP conversation that breaks off begins again from its first packet.
"""

from __future__ import annotations

STATUS_TYPE = 40
_STATE = 24
_START, _INTERIM = b"\0\0\0\1", b"\0\0\0\3"


def kept_from(packet: bytes, room: int) -> int:
    """Give how much of a queue for ``room`` records is not for this accounting."""
    match _value(packet, STATUS_TYPE):
        case value if value == _INTERIM:
            return room // 4
        case value if value == _START:
            return room // 8
    return 0


def begins(packet: bytes) -> bool:
    """Tell whether an Access-Request is the first of its conversation."""
    return _value(packet, _STATE) is None


def _value(packet: bytes, kind: int) -> bytes | None:
    """Give the first attribute of a kind; the lengths are known to add up."""
    place, end = 20, len(packet)
    while place < end:
        behind = place + packet[place + 1]
        if packet[place] == kind:
            return packet[place + 2 : behind]
        place = behind
    return None
