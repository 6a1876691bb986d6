"""Datagrams arrive one by one, and from the address asked, however they were sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from daemon.datagrams import DatagramSocket, address_of, arrived_at
from daemon.segmentation import Segmentation


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def server(request: pytest.FixtureRequest) -> Iterator[DatagramSocket]:
    """A socket that answers, on one address and on all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((request.param, 0))
        yield DatagramSocket(sock)


@pytest.fixture
def clients(server: DatagramSocket) -> Iterator[list[socket.socket]]:
    """Three that have asked; the last at another address, if there is one."""
    with ExitStack() as stack:
        made = []
        asked = ["127.0.0.1", "127.0.0.1", "127.0.0.1"]
        if server.local[0] == "0.0.0.0":
            asked[2] = "127.0.0.9"
        for address in asked:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.settimeout(5)
            sock.connect((address, server.local[1]))  # hears that address alone
            sock.send(b"asked")
            made.append(sock)
        yield made


def asked(server: DatagramSocket, count: int) -> list[tuple[bytes, bytes, bytes]]:
    """Give what came; on loopback it is there when ``send`` returns."""
    came = server.receive()
    assert len(came) == count
    return came


@pytest.mark.parametrize(
    "order", [[0], [0, 0, 0], [0, 0, 1], [1, 0, 0, 0], [2, 2], [0, 1, 2, 2, 1, 0]]
)
def test_each_datagram_comes_with_its_sender_and_where_it_arrived(
    server: DatagramSocket, clients: list[socket.socket], order: list[int]
) -> None:
    """Of one sender or of several, in whatever order they came, and after others."""
    asked(server, 3)
    for number, who in enumerate(order):
        clients[who].send(bytes((number, who)))
    came = asked(server, len(order))
    for (octets, source, local), (number, who) in zip(
        came, enumerate(order), strict=True
    ):
        assert bytes((number, who)) == octets
        assert clients[who].getsockname() == address_of(source)
        if server.local[0] == "0.0.0.0":
            address = socket.inet_aton(clients[who].getpeername()[0])
            assert address == arrived_at(local)


def test_many_of_one_size_come_one_by_one(
    server: DatagramSocket, clients: list[socket.socket]
) -> None:
    """More than one call of the kernel takes, of each length that replies have."""
    came = asked(server, 3)
    replies = [
        (bytes((n, who)) + bytes(size), source, local)
        for n in range(70)
        for who, (_, source, local) in enumerate(came)
        for size in (298, 298, 546, 1470, n)
    ]
    for at in range(0, len(replies), 150):
        assert server.send(replies[at : at + 150]) == 150
        for who, client in enumerate(clients):
            wanted = [
                octets for octets, _, _ in replies[at : at + 150] if octets[1] == who
            ]
            heard = [client.recv(4096) for _ in wanted]
            assert sorted(heard) == sorted(wanted)


def test_a_place_that_refuses_keeps_nothing_from_others(
    server: DatagramSocket, clients: list[socket.socket]
) -> None:
    """A broadcast without leave is refused; the others are answered."""
    _, source, local = asked(server, 3)[0]
    nowhere = source[:4] + b"\xff\xff\xff\xff" + source[8:]
    refused = [(b"refused", nowhere, local)] * 3
    server.send([*refused, (b"first", source, local), (b"second", source, local)])
    assert [clients[0].recv(64), clients[0].recv(64)] == [b"first", b"second"]


def test_what_is_too_long_for_the_way_goes_singly(
    server: DatagramSocket, clients: list[socket.socket]
) -> None:
    """Whatever the kernel says of the size, each datagram is tried by itself."""
    _, source, local = asked(server, 3)[0]
    octets = [bytes((n,)) * 4000 for n in range(20)]
    server.send([(each, source, local) for each in octets])
    assert sorted(clients[0].recv(8192) for _ in octets) == octets


def test_where_datagrams_may_go_uncut() -> None:
    """Over loopback; where no way leads, not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        known = Segmentation(sock)
        assert known.allowed(socket.inet_aton("127.0.0.1"))
        assert not known.allowed(socket.inet_aton("255.255.255.255"))
        known.refuse(socket.inet_aton("127.0.0.1"))
        assert not known.allowed(socket.inet_aton("127.0.0.1"))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        assert not Segmentation(sock).supported
