"""CoA and Disconnect sent by a running daemon to a NAS that answers as it likes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from access_site import SECRET
from e2e.coa_nas import CoaNas
from e2e.daemon_process import Daemon, NasSocket, running, wait_until
from radius_packets import packet

from radius.packet import Code


def network(nas: CoaNas) -> str:
    """Services 1 to 4 on lines of their own."""
    services = "".join(
        f"""
[[line]]
name = "line-{n}"
area = "harbour"
[[service]]
name = "aurora-{n}"
isp = "aurora"
line = "line-{n}"
user_names = ["sub{n}@aurora.example"]
password = "arctangent"
offering = "home-500"
"""
        for n in range(1, 5)
    )
    return f"""
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
[[nas]]
name = "bng1"
area = "harbour"
address = "127.0.0.1/32"
secret = "{SECRET.decode()}"
profile = "mikrotik"
coa_port = {nas.port}
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 500000
up_kbps = 100000
{services}"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, nas: CoaNas) -> Iterator[Daemon]:
    """One daemon for all."""
    folder = tmp_path_factory.mktemp("daemon")
    with running(folder, network=network(nas)) as daemon:
        yield daemon


def online(daemon: Daemon, n: int, **values: Any) -> None:
    """Report about the session of service ``n``, and wait until it is known."""
    report = packet(
        n,
        **{
            "status": 1,
            "acct_session_id": f"S{n}",
            "user_name": f"sub{n}@aurora.example",
            "framed_ip_address": f"100.64.0.{n}",
            **values,
        },
    )
    with NasSocket(daemon.accounting_port) as accounting:
        accounting.ask(report)
    wait_until(daemon.applied)


def states(daemon: Daemon, n: int) -> list[tuple[str, str, int | None]]:
    """Give kind, state and Error-Cause of a service's commands, the oldest first."""
    text = daemon.run("coa", "list", "--json", "--service", f"aurora-{n}")
    rows = [json.loads(line) for line in text.splitlines()]
    return [(r["kind"], r["state"], r["error_cause"]) for r in reversed(rows)]


def test_a_change_is_sent_again_identically_and_proven_by_accounting(
    daemon: Daemon, nas: CoaNas
) -> None:
    """RFC 5080 section 2.2.1: lost once, sent again octet for octet after two seconds;
    acknowledged, and verified when the session reports again with its new rate."""
    nas.script["S1"] = [None, Code.COA_ACK]
    online(daemon, 1)

    daemon.run("coa", "send", "aurora-1")
    wait_until(lambda: [("coa", "acked", None)] == states(daemon, 1))

    (first, request), (second, _) = nas.of("S1")
    assert first == second
    assert ["100000k/500000k"] == request["Mikrotik-Rate-Limit"]
    assert ["100.64.0.1"] == [str(a) for a in request["Framed-IP-Address"]]
    wait_until(lambda: clock_passed(daemon, 1))
    online(daemon, 1, status=3, session_seconds=5)
    wait_until(lambda: [("coa", "verified", None)] == states(daemon, 1))


def clock_passed(daemon: Daemon, n: int) -> bool:
    """Say whether a new second has begun since the answer: times are in seconds."""
    text = daemon.run("coa", "list", "--json", "--service", f"aurora-{n}")
    answered: int = json.loads(text.splitlines()[0])["answered_at"]
    return int(time.time()) > answered


def test_a_refused_change_is_followed_by_a_disconnect_that_a_stop_proves(
    daemon: Daemon, nas: CoaNas
) -> None:
    """NAK with its Error-Cause kept; then only what names the session is sent."""
    nas.script["S2"] = [(Code.COA_NAK, "Unsupported-Attribute"), Code.DISCONNECT_ACK]
    online(daemon, 2)

    daemon.run("coa", "send", "aurora-2", "--up-kbps", "64", "--down-kbps", "128")
    wait_until(
        lambda: (
            [("coa", "nacked", 401), ("disconnect", "acked", None)] == states(daemon, 2)
        )
    )

    (_, change), (_, disconnect) = nas.of("S2")
    assert ["64k/128k"] == change["Mikrotik-Rate-Limit"]
    assert "Mikrotik-Rate-Limit" not in disconnect
    online(daemon, 2, status=2, session_seconds=9)
    wait_until(lambda: ("disconnect", "verified", None) in states(daemon, 2))


def test_a_session_that_the_nas_has_not_is_gone_and_nobody_is_asked_again(
    daemon: Daemon, nas: CoaNas
) -> None:
    """Error-Cause 503: neither a failure nor a reason to disconnect."""
    nas.script["S3"] = [(Code.COA_NAK, "Session-Context-Not-Found")]
    online(daemon, 3)

    daemon.run("coa", "send", "aurora-3")
    wait_until(lambda: [("coa", "gone", 503)] == states(daemon, 3))

    assert 1 == len(nas.of("S3"))


def test_a_killed_daemon_sends_again_what_it_had_not_finished(
    daemon: Daemon, nas: CoaNas
) -> None:
    """The command is a row: the next process carries it out."""
    nas.script["S4"] = [None, Code.DISCONNECT_ACK]
    online(daemon, 4)
    daemon.run("coa", "send", "aurora-4", "--disconnect")
    wait_until(lambda: nas.of("S4"))

    daemon.kill()
    daemon.start()
    wait_until(lambda: [("disconnect", "acked", None)] == states(daemon, 4))
    online(daemon, 4, status=2, session_seconds=9)
    wait_until(lambda: [("disconnect", "verified", None)] == states(daemon, 4))


def test_a_service_that_is_not_there_is_an_error(daemon: Daemon) -> None:
    """Exit code 1, and nothing queued."""
    with pytest.raises(AssertionError, match="there is no service 'nobody'"):
        daemon.run("coa", "send", "nobody")
