"""The daemon held against programs and packets that others made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.daemon_process import Daemon, NasSocket, running, wait_until
from radius_cases import CASES, captured, needs_cases
from radius_cases import packet as case
from radius_packets import packet

SECRET = b"nearbuy"
"""The secret of the captured packets."""

NETWORK = """
[[nas]]
name = "bng1"
address = "127.0.0.0/8"
secret = "nearbuy"
[[nas]]
name = "bng6"
address = "::1/128"
secret = "nearbuy"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all."""
    folder = tmp_path_factory.mktemp("daemon")
    with running(folder, network=NETWORK, listen=("0.0.0.0", "::")) as daemon:
        yield daemon


@pytest.fixture
def nas(daemon: Daemon) -> Iterator[NasSocket]:
    """A NAS towards the accounting port."""
    with NasSocket(daemon.accounting_port) as nas:
        yield nas


@pytest.fixture(scope="module")
def radclient() -> str:
    """FreeRADIUS's client."""
    found = shutil.which("radclient")
    if found is None:
        reason = "radclient is not installed (Debian: freeradius-utils)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def ask_with(radclient: str, port: int, kind: str, text: str, host: str) -> str:
    """Send requests written as attributes; radclient checks each answer."""
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as requests:
        requests.write(text)
        requests.flush()
        done = subprocess.run(
            [
                *(radclient, "-x", "-r", "3", "-t", "2", "-f", requests.name),
                *(f"{host}:{port}", kind, SECRET.decode()),
            ],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"], ids=["v4", "v6"])
def test_radclient_reports_a_session(daemon: Daemon, radclient: str, host: str) -> None:
    """A Start, an Interim-Update and a Stop of radclient's are a session to the octet,
    with what it says about the subscriber."""
    name = f"radclient-{'6' if '[' in host else '4'}"
    common = (
        f'User-Name = "bob", Acct-Session-Id = "{name}", '
        'NAS-Identifier = "olt", Framed-IP-Address = 192.0.2.9, '
        'Calling-Station-Id = "00-00-5E-00-53-09", Framed-IPv6-Prefix = 2001:db8::/64, '
    )
    text = "\n\n".join(
        (
            common + "Acct-Status-Type = Start",
            common + "Acct-Status-Type = Interim-Update, Acct-Session-Time = 1, "
            "Acct-Input-Octets = 1000, Acct-Output-Octets = 5, "
            "Acct-Output-Gigawords = 1",
            common + "Acct-Status-Type = Stop, Acct-Session-Time = 2, "
            "Acct-Input-Octets = 2000, Acct-Output-Octets = 7, "
            "Acct-Output-Gigawords = 1, Acct-Terminate-Cause = User-Request",
        )
    )
    shown = ask_with(radclient, daemon.accounting_port, "acct", text + "\n", host)
    assert shown.count("Received Accounting-Response") == 3

    def closed() -> list[dict[str, object]]:
        return [
            s
            for s in daemon.sessions()
            if s["acct_session_id"] == name and s["state"] == "closed"
        ]

    wait_until(closed)
    (session,) = closed()
    wanted = {
        "user_name": "bob",
        "framed_ip_address": "192.0.2.9",
        "framed_ipv6_prefixes": "2001:db8::/64",
        "calling_station_id": "00-00-5E-00-53-09",
        "input_octets": 2000,
        "output_octets": (1 << 32) + 7,
        "terminate_cause": 1,
    }
    assert {key: session[key] for key in wanted} == wanted


@pytest.mark.parametrize("kind", ["accounting", "authentication"])
def test_radclient_hears_that_the_server_lives_rfc5997(
    daemon: Daemon, radclient: str, kind: str
) -> None:
    """RFC 5997: radclient's Status-Server is answered on both ports, and radclient
    takes the answer."""
    port = getattr(daemon, f"{kind}_port")
    text = "Message-Authenticator = 0x00\n"
    shown = ask_with(radclient, port, "status", text, "127.0.0.1")
    answer = "Accounting-Response" if kind == "accounting" else "Access-Accept"
    assert f"Received {answer}" in shown


@needs_cases
def test_the_captured_request_gets_the_captured_answer(nas: NasSocket) -> None:
    """A Cisco's request gets, octet for octet, the answer that another server gave."""
    answer = nas.ask(case("node-radius/cisco_accounting.packet"), SECRET)
    assert answer == case("node-radius/cisco_accounting_response.packet")


@needs_cases
def test_a_motorolas_report_is_recorded_and_answered(
    daemon: Daemon, nas: NasSocket
) -> None:
    """Another vendor's packet, as it was on the wire, is journaled and answered."""
    request = case("node-radius/motorola_accounting.packet")
    nas.ask(request, SECRET)
    assert request in daemon.journal()


@needs_cases
def test_what_no_secret_signed_is_dropped_rfc2866(
    daemon: Daemon, nas: NasSocket
) -> None:
    """RFC 2866 section 3: a captured request that is not valid is met with silence."""
    request = case("node-radius/invalid_register.packet")
    nas.send(request)
    assert nas.hear(0.5) is None
    assert request not in daemon.journal()


@needs_cases
def test_captures_do_no_harm(daemon: Daemon) -> None:
    """Every packet of every capture, sent at both ports as it was and cut short, leaves
    a daemon that serves with the same processes."""
    pids = daemon.pids()
    packets = [
        payload
        for path in sorted(CASES.glob("*/*.pcap"))
        for payload in payloads(path.relative_to(CASES))
    ]
    packets += [path.read_bytes() for path in sorted(CASES.glob("*/*.packet"))]
    assert len(packets) > 30
    for port in (daemon.accounting_port, daemon.authentication_port):
        with NasSocket(port) as sender:
            for octets in packets:
                sender.send(octets)
                sender.send(octets[: len(octets) // 2])
    with NasSocket(daemon.accounting_port) as nas:
        nas.ask(packet(1, SECRET, status=1, acct_session_id="unharmed"), SECRET)
    wait_until(
        lambda: any(s["acct_session_id"] == "unharmed" for s in daemon.sessions())
    )
    assert daemon.pids() == pids


def payloads(name: Path) -> list[bytes]:
    """Read a capture's UDP payloads; other frames are not RADIUS."""
    return captured(str(name))
