"""Junk at a running daemon: datagrams that nearly are RADIUS."""

from __future__ import annotations

import hashlib
import hmac
import random
from pathlib import Path

import pytest
from access_site import access_request, chap, pap
from e2e.daemon_process import NasSocket, running, wait_until
from radius_cases import CASES
from radius_packets import SECRET, octets, packet

from radius.packet import attribute

DATAGRAMS, DATAGRAMS_LONG = 20_000, 1_000_000
BURST = 200
MEBIBYTE = 1 << 20


def seeds() -> list[bytes]:
    """Give packets to start from: ours, and captured ones where they are."""
    made = [
        packet(1, status=1, acct_session_id="x", user_name="y" * 60),
        packet(
            2,
            status=3,
            acct_session_id="x",
            session_seconds=10,
            raw=bytes((80, 18)) + bytes(16) + bytes((33, 5)) + b"abc",
            **octets("input", 1 << 33),
        ),
        packet(3, status=2, acct_session_id="x", raw=bytes((26, 12)) + bytes(10)),
        bytes((12, 4, 0, 38)) + bytes(16) + bytes((80, 18)) + bytes(16),
    ]
    made += [pap(), chap(), access_request(attribute(79, b"\2\1\0\5\1"))]
    if CASES.is_dir():
        made += [path.read_bytes() for path in sorted(CASES.glob("*/*.packet"))]
    return made


def mutated(chance: random.Random, packets: list[bytes]) -> bytes:
    """Change a packet in a few places; half of the time sign what came of it."""
    octets_ = bytearray(chance.choice(packets))
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(octets_)) if octets_ else 0
        match chance.randrange(7):
            case 0 if octets_:
                octets_[place] ^= 1 << chance.randrange(8)
            case 1 if octets_:
                octets_[place] = chance.choice((0, 1, 2, 3, 254, 255))
            case 2:
                octets_[place:place] = chance.randbytes(chance.randint(1, 40))
            case 3:
                del octets_[place : place + chance.randint(1, 40)]
            case 4:
                octets_ += octets_[20:][: chance.randint(1, 2000)]
            case 5:
                octets_ = octets_[: chance.randrange(len(octets_) + 1)]
            case _ if len(octets_) >= 4:
                octets_[2:4] = chance.randrange(1 << 16).to_bytes(2)
            case _:
                pass
    if chance.random() < 0.5 and len(octets_) >= 20:
        if chance.random() < 0.8:
            octets_[2:4] = min(len(octets_), 4096).to_bytes(2)
        octets_[0] = chance.choice((4, 4, 4, 12, 1, 40, 43))
        if octets_[0] == 1 and octets_[20:22] == b"\x50\x12":
            length = int.from_bytes(octets_[2:4])
            octets_[22:38] = bytes(16)
            octets_[22:38] = hmac.digest(SECRET, bytes(octets_[:length]), "md5")
            return bytes(octets_[:9000])
        octets_[4:20] = bytes(16)
        signed = bytes(octets_[: int.from_bytes(octets_[2:4])]) + SECRET
        octets_[4:20] = hashlib.md5(signed, usedforsecurity=False).digest()
    return bytes(octets_[:9000])


@pytest.mark.timeout(3600)
def test_mutated_datagrams_leave_it_serving_with_flat_memory(
    tmp_path: Path, long: bool
) -> None:
    """Between bursts of junk valid requests are answered at once, no role dies, and the
    receiver keeps its memory."""
    chance = random.Random(5080)
    packets = seeds()
    with (
        running(tmp_path, settings={"log": 'level = "error"\n'}) as daemon,
        NasSocket(daemon.accounting_port) as junk,
        NasSocket(daemon.authentication_port) as other,
        NasSocket(daemon.accounting_port) as nas,
    ):
        total = DATAGRAMS_LONG if long else DATAGRAMS
        pids = daemon.pids()
        before = 0
        for burst in range(total // BURST):
            for _ in range(BURST):
                sender = other if chance.random() < 0.4 else junk
                sender.send(mutated(chance, packets))
            nas.ask(
                packet(burst % 256, status=1, acct_session_id=f"valid-{burst}"),
                tries=3,
            )
            for sender in (junk, other):
                while sender.hear(0) is not None:
                    pass
            if burst == 9:  # buffers have their size and every path has run
                before = daemon.resident_bytes("radius-0")
        assert daemon.pids() == pids
        grown = daemon.resident_bytes("radius-0") - before
        assert grown < 20 * MEBIBYTE
        wait_until(daemon.applied, 60)
        valid = [
            session
            for session in daemon.sessions()
            if session["acct_session_id"].startswith("valid-")
        ]
        assert len(valid) == total // BURST
        wait_until(lambda: daemon.readiness() == 200)
        # The receiver tells its counts once a second.
        malformed = "fairlane_radius_malformed_total"
        wait_until(lambda: daemon.metric(malformed) > total // 10)
