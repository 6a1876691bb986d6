"""Accounting over real sockets, from a NAS's packet to rows."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.daemon_process import NAS, Daemon, NasSocket, running, wait_until
from e2e.nas_load import NasLoad, check
from radius_packets import SECRET, octets, packet

from radius.packet import (
    Code,
    attribute,
    is_message_authentic,
    message_authenticator,
)

START, STOP, INTERIM = 1, 2, 3
OLD_SECRET = b"the secret before this one"

NETWORK = f"""
[[nas]]
name = "bng1"
address = "127.0.0.1/32"
secrets = ["{SECRET.decode()}", "{OLD_SECRET.decode()}"]
[[nas]]
name = "bng6"
address = "::1/128"
secret = "{SECRET.decode()}"
"""

# Each module-wide daemon serves many tests: a session's id is the test's own.
LIMIT = 5


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon on every address of both families."""
    with running(
        tmp_path_factory.mktemp("daemon"),
        network=NETWORK,
        listen=("0.0.0.0", "::"),
        settings={"radius": f"status_server_per_second = {LIMIT}\n"},
    ) as daemon:
        yield daemon


@pytest.fixture
def nas(daemon: Daemon) -> Iterator[NasSocket]:
    """A NAS towards the accounting port, over IPv4."""
    with NasSocket(daemon.accounting_port) as nas:
        yield nas


def session_of(daemon: Daemon, name: str) -> dict[str, Any] | None:
    """Read one session, None when there is none."""
    found = [s for s in daemon.sessions() if s["acct_session_id"] == name]
    assert len(found) < 2
    return found[0] if found else None


def whole_session(name: str, now: int, secret: bytes = SECRET) -> list[bytes]:
    """Make a Start, two Interim-Updates and a Stop of 900 seconds."""
    reports: list[dict[str, Any]] = [{"status": START, "event_at": now - 900}]
    reports += [
        {
            "status": STOP if step == 3 else INTERIM,
            "event_at": now - 900 + 300 * step,
            "session_seconds": 300 * step,
            "input_packets": 1000 * step,
            "output_packets": 4000 * step,
            **octets("input", 1_000_000 * step),
            **octets("output", 3_000_000_000 * step),
        }
        for step in (1, 2, 3)
    ]
    reports[-1]["terminate_cause"] = 1
    return [
        packet(
            number,
            secret,
            acct_session_id=name,
            user_name="ann",
            framed_ip_address="192.0.2.7",
            calling_station_id="00-00-5E-00-53-01",
            **report,
        )
        for number, report in enumerate(reports, 1)
    ]


@pytest.mark.parametrize(
    ("address", "name"), [("127.0.0.1", "bng1"), ("::1", "bng6")], ids=["v4", "v6"]
)
def test_a_session_ends_as_one_row_and_its_usage(
    daemon: Daemon, address: str, name: str
) -> None:
    """Start, Interim-Updates and Stop over IPv4 and IPv6 become a session and usage."""
    now = int(time.time())
    session_id = f"whole-{name}"
    with NasSocket(daemon.accounting_port, address) as nas:
        for request in whole_session(session_id, now):
            answer = nas.ask(request)
            assert (answer[0], len(answer)) == (Code.ACCOUNTING_RESPONSE, 20)
    wait_until(lambda: (session_of(daemon, session_id) or {}).get("state") == "closed")
    session = session_of(daemon, session_id)
    assert session is not None
    wanted = {
        "nas": name,
        "user_name": "ann",
        "framed_ip_address": "192.0.2.7",
        "started_at": now - 900,
        "stopped_at": now,
        "terminate_cause": 1,
        "seconds": 900,
        "input_octets": 3_000_000,
        "output_octets": 9_000_000_000,
        "input_packets": 3000,
        "output_packets": 12000,
    }
    assert {key: session[key] for key in wanted} == wanted
    usage = [u for u in daemon.usage() if u["session_id"] == session["id"]]
    for field in ("seconds", "input_octets", "output_octets", "output_packets"):
        assert sum(record[field] for record in usage) == session[field]
    assert {record["derived"] for record in usage} == {"reported"}
    assert '"acct_session_id":"' + session_id in daemon.run(
        "sessions", "--json", "--session", session_id
    )


def test_the_status_shows_the_process_that_mediates(
    daemon: Daemon, nas: NasSocket
) -> None:
    """Behind the ledger that keeps it, with what it takes; and so do the metrics."""
    nas.ask(packet(200, status=START, acct_session_id="seen", user_name="ann"))

    def mediation() -> dict[str, Any]:
        roles = {role["role"]: role for role in daemon.status()["roles"]}
        return dict(roles["ledger"]["detail"]["mediation"])

    wait_until(lambda: mediation()["state"] in ("running", "waiting"))
    shown = rf"\n +mediation +{mediation()['pid']} .*batches_ahead: "
    assert re.search(shown, daemon.run("status"))
    wait_until(lambda: daemon.metric("fairlane_mediation_running") == 1)
    assert daemon.metric("fairlane_mediation_resident_bytes") > 2**20


def test_a_retransmission_gets_the_same_octets_and_is_one_record_rfc5080(
    daemon: Daemon, nas: NasSocket
) -> None:
    """RFC 5080 section 2.2.2: the same request gets the same answer, recorded once."""
    request = packet(7, status=START, acct_session_id="again")
    answers = {nas.ask(request) for _ in range(5)}
    assert len(answers) == 1
    assert daemon.journal().count(request) == 1


def test_the_answer_comes_from_the_address_that_was_asked_rfc2865(
    daemon: Daemon,
) -> None:
    """RFC 2865 section 3: who asks 127.0.0.9 hears from 127.0.0.9 and its port."""
    for number in (9, 10, 9):
        address = f"127.0.0.{number}"
        # Bound, because the kernel would take the asked address as the source too.
        with NasSocket(daemon.accounting_port, address, "127.0.0.1") as nas:
            nas.ask(packet(number, status=START, acct_session_id=address))
            assert nas.heard_from == (address, daemon.accounting_port)


def test_both_live_secrets_are_answered_in_kind(daemon: Daemon, nas: NasSocket) -> None:
    """While a secret is changed, each request is answered with the secret it came
    with, and a third secret is met with silence."""
    for number, secret in enumerate((SECRET, OLD_SECRET, SECRET), 1):
        name = f"secret-{number}"
        request = packet(number, secret, status=START, acct_session_id=name)
        nas.ask(request, secret)
    before = daemon.metric("fairlane_radius_dropped_total", reason="authenticator")
    nas.send(packet(4, b"none of these", status=START, acct_session_id="forged"))
    assert nas.hear(0.3) is None
    wait_until(
        lambda: (
            daemon.metric("fairlane_radius_dropped_total", reason="authenticator")
            == before + 1
        )
    )


def test_an_unknown_source_is_met_with_silence_and_counted_rfc2865(
    daemon: Daemon,
) -> None:
    """RFC 2865 section 3: a source without a secret is discarded silently."""
    before = daemon.metric("fairlane_radius_unknown_source_total")
    port = daemon.accounting_port
    with NasSocket(port, "127.0.0.1", "127.0.0.77") as stranger:
        for _ in range(20):
            stranger.send(packet(1, status=START, acct_session_id="stranger"))
        assert stranger.hear(0.3) is None
    wait_until(
        lambda: daemon.metric("fairlane_radius_unknown_source_total") == before + 20
    )
    assert session_of(daemon, "stranger") is None


def status_server(
    identifier: int, secret: bytes = SECRET, *, signed: bool = True
) -> bytes:
    """Make a Status-Server (RFC 5997 section 3)."""
    authenticator = bytes(range(identifier, identifier + 16))
    attributes = bytes((80, 18)) + bytes(16) if signed else attribute(32, b"bng1")
    request = (
        bytes((Code.STATUS_SERVER, identifier, 0, 20 + len(attributes)))
        + authenticator
        + attributes
    )
    if signed:
        request = request[:22] + message_authenticator(
            request, 22, secret, authenticator
        )
    return request


@pytest.mark.parametrize("kind", ["accounting", "authentication"])
def test_status_server_is_answered_on_both_ports_rfc5997(
    daemon: Daemon, kind: str
) -> None:
    """RFC 5997 section 3: Accounting-Response on one port, Access-Accept with a
    Message-Authenticator on the other; nothing without a right one."""
    port = getattr(daemon, f"{kind}_port")
    with NasSocket(port) as nas:
        nas.send(status_server(1, signed=False))
        nas.send(status_server(2, b"a wrong secret"))
        assert nas.hear(0.3) is None
        answer = nas.ask(status_server(3))
    if kind == "accounting":
        assert (answer[0], len(answer)) == (Code.ACCOUNTING_RESPONSE, 20)
    else:
        assert (answer[0], answer[20:22]) == (Code.ACCESS_ACCEPT, bytes((80, 18)))
        echo = status_server(3)
        signature = message_authenticator(answer, 22, SECRET, echo[4:20])
        assert signature == answer[22:38]
        assert is_message_authentic(echo, 22, SECRET)


def test_status_server_is_answered_so_often_a_second_rfc5997(daemon: Daemon) -> None:
    """RFC 5997 section 4.1: beyond its rate a client's questions are dropped, and its
    accounting goes on."""
    with NasSocket(daemon.accounting_port) as nas:
        began = time.monotonic()
        for number in range(100):
            nas.send(status_server(number))
        answers = 0
        while nas.hear(0.3) is not None:
            answers += 1
        # The burst may run over the end of one second or more of the daemon's clock.
        seconds = int(time.monotonic() - began) + 2
        assert 1 <= answers <= LIMIT * seconds < 100
        nas.ask(packet(1, status=START, acct_session_id="beside"), tries=1)
    wait_until(lambda: daemon.metric("fairlane_radius_dropped_total", reason="rate"))


VIOLATIONS = {
    "password": attribute(2, bytes(16)),
    "chap": attribute(3, bytes(17)),
    "reply-message": attribute(18, b"hello"),
    "state": attribute(24, b"state"),
    "status-twice": attribute(40, bytes((0, 0, 0, 3))),
    "session-twice": attribute(44, b"another"),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_packet_that_breaks_the_rules_is_answered_and_counts_for_nothing_rfc2866(
    daemon: Daemon, nas: NasSocket, what: str
) -> None:
    """RFC 2866 section 4.1: recorded, answered so that the NAS stops, no session."""
    nas.ask(
        packet(1, status=START, acct_session_id=what, raw=VIOLATIONS[what]), tries=3
    )
    nas.ask(packet(2, status=START, acct_session_id=f"after-{what}"))
    wait_until(lambda: session_of(daemon, f"after-{what}"))
    assert session_of(daemon, what) is None
    assert any(what.encode() in packet for packet in daemon.journal())


def test_a_new_nas_is_served_within_a_second_without_a_restart(
    tmp_path: Path,
) -> None:
    """`fairlane apply` of a network with one NAS more is enough."""
    with running(tmp_path, network=NETWORK) as daemon:
        pids = daemon.pids()
        request = packet(1, status=START, acct_session_id="new")
        port = daemon.accounting_port
        with NasSocket(port, "127.0.0.1", "127.0.0.3") as nas:
            nas.send(request)
            assert nas.hear(0.3) is None
            daemon.network.write_text(
                NETWORK + '[[nas]]\nname = "bng3"\naddress = "127.0.0.3/32"\n'
                f'secret = "{SECRET.decode()}"\n'
            )
            daemon.run("apply")
            applied = time.monotonic()
            nas.ask(request, seconds=0.05, tries=60)
            assert time.monotonic() - applied < 1.0
        assert daemon.pids() == pids
        wait_until(lambda: session_of(daemon, "new"))


def reload(daemon: Daemon, radius: str) -> str:
    """Reload with these settings and give what the daemon says of it."""
    assert daemon.process is not None
    daemon.configure({"radius": radius})
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_notice("RELOADING=1")
    daemon.wait_for_notice("READY=1")
    return str(daemon.status()["last_reload"])


def test_a_reload_loses_no_packet(tmp_path: Path) -> None:
    """SIGHUP replaces the roles while packets flow; a NAS that asks again after a
    second, as the most hasty do, asks once more at most."""
    with running(tmp_path) as daemon:
        before = daemon.pids()
        with NasLoad(daemon, lines=16, pace=0.005, retry=1.0) as load:
            for seconds in (20, 21):
                assert reload(daemon, f"duplicate_seconds = {seconds}\n") == "applied"
                wanted = load.acknowledged + 500
                wait_until(lambda wanted=wanted: load.acknowledged >= wanted)
            load.finish()
        assert load.most_tries <= 2
        assert not set(before.values()) & set(daemon.pids().values())
        wait_until(daemon.applied)
        check(load, daemon)


def test_a_reload_with_another_number_of_receivers_loses_no_packet(
    tmp_path: Path,
) -> None:
    """More receivers and fewer again: each request is answered in the end, none twice
    counted, whichever receiver and journal it falls to."""
    with running(tmp_path) as daemon:
        with NasLoad(daemon, lines=16, pace=0.005, retry=1.0) as load:
            for workers in (2, 1):
                assert reload(daemon, f"workers = {workers}\n") == "applied"
                assert ("radius-1" in daemon.pids()) == (workers == 2)
                wanted = load.acknowledged + 500
                wait_until(lambda wanted=wanted: load.acknowledged >= wanted)
            load.finish()
        wait_until(daemon.applied)
        check(load, daemon)


def test_a_bad_reload_keeps_what_is_in_force(tmp_path: Path) -> None:
    """A mistake in the configuration or in the network: the same processes go on with
    what they had."""
    with running(tmp_path) as daemon:
        digest, pids = daemon.status()["digest"], daemon.pids()
        with NasLoad(daemon, lines=4, pace=0.005, retry=1.0) as load:
            assert "2 problems" in reload(daemon, "workers = 0\nno_such_key = 1\n")
            daemon.network.write_text(NAS.replace("::1/128", "nowhere"))
            assert "1 problem" in reload(daemon, "")
            load.finish()
        assert load.most_tries <= 2
        assert (daemon.status()["digest"], daemon.pids()) == (digest, pids)
        with NasSocket(daemon.accounting_port) as nas:
            nas.ask(packet(1, status=START, acct_session_id="still"))


def test_sigterm_under_load_ends_well_within_five_seconds(tmp_path: Path) -> None:
    """The daemon drains, exits 0, and keeps what it answered for its next start."""
    with running(tmp_path) as daemon:
        with NasLoad(daemon, lines=32) as load:
            wait_until(lambda: load.acknowledged > 2000)
            began = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - began < 5.0
            load.leave()
        daemon.start()
        wait_until(daemon.applied)
        check(load, daemon)


def test_ready_is_told_when_readyz_is_green(tmp_path: Path) -> None:
    """Who is started by READY=1 and asks /readyz at once is told the same."""
    with running(tmp_path) as daemon:
        assert daemon.readiness() == 200


def test_both_ports_are_free_again_after_the_end(tmp_path: Path) -> None:
    """A daemon that has ended leaves no process behind that holds its sockets."""
    with running(tmp_path) as daemon:
        assert daemon.stop() == 0
        for port in (daemon.accounting_port, daemon.authentication_port):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("127.0.0.1", port))
