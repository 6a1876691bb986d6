"""ISPs that know their own users: a real FreeRADIUS is asked, and gets its copies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from access_site import SECRET, chap, found, pap
from e2e.daemon_process import Daemon, NasSocket, running, wait_until
from freeradius import HOME_SECRET, HomeServer
from radius_packets import packet

from radius.packet import Code, attribute
from radius.passwords import reveal_salted

ACCEPT, REJECT = Code.ACCESS_ACCEPT, Code.ACCESS_REJECT


def network(home: HomeServer) -> str:
    """One ISP with a living home server, one whose server nobody has ever seen."""
    return f"""
[[area]]
name = "harbour"
[[nas]]
name = "bng1"
area = "harbour"
address = "127.0.0.1/32"
secret = "{SECRET.decode()}"
[[line]]
name = "harbour-101"
area = "harbour"
circuit_id = "ge-0/0/1:101"
[[isp]]
name = "borealis"
realms = ["borealis.example"]
authentication_servers = ["127.0.0.1:{home.authentication_port}"]
accounting_servers = ["127.0.0.1:{home.accounting_port}"]
radius_secret = "{HOME_SECRET}"
message_authenticator = "no"
when_down = "silence"
[[isp]]
name = "unpatched"
realms = ["unpatched.example"]
authentication_servers = ["127.0.0.1:{home.authentication_port}"]
radius_secret = "{HOME_SECRET}"
[[isp]]
name = "away"
realms = ["away.example"]
authentication_servers = ["127.0.0.1:9"]
accounting_servers = ["127.0.0.1:9"]
radius_secret = "nobody is there to know it"
[[offering]]
name = "home-100"
isp = "borealis"
down_kbps = 100000
up_kbps = 20000
[[service]]
name = "borealis-101"
isp = "borealis"
line = "harbour-101"
user_names = ["sub101@borealis.example"]
offering = "home-100"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeServer]:
    """An ISP's server."""
    with HomeServer(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, home: HomeServer
) -> Iterator[Daemon]:
    """One daemon for all."""
    folder = tmp_path_factory.mktemp("daemon")
    with running(folder, network=network(home)) as daemon:
        yield daemon


@pytest.fixture
def nas(daemon: Daemon) -> Iterator[NasSocket]:
    """A NAS towards the authentication port."""
    with NasSocket(daemon.authentication_port) as nas:
        yield nas


def test_a_user_of_an_isp_is_asked_at_its_server_rfc_2865_section_2_3(
    nas: NasSocket,
) -> None:
    """PAP and CHAP, hidden anew; whole answer, its tunnel password readable here; the
    NAS's Proxy-States and no other."""
    states = attribute(33, b"one") + attribute(33, b"two")
    user = "anybody@borealis.example"
    request = pap(user, "home word", states)

    answer = nas.ask(request, seconds=5)

    assert ACCEPT == answer[0]
    assert [b"one", b"two"] == found(answer, 33)
    assert [b"from home"] == found(answer, 18)
    assert [b"isp\0"] == found(answer, 25)
    (tunnel,) = found(answer, 69)
    assert b"tunnel word" == reveal_salted(tunnel[1:], SECRET, request[4:20])
    assert REJECT == nas.ask(pap(user, "wrong"), seconds=5)[0]
    for challenge in (None, b"0123456789abcdef"):
        request = chap(user, "home word", challenge=challenge)
        assert ACCEPT == nas.ask(request, seconds=5)[0]


def test_an_answer_that_anybody_could_have_made_is_none_cve_2024_3596(
    nas: NasSocket,
) -> None:
    """Debian 12's FreeRADIUS does not sign: refused unless the operator says so."""
    user = "anybody@unpatched.example"
    assert REJECT == nas.ask(pap(user, "home word"), seconds=10)[0]


def test_what_the_isp_grants_is_joined_with_what_the_line_gets(
    nas: NasSocket,
) -> None:
    """The address and Class are the ISP's, the rates and another Class ours."""
    answer = nas.ask(pap("sub101@borealis.example", "home word"), seconds=5)

    assert ACCEPT == answer[0]
    assert [bytes((192, 0, 2, 77))] == found(answer, 8)
    assert [b"isp", b"FL1"] == [value[:3] for value in found(answer, 25)]
    assert 2 == len(found(answer, 26))


def test_more_requests_than_one_port_has_identifiers_are_under_way(
    daemon: Daemon,
) -> None:
    """Three hundred at once: every one is answered, by its own answer."""
    sockets = [NasSocket(daemon.authentication_port) for _ in range(3)]
    asked = {
        (number // 100, number % 256): pap(
            f"{number}@borealis.example", "home word", identifier=number % 256
        )
        for number in range(300)
    }
    answers: dict[tuple[int, int], int] = {}
    for _ in range(3):  # what a busy ISP's server let go is asked again
        for place, identifier in asked.keys() - answers.keys():
            sockets[place].send(asked[place, identifier])
        for place, socket in enumerate(sockets):
            for _ in range(100 - sum(key[0] == place for key in answers)):
                if (answer := socket.hear(10)) is not None:
                    answers[place, answer[1]] = answer[0]
    for socket in sockets:
        socket.close()

    assert dict.fromkeys(asked, ACCEPT) == answers


def test_a_server_that_is_away_means_a_reject_and_holds_up_no_other(
    daemon: Daemon, nas: NasSocket
) -> None:
    """The ISP's policy; meanwhile the other ISP's users are answered."""
    with NasSocket(daemon.authentication_port) as other:
        other.send(pap("somebody@away.example", "x"))
        assert ACCEPT == nas.ask(pap("a@borealis.example", "home word"), seconds=5)[0]
        answer = other.hear(10)
    assert answer is not None
    assert REJECT == answer[0]


def test_an_isp_gets_its_accounting_and_a_dead_one_blocks_nobody(
    daemon: Daemon, home: HomeServer
) -> None:
    """Copies from the journal: borealis's arrive, also those of while it was away, in
    spite of the other ISP that has never answered; nothing of one goes to the other."""
    with NasSocket(daemon.accounting_port) as nas:
        for number, user in enumerate(("x@away.example", "a@borealis.example")):
            name = f"C{number}"
            nas.ask(packet(number, status=1, acct_session_id=name, user_name=user))
        wait_until(lambda: 'User-Name = "a@borealis.example"' in home.accounting())
        home.stop()
        late = "late@borealis.example"
        nas.ask(packet(9, status=1, acct_session_id="C9", user_name=late))
        wait_until(
            lambda: (
                daemon.metric("fairlane_accounting_copies_lag_records", isp="borealis")
                > 0
            )
        )
        home.start()
        wait_until(lambda: late in home.accounting(), seconds=60)
    recorded = home.accounting()
    assert "away.example" not in recorded
    assert "Event-Timestamp" in recorded
    assert 1 == recorded.count('Acct-Session-Id = "C1"')
    wait_until(
        lambda: daemon.metric("fairlane_accounting_copies_total", isp="borealis") >= 2
    )
