"""The supervisor with small roles: life, death, reload and the end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port
from supervised import (
    ROOT,
    SMALL_ROLES,
    Daemon,
    running,
    settings_text,
)

from daemon.control_socket import ask
from daemon.keeper import DRAIN_SECONDS_MAX, BackOff


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A ready daemon with small roles."""
    with running(tmp_path, targets=SMALL_ROLES) as started:
        started.wait_ready()
        yield started


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_pause_before_a_restart_doubles_and_is_forgotten_after_a_minute() -> None:
    """Back-off starts at 0.1 s, doubles to 30 s, and resets after 60 s of health."""
    back_off = BackOff()
    pauses = [back_off.after(1.0) for _ in range(11)]

    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] == pauses
    assert 0.1 == back_off.after(60.0)
    assert 0.2 == back_off.after(0.0)


def test_sigterm_drains_every_role_and_exits_with_0(daemon: Daemon) -> None:
    """SIGTERM ends daemon and roles within 5 s, exit code 0, and says so in order."""
    pids = [role["pid"] for role in daemon.status()["roles"]]
    began = time.monotonic()

    assert daemon.end() == 0
    assert time.monotonic() - began < 5
    assert not any(alive(pid) for pid in pids)
    assert not (daemon.data_dir / "control.sock").exists()


def test_role_that_does_not_drain_is_killed_in_time(tmp_path: Path) -> None:
    """A role that ignores its stop is killed after 4 s; the rest is the machine's."""
    targets = {**SMALL_ROLES, "ledger": "supervised:stubborn"}
    with running(tmp_path, targets=targets) as daemon:
        daemon.wait_ready()
        began = time.monotonic()

        assert daemon.end(signal.SIGINT) == 0
        assert DRAIN_SECONDS_MAX <= time.monotonic() - began < 2 * DRAIN_SECONDS_MAX


def test_dead_role_is_started_again_and_what_was_queued_is_answered(
    daemon: Daemon,
) -> None:
    """Datagrams that arrive while a role is dead wait in its socket for the next."""
    before = daemon.role("radius-0")["pid"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        daemon.send(sock, "die")
        daemon.wait(lambda: not alive(before))
        daemon.send(sock, "later")
        answer = sock.recv(100).decode().split()

    assert answer[2] == "later"
    assert int(answer[0]) != before
    assert daemon.role("radius-0")["restarts"] == 1
    daemon.wait_ready()


def test_role_that_stops_beating_is_killed_and_replaced(daemon: Daemon) -> None:
    """A stopped process is no death the kernel tells of: ten silent seconds are."""
    before = daemon.role("radius-0")["pid"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        daemon.send(sock, "hang")

    daemon.wait(lambda: daemon.role("radius-0").get("pid", 0) not in (0, before))
    assert "role hangs, killed" in daemon.log.read_text()


def test_roles_end_when_the_supervisor_is_killed(daemon: Daemon) -> None:
    """The end of the channel tells the roles; the next daemon then has the stores."""
    pids = [role["pid"] for role in daemon.status()["roles"]]
    daemon.process.kill()
    daemon.process.wait()

    end = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def test_new_daemon_waits_for_roles_that_a_killed_one_left(tmp_path: Path) -> None:
    """Two generations never have the stores at once, even after kill -9."""
    targets = {**SMALL_ROLES, "ledger": "supervised:stubborn"}
    with running(tmp_path, targets=targets) as first:
        first.wait_ready()
        left = first.role("ledger")["pid"]
        first.process.kill()
        first.process.wait()
        with running(tmp_path, targets=SMALL_ROLES) as second:
            second.wait_ready()
            assert not alive(left)


def test_second_daemon_on_the_same_data_is_refused(daemon: Daemon) -> None:
    """The lock is told clearly: who has it, exit code 1."""
    second = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "run", "-c", str(daemon.configuration)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )

    assert second.returncode == 1
    assert f"in use by another fairlane (process {daemon.process.pid})" in second.stderr


def test_data_directory_and_control_socket_belong_to_the_owner_alone(
    daemon: Daemon,
) -> None:
    """0700 and 0600: who may open the socket is who owns the data."""
    folder = stat.S_IMODE(daemon.data_dir.stat().st_mode)
    sock = stat.S_IMODE((daemon.data_dir / "control.sock").stat().st_mode)

    assert (0o700, 0o600) == (folder, sock)


def test_reload_hands_the_sockets_over_without_losing_a_datagram(
    daemon: Daemon,
) -> None:
    """A stream of requests across two reloads is answered whole, by both settings."""
    sent, answers = 0, []
    port, http = daemon.accounting[1], daemon.http[1]
    for mark, workers in ((21, 3), (22, 1)):
        daemon.configure(
            settings_text(daemon.data_dir, port, http, mark=mark, workers=workers)
        )
        end = time.monotonic() + 30
        while time.monotonic() < end:
            # One source port a batch: the kernel spreads sources over workers.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
                source.settimeout(20)
                for _ in range(20):
                    daemon.send(source, f"n{sent}")
                    sent += 1
                answers += [source.recv(100).decode().split() for _ in range(20)]
            if answers[-1][1] == str(mark) and daemon.status().get("ready"):
                break

    assert {f"n{n}" for n in range(sent)} == {answer[2] for answer in answers}
    assert sent == len(answers)
    assert {"15", "21", "22"} >= {answer[1] for answer in answers} >= {"21", "22"}
    assert daemon.status()["last_reload"] == "applied"


def test_no_client_waits_for_workers_that_are_added(tmp_path: Path) -> None:
    """While new roles prepare, for 2 s here, every source port is answered at once."""
    targets = {**SMALL_ROLES, "radius": "supervised:slow_to_prepare"}
    with running(tmp_path, targets=targets) as daemon:
        daemon.wait_ready()
        port, http = daemon.accounting[1], daemon.http[1]
        text = settings_text(daemon.data_dir, port, http, mark=21, workers=4)
        daemon.configure(text)
        waits, mark = [], "15"
        while mark == "15":
            began = time.monotonic()
            mark = daemon.ask("next")[1]
            waits.append(time.monotonic() - began)

        assert len(waits) > 20
        assert max(waits) < 1.0


def test_bad_configuration_is_refused_whole_and_the_old_one_kept(
    daemon: Daemon,
) -> None:
    """Every problem is logged with its line; nobody is restarted."""
    before = [role["pid"] for role in daemon.status()["roles"]]
    daemon.configure('nonsense = 1\n[radius]\nworkers = "many"\n')

    daemon.wait(lambda: "problems" in daemon.status().get("last_reload", ""))
    assert before == [role["pid"] for role in daemon.status()["roles"]]
    log = daemon.log.read_text()
    assert "nonsense" in log
    assert "radius.workers" in log
    assert daemon.ask("still")[2] == "still"


def test_address_that_is_taken_refuses_the_reload(daemon: Daemon) -> None:
    """New sockets are bound before anything changes: a failure costs nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        text = settings_text(
            daemon.data_dir, taken.getsockname()[1], daemon.http[1], mark=33
        )
        daemon.configure(text)
        daemon.wait(lambda: "in use" in daemon.status().get("last_reload", ""))

    assert daemon.ask("still")[1:] == ["15", "still"]


def test_data_directory_cannot_change_while_running(
    daemon: Daemon, tmp_path: Path
) -> None:
    """The lock is on the directory, so a reload that moves it is refused."""
    text = settings_text(tmp_path / "other", daemon.accounting[1], daemon.http[1])
    daemon.configure(text)

    daemon.wait(lambda: "restart" in daemon.status().get("last_reload", ""))


def test_single_runs_all_roles_in_one_process(tmp_path: Path) -> None:
    """``--single``: the same roles, one process, the same control socket and end."""
    with running(tmp_path, "--single", targets=SMALL_ROLES) as daemon:
        status = daemon.wait_ready()

        assert {daemon.process.pid} == {role["pid"] for role in status["roles"]}
        assert daemon.ask("hello")[0] == str(daemon.process.pid)
        text = settings_text(
            daemon.data_dir, daemon.accounting[1], daemon.http[1], mark=44
        )
        daemon.configure(text)
        daemon.wait(lambda: daemon.ask("hello")[1] == "44")
        assert daemon.end() == 0


def test_trace_streams_what_roles_tell_to_those_who_watch(daemon: Daemon) -> None:
    """A watcher gets the events of its user; one of another user gets none."""
    events = ask(daemon.data_dir, {"command": "trace", "user": "ann"})
    others = ask(daemon.data_dir, {"command": "trace", "user": "bob"})
    assert "tracing" in next(events)
    assert "tracing" in next(others)
    daemon.ask("trace")
    event = next(events)

    assert ("ann", "told", "radius-0") == (
        event["user"],
        event["decision"],
        event["role"],
    )
    events.close()
    others.close()


def test_role_that_cannot_write_keeps_the_daemon_from_being_ready(
    tmp_path: Path,
) -> None:
    """Ready means that stores are writable, not only that processes live."""
    targets = {**SMALL_ROLES, "ledger": "supervised:unwell"}
    with running(tmp_path, targets=targets) as daemon:
        daemon.wait(lambda: daemon.role("ledger").get("detail"))

        assert daemon.role("ledger")["state"] == "serving"
        assert daemon.status()["ready"] is False


def test_configuration_with_problems_exits_with_78(tmp_path: Path) -> None:
    """All problems at once on standard error, and nothing is made."""
    file = tmp_path / "fairlane.toml"
    file.write_text('data_dri = "x"\n[radius]\nworkers = 0\n')
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "run", "-c", str(file)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )

    assert done.returncode == 78
    assert "did you mean 'data_dir'?" in done.stderr
    assert "radius.workers" in done.stderr
    assert os.listdir(tmp_path) == ["fairlane.toml"]  # noqa: PTH208


def test_port_that_is_taken_exits_with_1_and_names_it(tmp_path: Path) -> None:
    """An address in use is a clear error, not a traceback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "fairlane.toml"
        file.write_text(settings_text(tmp_path / "data", free_port(), port))
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli", "run", "-c", str(file)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert f"http 127.0.0.1:{port}: Address already in use" in done.stderr
