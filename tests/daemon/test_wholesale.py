"""An ISP's home server that has more to do than it can."""

from __future__ import annotations

import asyncio
import socket

from radius_packets import SECRET

from config.plant import Nas
from daemon.wholesale import HomeServers
from radius.asked import Asked, HomeAnswer
from radius.nas import NasTable
from radius.outcomes import Drop, Statistics
from radius.packet import Code, attribute

FIRST = attribute(1, b"sub1@aurora.example")
LATER = FIRST + attribute(24, b"round two")


class _Nowhere:
    def send(self, replies: list[tuple[bytes, bytes, bytes]]) -> int:
        """Let go of answers: nobody waits for them here."""
        return len(replies)


def asked(number: int, attributes: bytes) -> Asked:
    """Give a request of a NAS."""
    client = NasTable.build(
        [Nas(name="bng1", address="127.0.0.1/32", secret=SECRET.decode())]
    ).find("127.0.0.1")
    assert client is not None
    head = bytes((Code.ACCESS_REQUEST, number & 255)) + b"\0\0" + number.to_bytes(16)
    packet = head + attributes
    packet = packet[:2] + len(packet).to_bytes(2) + packet[4:]
    return Asked(
        _Nowhere(), packet, b"", client, SECRET, is_signed=True, address=b"", local=b""
    )


def test_the_last_places_at_a_home_server_are_for_conversations_under_way() -> None:
    """RFC 5080 section 2.2.3: who has begun may end, before others begin."""
    answers: list[HomeAnswer | Drop | None] = []

    async def ask_all() -> list[int]:
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 0))
        servers = HomeServers(Statistics())
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        servers.know(
            [
                {
                    "name": "aurora",
                    "authentication_servers": [where],
                    "radius_secret": "x",
                }
            ]
        )
        refused = []
        for attributes, count in ((FIRST, 3500), (LATER, 1500)):
            before = len(answers)
            for number in range(count):
                servers.ask("aurora", asked(number, attributes), answers.append)
            refused.append(len(answers) - before)
        servers.close()
        silent.close()
        return refused

    assert [3500 - 12 * 256, 1500 - 4 * 256] == asyncio.run(ask_all())
    assert {None} == set(answers)
