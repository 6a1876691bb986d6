"""The UDP edge on real sockets with a real journal: who is answered, and when."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from radius_packets import SECRET, packet

from config.plant import Nas
from daemon import clock
from daemon.datagrams import DatagramSocket, address_of
from radius.nas import NasTable
from radius.outcomes import Drop
from radius.packet import (
    Code,
    accounting_response,
    attribute,
    is_response_authentic,
    message_authenticator,
)
from radius.records import Origin, RecordReader, encode_origin
from radius.server import RadiusServer
from storage.group_commit import GroupCommit
from storage.journal import JournalReader, JournalWriter

OLD_SECRET = b"the secret before this one"


class Site:
    """A server with its sockets, its journal and one NAS on 127.0.0.1."""

    def __init__(self, folder: Path, **settings: int) -> None:
        self.folder = folder
        self.writer = JournalWriter(folder, file_bytes=10**7)
        self.commits = GroupCommit(
            self.writer, monotonic=clock.monotonic, observe=lambda *_: None
        )
        self.unknown: list[str] = []
        table = NasTable.build(
            [
                Nas(
                    name="bng1",
                    address="127.0.0.1/32",
                    secrets=(SECRET.decode(), OLD_SECRET.decode()),
                )
            ]
        )
        self.server = RadiusServer(
            table=table,
            commits=self.commits,
            address_of=lambda source: address_of(source)[0],
            origin_of=lambda source, nas: encode_origin(Origin(source[4:8], 1, nas)),
            monotonic=clock.monotonic,
            time_ns=clock.now_ns,
            duplicate_seconds=15,
            on_unknown=self.unknown.append,
            **{"queue_records": 1000, "status_server_per_second": 2, **settings},
        )
        self.sockets: list[socket.socket] = []
        self.accounting, self.serve = self._listen("accounting")
        self.authentication, self.serve_authentication = self._listen("authentication")

    def _listen(self, kind: str) -> tuple[tuple[str, int], Callable[[], bool]]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        self.sockets.append(sock)
        readable = self.server.listen(DatagramSocket(sock), kind)

        async def serve() -> bool:
            """Serve what waits, and let a commit in the thread end."""
            found = readable()
            await self.commits.drain()
            return found

        return sock.getsockname(), lambda: asyncio.run(serve())

    def client(self, address: str = "127.0.0.1") -> socket.socket:
        """Make a sender; what it is answered is there when the server has run."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def ask(self, *datagrams: bytes, address: str = "127.0.0.1") -> list[bytes]:
        """Send datagrams from one port, serve once, give the answers."""
        client = self.client(address)
        for datagram in datagrams:
            client.sendto(datagram, self.accounting)
        self.serve()
        return received(client)

    def journaled(self) -> list[bytes]:
        """Give the packets on record."""
        reader = JournalReader(self.folder)
        blocks = reader.read(1, 10**6)
        reader.close()
        records = RecordReader()
        return [
            request for block in blocks for _, request in records.read(block.octets)
        ]

    def close(self) -> None:
        """Let go of everything."""
        self.commits.close()
        for sock in self.sockets:
            sock.close()


def received(client: socket.socket) -> list[bytes]:
    """Give what waits at a client."""
    found = []
    try:
        while True:
            found.append(client.recv(4096))
    except BlockingIOError:
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh site."""
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_request_is_on_record_when_its_answer_leaves(site: Site) -> None:
    """RFC 2866 section 2: nothing is acknowledged before it is durable."""
    request = packet(acct_session_id="A")

    (answer,) = site.ask(request)

    assert [request] == site.journaled()
    assert is_response_authentic(answer, request, SECRET)


def test_the_answer_has_the_proxy_states_in_order_rfc_2865_section_5_33(
    site: Site,
) -> None:
    """All of them, unmodified, and no other attribute (RFC 2866 section 4.2)."""
    states = attribute(33, b"one") + attribute(33, b"\0two")
    request = packet(raw=states + attribute(1, b"between"))

    (answer,) = site.ask(request)

    assert states == answer[20:]


def test_a_retransmission_gets_the_same_octets_and_is_recorded_once(
    site: Site,
) -> None:
    """RFC 5080 section 2.2.2: the same bytes, not the same work."""
    client, request = site.client(), packet(acct_session_id="A")
    answers = []
    for _ in range(3):
        client.sendto(request, site.accounting)
        site.serve()
        answers += received(client)

    assert [accounting_response(request, SECRET, b"")] * 3 == answers
    assert [request] == site.journaled()
    assert 2 == site.server.statistics.duplicates["bng1"]


def test_the_secret_goes_by_source_alone_rfc_2865_sections_3_and_5_4(
    site: Site,
) -> None:
    """Whoever the packet says it is from: NAS-IP-Address and NAS-Identifier choose
    nothing."""
    request = packet(nas_ip_address="192.0.2.99", nas_identifier="another")

    (answer,) = site.ask(request)

    assert is_response_authentic(answer, request, SECRET)


def test_the_same_identifier_with_other_content_is_a_new_request(site: Site) -> None:
    """One octet comes round quickly: the authenticator tells requests apart."""
    client = site.client()
    requests = [packet(7, acct_session_id=name) for name in "ABC"]
    for request in requests:
        client.sendto(request, site.accounting)
    site.serve()

    assert 3 == len(received(client))
    assert requests == site.journaled()


def test_the_same_request_from_another_port_is_another_request(site: Site) -> None:
    """The key has the source port: two processes of a NAS may send alike."""
    request = packet()

    assert 1 == len(site.ask(request))
    assert 1 == len(site.ask(request))
    assert 2 == len(site.journaled())


def test_a_request_whose_first_copy_is_under_way_is_dropped(tmp_path: Path) -> None:
    """In progress: neither answered early nor recorded twice."""
    site = Site(tmp_path)
    request = packet()

    answers = site.ask(request, request)

    assert 1 == len(answers)
    assert 1 == site.server.statistics.dropped["bng1", Drop.IN_PROGRESS]
    site.close()


def test_both_live_secrets_are_taken_and_answered_with(site: Site) -> None:
    """A rotation loses no packet: old and new secret hold at once."""
    for secret in (SECRET, OLD_SECRET, SECRET):
        request = packet(secret=secret)
        (answer,) = site.ask(request)
        assert is_response_authentic(answer, request, secret)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (packet(secret=b"somebody else's"), Drop.AUTHENTICATOR),
        (packet()[:4] + bytes(16) + packet()[20:], Drop.AUTHENTICATOR),
        (packet(raw=attribute(80, bytes(16))), Drop.MESSAGE_AUTHENTICATOR),
        (b"\x01" + packet()[1:], Drop.CODE),
        (b"\x63" + packet()[1:], Drop.CODE),
    ],
)
def test_what_is_not_genuine_is_met_with_silence_and_counted(
    site: Site, datagram: bytes, reason: Drop
) -> None:
    """RFC 2866 section 3, RFC 3579 section 3.2, RFC 2865 section 3."""
    assert [] == site.ask(datagram)
    assert {("bng1", reason): 1} == dict(site.server.statistics.dropped)
    assert [] == site.journaled()


def test_a_good_message_authenticator_on_accounting_is_taken(site: Site) -> None:
    """RFC 5176 section 3.4's way: zeros stand for the authenticator."""
    unsigned = packet(nas_identifier="bng1", raw=attribute(80, bytes(16)))
    place = len(unsigned) - 16
    value = message_authenticator(unsigned, place, SECRET, bytes(16))
    request = packet(nas_identifier="bng1", raw=attribute(80, value))

    assert 1 == len(site.ask(request))


def test_a_known_layout_changes_no_answer_rfc_2866_section_3(site: Site) -> None:
    """When packets like it are known, a packet is still verified, known again, cut to
    its length, and refused where it is not what the port takes."""
    known = [packet(acct_session_id=f"{number:02}") for number in range(20)]
    assert 20 == len(site.ask(*known))
    assert site.server._layouts.hold(known[0])
    forged = packet(acct_session_id="20", secret=b"somebody else's")
    old = packet(acct_session_id="21", secret=OLD_SECRET)
    padded = packet(acct_session_id="22")
    client = site.client()
    client.sendto(packet(acct_session_id="23"), site.authentication)
    site.serve_authentication()

    answers = site.ask(known[0], forged, old, padded + b"\0", padded[:-1])

    assert [
        accounting_response(known[0], SECRET, b""),
        accounting_response(old, OLD_SECRET, b""),
        accounting_response(padded, SECRET, b""),
    ] == answers
    assert [*known, known[0], old, padded] == site.journaled()
    assert [] == received(client)
    assert {("bng1", Drop.AUTHENTICATOR): 1, ("bng1", Drop.CODE): 1} == dict(
        site.server.statistics.dropped
    )
    assert {("bng1", "truncated"): 1} == dict(site.server.statistics.malformed)


def test_malformed_datagrams_are_counted_by_reason(site: Site) -> None:
    """RFC 2865 section 1.2: every silent discard has its counter."""
    assert [] == site.ask(b"", b"\x04", packet()[:-1], packet())[1:]
    counts = site.server.statistics.malformed

    assert {("bng1", "short"): 2, ("bng1", "truncated"): 1} == dict(counts)


def test_an_unknown_source_is_not_answered_and_not_read(site: Site) -> None:
    """The secret belongs to the source address alone (RFC 2865 section 3)."""
    assert [] == site.ask(packet(nas_ip_address="127.0.0.1"), address="127.0.0.2")
    assert ["127.0.0.2"] == site.unknown
    assert 1 == site.server.statistics.dropped["", Drop.UNKNOWN_SOURCE]


def status_server(identifier: int = 1, *, signed: bool = True) -> bytes:
    """Make a Status-Server request (RFC 5997 section 3)."""
    blank = attribute(80, bytes(16)) if signed else attribute(1, b"x")
    header = bytes((Code.STATUS_SERVER, identifier)) + (20 + len(blank)).to_bytes(2)
    unsigned = header + bytes(range(16)) + blank
    if not signed:
        return unsigned
    return unsigned[:22] + message_authenticator(unsigned, 22, SECRET, unsigned[4:20])


def test_status_server_is_answered_by_port_rfc_5997_section_4_2(site: Site) -> None:
    """Accounting-Response on one, Access-Accept on the other, nothing on record."""
    client, request = site.client(), status_server()
    client.sendto(request, site.accounting)
    client.sendto(request, site.authentication)
    site.serve()
    site.serve_authentication()

    answers = received(client)

    assert [Code.ACCOUNTING_RESPONSE, Code.ACCESS_ACCEPT] == [a[0] for a in answers]
    assert all(is_response_authentic(a, request, SECRET) for a in answers)
    assert [] == site.journaled()


def test_status_server_must_be_signed_rfc_5997_section_3(site: Site) -> None:
    """Without or with a wrong Message-Authenticator: silence."""
    wrong = status_server()[:-1] + b"?"

    assert [] == site.ask(status_server(signed=False), wrong)
    assert {Drop.MESSAGE_AUTHENTICATOR_MISSING, Drop.MESSAGE_AUTHENTICATOR} == {
        reason for _, reason in site.server.statistics.dropped
    }


def test_status_server_is_no_duplicate_of_itself_rfc_5997_section_4_2(
    site: Site,
) -> None:
    """The same octets twice are two questions: each is answered, and once."""
    request = status_server()

    assert 2 == len(site.ask(request, request))
    assert {("bng1", "status", "answered"): 2} == dict(site.server.statistics.requests)


def test_each_port_takes_its_own_codes_alone_rfc_2865_section_3(site: Site) -> None:
    """An Accounting-Request is no packet of the authentication port."""
    client = site.client()
    client.sendto(packet(), site.authentication)
    site.serve_authentication()

    assert [] == received(client)
    assert {("bng1", Drop.CODE): 1} == dict(site.server.statistics.dropped)
    assert [] == site.journaled()


def test_status_server_is_limited_per_client(site: Site) -> None:
    """RFC 5997 section 6: a prober cannot be an amplifier of work."""
    answers = site.ask(*[status_server(i) for i in range(50)])

    assert len(answers) in (2, 3, 4)  # two a second, and a second may turn meanwhile


def test_a_full_queue_drops_and_never_grows(tmp_path: Path) -> None:
    """Law 8: what has no room waits at the NAS, which sends again."""
    site = Site(tmp_path, queue_records=5)

    answers = site.ask(*[packet(i, status=2) for i in range(20)])

    assert 5 == len(answers)
    assert 15 == site.server.statistics.dropped["bng1", Drop.QUEUE_FULL]
    site.close()


def test_an_interim_update_is_let_go_before_a_start_and_that_before_a_stop(
    tmp_path: Path,
) -> None:
    """RFC 5080 section 2.2.3: the next interim says what a lost one did; nothing
    follows a Stop, so the last eighth of the queue is for it alone."""
    site = Site(tmp_path, queue_records=16)
    interim, start, stop = 3, 1, 2
    sent = [
        packet(20 * status + number, status=status)
        for status in (interim, start, stop)
        for number in range(14)
    ]

    answers = site.ask(*sent)

    answered = [octets[1] // 20 for octets in answers]
    assert [interim] * 12 + [start] * 2 + [stop] * 2 == answered
    assert 26 == site.server.statistics.dropped["bng1", Drop.QUEUE_FULL]
    site.close()


def test_what_cannot_be_recorded_is_not_answered_and_not_a_duplicate_later(
    tmp_path: Path,
) -> None:
    """A failed commit: silence, a counter, Status-Server silent too, then recovery."""
    site = Site(tmp_path)
    client, request = site.client(), packet(acct_session_id="A")
    assert site.writer._connection is not None
    site.writer._connection.execute("PRAGMA query_only=1")
    client.sendto(request, site.accounting)
    site.serve()
    assert [] == received(client)
    assert [] == site.ask(status_server())
    assert 2 == site.server.statistics.dropped["bng1", Drop.JOURNAL]

    async def recover() -> None:
        deadline = clock.monotonic() + 5
        while site.commits.failure and clock.monotonic() < deadline:
            site.commits.probe(lambda _: None)
            await asyncio.sleep(0.05)

    asyncio.run(recover())
    client.sendto(request, site.accounting)
    site.serve()

    assert 1 == len(received(client))
    assert [request] == site.journaled()
    site.close()
