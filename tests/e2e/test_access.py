"""Access over sockets of a running daemon, asked by FreeRADIUS's radclient."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from access_site import SECRET, found, is_signed_first, pap
from e2e.daemon_process import Daemon, NasSocket, running, wait_until
from radius_packets import packet

from radius.packet import Code, attribute
from services.credentials import hash_password

NETWORK = f"""
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
realms = ["aurora.example"]
[[pool]]
name = "aurora-harbour"
area = "harbour"
isp = "aurora"
prefixes = ["100.64.0.0/20"]
[[nas]]
name = "bng1"
area = "harbour"
address = "127.0.0.1/32"
secret = "{SECRET.decode()}"
profile = "mikrotik"
[[line]]
name = "harbour-101"
area = "harbour"
circuit_id = "ge-0/0/1:101"
[[line]]
name = "harbour-102"
area = "harbour"
circuit_id = "ge-0/0/1:102"
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 500000
up_kbps = 100000
[[service]]
name = "aurora-101"
isp = "aurora"
line = "harbour-101"
user_names = ["sub101@aurora.example"]
password = "arctangent"
offering = "home-500"
[[service]]
name = "aurora-102"
isp = "aurora"
line = "harbour-102"
user_names = ["sub102@aurora.example"]
password_hash = "{hash_password("hashed word")}"
offering = "home-500"
simultaneous_use = 1
[[service]]
name = "aurora-103"
isp = "aurora"
line = "harbour-102"
user_names = ["sub103@aurora.example"]
password = "arctangent"
offering = "home-500"
simultaneous_use = 3
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all, with two receivers."""
    folder = tmp_path_factory.mktemp("daemon")
    settings = {"radius": "workers = 2\n"}
    with running(folder, network=NETWORK, settings=settings) as daemon:
        yield daemon


def radclient(daemon: Daemon, text: str, tmp_path: Path) -> str:
    """Ask with radclient, which checks the answer's signatures."""
    program = shutil.which("radclient")
    if program is None:
        reason = "radclient is not installed (Debian: freeradius-utils)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    requests = tmp_path / "requests"
    requests.write_text(text + "\n")
    done = subprocess.run(
        [
            *(program, "-x", "-r", "2", "-t", "5", "-f", requests),
            *(f"127.0.0.1:{daemon.authentication_port}", "auth", SECRET.decode()),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("credential", "answer"),
    [
        ('User-Password = "arctangent"', "Access-Accept"),
        ('CHAP-Password = "arctangent"', "Access-Accept"),
        ('MS-CHAP-Password = "arctangent"', "Access-Reject"),
        ('User-Password = "wrong"', "Access-Reject"),
    ],
    ids=["pap", "chap", "mschap1", "wrong"],
)
def test_radclient_is_answered(
    daemon: Daemon, tmp_path: Path, credential: str, answer: str
) -> None:
    """A peer that others wrote takes our answers; MS-CHAP 1 is refused."""
    text = (
        f'User-Name = "sub101@aurora.example", {credential}, '
        "Message-Authenticator = 0x00"
    )
    shown = radclient(daemon, text, tmp_path)
    assert f"Received {answer}" in shown
    assert ("Mikrotik-Rate-Limit" in shown) == (answer == "Access-Accept")


def test_eapol_test_hears_at_once_that_there_is_no_eap(
    daemon: Daemon, tmp_path: Path
) -> None:
    """A supplicant takes our EAP-Failure for one: no time-out, no retry."""
    program = shutil.which("eapol_test")
    if program is None:
        reason = "eapol_test is not installed (Debian: eapoltest)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    supplicant = tmp_path / "eapol.conf"
    supplicant.write_text(
        "network={\n key_mgmt=IEEE8021X\n eap=MD5\n"
        ' identity="sub101@aurora.example"\n password="arctangent"\n}\n'
    )
    port = str(daemon.authentication_port)
    done = subprocess.run(
        [
            *(program, "-c", supplicant, "-a", "127.0.0.1", "-p", port),
            *("-s", SECRET.decode(), "-t", "10", "-r", "0"),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    assert "code=3 (Access-Reject)" in done.stdout
    assert "CTRL-EVENT-EAP-FAILURE" in done.stdout
    assert done.stdout.rstrip().endswith("FAILURE")


def test_a_hashed_password_is_checked_and_the_class_comes_back(
    daemon: Daemon,
) -> None:
    """argon2 in a thread of the receiver; two sessions at once are one too many, and
    when accounting has shown the end of the first there is room again."""
    user = "sub102@aurora.example"
    ports = [attribute(87, f"port-{number}".encode()) for number in range(3)]
    with (
        NasSocket(daemon.authentication_port) as nas,
        NasSocket(daemon.accounting_port) as accounting,
    ):
        request = pap(user, "hashed word", ports[0])
        first = nas.ask(request)
        assert (Code.ACCESS_ACCEPT, True) == (
            first[0],
            is_signed_first(first, request),
        )
        second = nas.ask(pap(user, "hashed word", ports[1]), seconds=3)
        assert Code.ACCESS_REJECT == second[0]
        class_ = attribute(25, found(first, 25)[0])
        for identifier, status in enumerate((1, 2)):
            report = packet(
                identifier,
                status=status,
                acct_session_id="two-at-once",
                user_name=user,
                session_seconds=status,
                raw=class_,
            )
            accounting.ask(report)
        wait_until(
            lambda: any(
                s["acct_session_id"] == "two-at-once" and s["state"] == "closed"
                for s in daemon.sessions()
            )
        )
        third = nas.ask(pap(user, "hashed word", ports[2]), seconds=3)
        assert Code.ACCESS_ACCEPT == third[0]


def test_a_change_of_service_is_effective_within_a_second(daemon: Daemon) -> None:
    """A new rate in the network file, applied while the daemon runs."""
    with NasSocket(daemon.authentication_port) as nas:
        before = nas.ask(pap())
        daemon.network.write_text(NETWORK.replace("500000", "250000"))
        daemon.run("apply", str(daemon.network))
        wait_until(lambda: b"100000k/250000k" in nas.ask(pap()), seconds=1.0)
    assert b"100000k/500000k" in before


def test_no_two_workers_let_in_one_more_than_the_limit(daemon: Daemon) -> None:
    """Sixteen lines of one user at the same moment, over both receivers: three of
    three places are taken, by three."""
    sockets = [NasSocket(daemon.authentication_port) for _ in range(16)]
    for number, nas in enumerate(sockets):
        port = attribute(87, f"race-{number}".encode())
        nas.send(pap("sub103@aurora.example", "arctangent", port))
    answers = [nas.hear(5.0) for nas in sockets]
    for nas in sockets:
        nas.close()

    codes = [answer[0] for answer in answers if answer is not None]
    assert [Code.ACCESS_ACCEPT] * 3 + [Code.ACCESS_REJECT] * 13 == sorted(codes)
