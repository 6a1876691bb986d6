"""What the allocation decides of an ``Ask``; silence is an answer, with its reason.

``record`` is what must be durable before the answer may leave, in the journal's form;
None when there is nothing new to make durable.
"""

from __future__ import annotations

from msgspec import Struct


class Lease(Struct, frozen=True, gc=False):
    """The address that is offered or acknowledged, and for how long, in seconds.

    ``pool`` names the pool whose options the reply carries. Address 0 with
    ``ipv6_only_seconds`` is RFC 8925's answer. ``reason`` is the rung of the ladder
    (``renewed``, ``replaced``, ``granted_own`` ...).
    """

    address: int
    pool: str
    seconds: int
    t1: int
    t2: int
    reason: str
    ipv6_only_seconds: int = 0


class Offer(Struct, frozen=True, gc=False):
    """DHCPOFFER: held for the line for a while, nothing on disk."""

    lease: Lease


class Ack(Struct, frozen=True, gc=False):
    """DHCPACK, once ``record`` is durable."""

    lease: Lease
    record: bytes | None


class Nak(Struct, frozen=True, gc=False):
    """DHCPNAK, with its stable reason code."""

    reason: str


class Done(Struct, frozen=True, gc=False):
    """Something changed that no reply tells of: a RELEASE or DECLINE that is taken."""

    reason: str
    record: bytes | None


class Silence(Struct, frozen=True, gc=False):
    """No reply, counted by its stable reason code."""

    reason: str


class Park(Struct, frozen=True, gc=False):
    """No reply yet: an over-allocation request is being granted, and the answer follows
    when it is, two seconds at most.
    """

    request: str


Answer = Offer | Ack | Nak | Done | Silence | Park
