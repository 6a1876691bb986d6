"""What the service manager hears."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised import SMALL_ROLES, running, settings_text

from daemon import clock
from daemon.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A datagram socket in the place of systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        os.chdir(tmp_path)
        sock.bind(str(tmp_path / "notify"))
        yield sock


def test_without_a_service_manager_nothing_is_said() -> None:
    """No NOTIFY_SOCKET: every call does nothing."""
    silent = ServiceManager.from_environment({})
    silent.ready("x")
    silent.watchdog()

    assert (0.0, 0) == (silent.watchdog_seconds, silent.refused)


def test_variables_are_taken_so_that_roles_do_not_speak() -> None:
    """NOTIFY_SOCKET and WATCHDOG_* leave the environment."""
    environment = {
        "NOTIFY_SOCKET": "/x",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    found = ServiceManager.from_environment(environment)

    assert {"HOME": "/"} == environment
    assert ("/x", 30.0) == (found.address, found.watchdog_seconds)


def test_watchdog_of_another_process_is_not_ours() -> None:
    """WATCHDOG_PID names who is watched."""
    environment = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}

    assert ServiceManager.from_environment(environment).watchdog_seconds == 0.0


def test_abstract_names_begin_with_an_at_sign() -> None:
    """A leading @ stands for the null byte of the abstract namespace."""
    name = f"fairlane-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind(f"\0{name}")
        ServiceManager(address=f"@{name}").stopping()

        assert sock.recv(100).startswith(b"STOPPING=1\n")


def test_reloading_tells_the_monotonic_time_in_microseconds(
    manager: socket.socket,
) -> None:
    """RELOADING=1 needs MONOTONIC_USEC, or systemd does not believe it."""
    before = clock.monotonic_usec()
    ServiceManager(address=str(manager.getsockname())).reloading()
    lines = dict(line.split("=") for line in manager.recv(200).decode().splitlines())

    assert lines["RELOADING"] == "1"
    assert before <= int(lines["MONOTONIC_USEC"]) <= clock.monotonic_usec()


def test_manager_that_is_gone_does_not_stop_us(tmp_path: Path) -> None:
    """A refused datagram is counted, no more."""
    lonely = ServiceManager(address=str(tmp_path / "nobody"))
    lonely.watchdog()

    assert lonely.refused == 1


def test_daemon_says_ready_watchdog_reloading_and_stopping(
    tmp_path: Path, manager: socket.socket
) -> None:
    """The whole life in order; READY comes only after every role serves."""
    environment = {
        "NOTIFY_SOCKET": str(manager.getsockname()),
        "WATCHDOG_USEC": "1500000",
    }
    heard: list[str] = []

    def hear(wanted: str) -> None:
        while not (heard and wanted in heard[-1].splitlines()):
            heard.append(manager.recv(4096).decode())

    with running(tmp_path, targets=SMALL_ROLES, environment=environment) as daemon:
        hear("READY=1")
        assert all(role["state"] == "serving" for role in daemon.status()["roles"])
        hear("WATCHDOG=1")
        daemon.configure(
            settings_text(daemon.data_dir, daemon.accounting[1], daemon.http[1], mark=7)
        )
        hear("RELOADING=1")
        hear("READY=1")
        daemon.configure("nonsense = 1")
        hear("RELOADING=1")
        hear("READY=1")
        assert "reload refused" in heard[-1]
        assert daemon.end() == 0
        hear("STOPPING=1")
