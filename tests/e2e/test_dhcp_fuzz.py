"""Junk at a running address server: datagrams that nearly are DHCP."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from dhcp_cases import DHCP_CASES, captured, relayed
from dhcp_packets import (
    ACK,
    DECLINE,
    DISCOVER,
    INFORM,
    LEASEQUERY,
    OFFER,
    RELEASE,
    REQUEST,
    agent,
    ip,
    message,
    option,
)
from e2e.daemon_process import wait_until
from e2e.dhcp_client import RelaySocket, serving

DATAGRAMS, DATAGRAMS_LONG = 4000, 1_000_000
BURST = 200
MEBIBYTE = 1 << 20


def seeds() -> list[bytes]:
    """Give packets to start from: ours, and captured ones where they are."""
    line = option(82, agent(b"ge-0/0/1", b"\0remote", option(5, ip("10.0.0.1"))))
    asked = option(50, ip("10.0.0.9")) + option(54, ip("127.0.0.1"))
    made = [
        message(DISCOVER, option(55, b"\1\3\6\x6c") + option(61, b"\1abc") + line),
        message(REQUEST, asked + line),
        message(REQUEST, line, ciaddr="10.0.0.9"),
        message(DECLINE, asked + line),
        message(RELEASE, asked + line, ciaddr="10.0.0.9"),
        message(INFORM, line),
        message(LEASEQUERY, line, ciaddr="10.0.0.9"),
        message(
            DISCOVER,
            option(52, b"\3") + line,
            file=option(60, b"x" * 40) + b"\xff",
            sname=option(12, b"name") + b"\xff",
        ),
    ]
    if DHCP_CASES.is_dir():
        made += captured() + relayed()
    return made


def mutated(chance: random.Random, packets: list[bytes]) -> bytes:
    """Change a packet in a few places; mostly let it pass for the relay's."""
    octets = bytearray(chance.choice(packets))
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(octets)) if octets else 0
        match chance.randrange(6):
            case 0 if octets:
                octets[place] ^= 1 << chance.randrange(8)
            case 1 if octets:
                octets[place] = chance.choice((0, 1, 2, 52, 53, 82, 254, 255))
            case 2:
                octets[place:place] = chance.randbytes(chance.randint(1, 40))
            case 3:
                del octets[place : place + chance.randint(1, 40)]
            case 4:
                octets += octets[240:][: chance.randint(1, 2000)]
            case _:
                octets = octets[: chance.randrange(len(octets) + 1)]
    if chance.random() < 0.8 and len(octets) >= 240:
        octets[0] = 1
        octets[3] = 1
        octets[24:28] = ip("127.0.0.1")
        octets[236:240] = b"\x63\x82\x53\x63"
    return bytes(octets[:9000])


@pytest.mark.timeout(3600)
def test_mutated_datagrams_leave_it_serving_with_flat_memory(
    tmp_path: Path, long: bool
) -> None:
    """Between bursts of junk clients get their leases at once, no role dies, and the
    address server keeps its memory."""
    chance = random.Random(2131)
    packets = seeds()
    with serving(tmp_path) as daemon, RelaySocket(daemon.dhcp_port) as relay:
        total = DATAGRAMS_LONG if long else DATAGRAMS
        pids = daemon.pids()
        before = 0
        for burst in range(total // BURST):
            for _ in range(BURST):
                relay.send(mutated(chance, packets))
            offer = relay.ask(relay.discover(burst))
            ack = relay.ask(relay.request(burst, offer.yiaddr))
            assert (OFFER, ACK) == (offer.kind, ack.kind)
            assert offer.yiaddr == ack.yiaddr
            if burst == 4:  # buffers have their size and every path has run
                before = daemon.resident_bytes("ipserver")
        assert pids == daemon.pids()
        assert daemon.resident_bytes("ipserver") - before < 30 * MEBIBYTE
        malformed = "fairlane_dhcp_malformed_total"
        wait_until(lambda: daemon.metric(malformed) > total // 20)
