"""What a DHCP client asks for: all that decides the answer, and nothing else.

The codec makes an ``Ask`` of a packet and the allocation answers it: so the rules of
allocation are tested without a packet, and those of packets without a pool.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct


class Message(StrEnum):
    """What is asked, by the client's state (RFC 2131 sections 4.3 and 4.4)."""

    DISCOVER = "discover"
    RAPID = "rapid"
    """A DISCOVER that would take its offer at once (RFC 4039)."""
    SELECTING = "selecting"
    ELSEWHERE = "elsewhere"
    """A REQUEST that takes another server's offer, and so declines ours."""
    INIT_REBOOT = "init-reboot"
    RENEWING = "renewing"
    REBINDING = "rebinding"
    DECLINE = "decline"
    RELEASE = "release"


class Agent(NamedTuple):
    """What the relay says of the line: sub-options of option 82, opaque octets.

    Empty where absent. ``octets`` is the whole option's content as received, stored
    with the lease because unicast renewals come without it.
    """

    octets: bytes = b""
    circuit_id: bytes = b""
    remote_id: bytes = b""
    subscriber_id: bytes = b""


class Ask(Struct, frozen=True, gc=False):
    """One question.

    ``area`` is the area of the trusted relay; "" when the client asks by unicast,
    whose lease then tells. ``giaddr`` and all addresses are integers, 0 for none.
    ``link`` is the address whose subnet the client is on where that is said apart from
    giaddr (RFC 3527, RFC 3011), else giaddr. ``hardware`` is htype and chaddr;
    ``client_id`` option 61's content, or empty. ``address`` is what is asked for:
    option 50 or ciaddr. ``seconds`` is the lease time asked for (option 51), 0 for
    none. ``ipv6_only`` tells that option 108 is in the parameter request list (RFC
    8925).
    """

    message: Message
    area: str
    giaddr: int
    link: int
    agent: Agent
    client_id: bytes
    hardware: bytes
    address: int
    seconds: int
    ipv6_only: bool
