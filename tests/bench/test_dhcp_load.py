"""The DHCP load generator: its packets are real, what becomes of them is counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scapy.layers.dhcp import BOOTP, DHCP

from bench.dhcp_load import Load

CLIENTS = 20


def options(packet: BOOTP) -> dict[str, object]:
    """What a packet's options say."""
    return {option[0]: option[1] for option in packet[DHCP].options if option != "end"}


@contextmanager
def server(addresses: list[str]) -> Iterator[tuple[int, list[BOOTP]]]:
    """A peer of scapy's that gives a client its address by the client's number; none
    to whom there is none for."""
    asked: list[BOOTP] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        first: list[int] = []

        def serve() -> None:
            while True:
                octets, source = sock.recvfrom(2048)
                if not octets:
                    return
                request = BOOTP(octets)
                asked.append(request)
                first[:] = first or [request.xid]
                number = request.xid - first[0]
                if number >= len(addresses):
                    continue
                kind = "ack" if options(request)["message-type"] == 3 else "offer"
                reply = BOOTP(op=2, xid=request.xid, yiaddr=addresses[number]) / DHCP(
                    options=[
                        ("lease_time", 3600),
                        ("message-type", kind),
                        ("server_id", "127.0.0.1"),
                        "end",
                    ]
                )
                sock.sendto(bytes(reply), source)

        thread = threading.Thread(target=serve)
        thread.start()
        yield sock.getsockname()[1], asked
        sock.sendto(b"", sock.getsockname())
        thread.join()


def test_exchanges_go_all_four_ways() -> None:
    """Each client takes its own offer, of the server that made it (RFC 2131 4.3.2)."""
    addresses = [f"10.0.0.{n + 1}" for n in range(CLIENTS)]
    with server(addresses) as (port, asked):
        run = Load(port, 0).run(rate=200, seconds=CLIENTS / 200)
    assert run.discovers == run.offers == run.requests == run.acks == CLIENTS
    assert (run.lost, run.twice, run.refused) == (0, 0, 0)
    assert len({packet.chaddr[:6] for packet in asked}) == CLIENTS
    requests = [p for p in asked if options(p)["message-type"] == 3]
    assert {options(p)["requested_addr"] for p in requests} == set(addresses)
    assert {options(p)["server_id"] for p in requests} == {"127.0.0.1"}
    assert {(p.giaddr, p.hops, p.htype, p.hlen) for p in asked} == {
        ("127.0.0.1", 1, 1, 6)
    }


def test_what_is_not_answered_is_lost_and_an_address_given_twice_is_told() -> None:
    """Five clients get nothing, and two the same."""
    addresses = [f"10.0.0.{max(n, 1)}" for n in range(CLIENTS - 5)]
    with server(addresses) as (port, _):
        run = Load(port, 0).run(rate=200, seconds=CLIENTS / 200)
    assert (run.discovers, run.acks, run.lost, run.twice) == (20, 15, 5, 1)
