"""Binding, socket activation and the dealing out of sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from supervised import ROOT

from daemon import sockets
from daemon.sockets import AddressError, Endpoint, SocketPool


@pytest.fixture
def pool() -> Iterator[SocketPool]:
    """An empty pool that is closed at the end."""
    made = SocketPool()
    yield made
    made.close()


def udp(port: int = 0, host: str = "127.0.0.1") -> Endpoint:
    """An accounting address."""
    return Endpoint("accounting", host, port)


def test_addresses_of_both_families_are_read() -> None:
    """IPv6 stands in brackets."""
    assert udp(1813) == sockets.endpoint("accounting", "127.0.0.1:1813")
    assert Endpoint("http", "::1", 80) == sockets.endpoint("http", "[::1]:80")
    with pytest.raises(AddressError, match="host:port"):
        sockets.endpoint("http", "::1")


def test_workers_share_one_port(pool: SocketPool) -> None:
    """Three workers are three sockets on the same port, also when it is chosen."""
    (opened,) = pool.open([udp()], 3, 0).values()
    pool.adopt({udp(): opened})

    assert len({sock.getsockname() for sock in opened}) == 1
    assert len(opened) == 3
    assert all(s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for s in opened)


def test_ipv6_socket_takes_no_ipv4_clients(pool: SocketPool) -> None:
    """IPV6_V6ONLY: the same port is free for IPv4."""
    (opened,) = pool.open([udp(host="::1")], 1, 0).values()
    pool.adopt({udp(): opened})

    assert opened[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_fewer_workers_close_no_socket(pool: SocketPool) -> None:
    """What is queued in a surplus socket is read by the workers that are left."""
    first = pool.open([udp()], 3, 0)
    pool.adopt(first)
    second = pool.open([udp()], 2, 0)
    pool.adopt(second)
    dealt = [sockets.share(second[udp()], index, 2) for index in range(2)]

    assert [2, 1] == [len(part) for part in dealt]
    assert first[udp()] == second[udp()]
    assert all(sock.fileno() >= 0 for sock in second[udp()])


def test_what_joins_sockets_in_use_is_bound_when_somebody_reads_it(
    pool: SocketPool,
) -> None:
    """The kernel gives a bound socket its share of the clients at once."""
    pool.adopt(pool.open([udp()], 1, 0))
    wider = pool.open([udp()], 3, 0)
    port = wider[udp()][0].getsockname()[1]

    assert [port, 0, 0] == [sock.getsockname()[1] for sock in wider[udp()]]
    pool.complete(wider)
    assert [port, port, port] == [sock.getsockname()[1] for sock in wider[udp()]]
    pool.adopt(wider)


def test_failed_bind_closes_what_was_bound_with_it(pool: SocketPool) -> None:
    """All or nothing: a reload that fails leaves no socket behind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(AddressError, match=f"accounting 127.0.0.1:{port}: Address"):
            pool.open([udp(), udp(port)], 2, 0)

        assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_receive_buffer_is_never_made_smaller() -> None:
    """One that the service manager deepened stays deep."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        granted = sockets.set_receive_buffer(sock, 131072)

        assert granted >= 131072
        assert granted == sockets.set_receive_buffer(sock, 65536)


def test_inherited_socket_is_matched_by_type_and_address() -> None:
    """Port and address alone do not do: TCP is not UDP, 0.0.0.0 is not 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

        assert sockets.serves(sock, udp(port))
        assert not sockets.serves(sock, udp(port, "0.0.0.0"))
        assert not sockets.serves(sock, Endpoint("http", "127.0.0.1", port))
        assert not sockets.serves(sock, udp(port, "::1"))


def test_workers_read_an_inherited_socket_together(pool: SocketPool) -> None:
    """Ours cannot join another user's port, so the given socket serves all workers."""
    given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    given.bind(("127.0.0.1", 0))
    where = udp(given.getsockname()[1])
    pool.inherited.append(given)
    opened = pool.open([where], 3, 0)
    pool.adopt(opened)

    assert [given] == opened[where]
    assert [given] == sockets.share(opened[where], 2, 3)
    assert [] == pool.unclaimed()


def test_variables_of_another_process_are_left_alone() -> None:
    """LISTEN_PID says whom the descriptors are for."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2"}

    assert [] == sockets.inherited(environment)
    assert {} == environment


def test_socket_activation_passes_descriptors_from_three() -> None:
    """LISTEN_FDS as systemd passes them: number three on, ours by LISTEN_PID."""
    code = (
        "import os, sys; from daemon import sockets;"
        "os.dup2(int(sys.argv[1]), 3);"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "found = sockets.inherited(os.environ);"
        "print(found[0].getsockname()[1], os.get_inheritable(3),"
        " 'LISTEN_FDS' in os.environ)"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        done = subprocess.run(
            [sys.executable, "-c", code, str(sock.fileno())],
            pass_fds=[sock.fileno()],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )

        assert f"{sock.getsockname()[1]} False False" == done.stdout.strip()


def test_unclaimed_inherited_sockets_are_named(pool: SocketPool) -> None:
    """A unit and a configuration that disagree are told."""
    given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    given.bind(("127.0.0.1", 0))
    pool.inherited.append(given)
    pool.adopt(pool.open([udp()], 1, 0))

    assert [str(given.getsockname())] == pool.unclaimed()
