"""The load generator: its packets are real, its arithmetic is checked, it gives up."""

from __future__ import annotations

import io
import socket
import sys
import threading

import pytest
from pyrad import dictionary
from pyrad.packet import AcctPacket

from bench.load.datagrams import SourcePort
from bench.load.latency import Latency
from bench.load.packets import SLOTS, AccountingPackets, Pass, Slots, Status
from bench.radius_load import RadiusLoad, passes

SECRET = b"bench secret"


def written(status: Status, round_: int, session: int = 77) -> list[bytes]:
    """Packets of 256 consecutive sessions, one in each slot."""
    packets, slots = AccountingPackets(secret=SECRET), Slots()
    packets.write(slots, list(range(SLOTS)), session, Pass(status, round_))
    return [slots.packet(identifier) for identifier in range(SLOTS)]


def first(packet: AcctPacket, kind: int) -> bytes:
    """The only value of an attribute."""
    (value,) = packet[kind]
    return bytes(value)


@pytest.mark.parametrize("status", list(Status))
def test_packets_verify_for_an_independent_server(status: Status) -> None:
    """RFC 2866 section 3: pyrad accepts the Request Authenticator of every packet."""
    for identifier, octets in enumerate(written(status, 3)):
        packet = AcctPacket(secret=SECRET, dict=dictionary.Dictionary(), packet=octets)

        assert packet.VerifyAcctRequest()
        assert identifier == packet.id


def test_packets_are_as_long_as_a_gateways() -> None:
    """An interim has 15 attributes or more in 230 to 260 octets."""
    for octets in written(Status.INTERIM, 1):
        assert 230 <= len(octets) <= 260
        assert len(AcctPacket(secret=SECRET, packet=octets)) >= 15


def test_packet_says_what_the_ack_log_says() -> None:
    """RFC 2869 section 5.1: octets and gigawords together are the 64-bit counters."""
    session, round_ = 4000, 50
    packets = AccountingPackets(secret=SECRET)
    octets = written(Status.STOP, round_, session)[0]
    packet = AcctPacket(secret=SECRET, packet=octets)
    sent, received = packets.octets(session, round_)

    assert sent.to_bytes(8, "big") == first(packet, 52) + first(packet, 42)
    assert received.to_bytes(8, "big") == first(packet, 53) + first(packet, 43)
    assert received > 1 << 32
    assert packets.session_id(session).encode() == first(packet, 44)
    assert packets.seconds(Pass(Status.STOP, round_)) == int.from_bytes(
        first(packet, 46), "big"
    )


def test_shorter_packet_does_not_touch_a_longer_one_still_outstanding() -> None:
    """A retransmission has identical bytes whatever was sent from other slots."""
    packets, slots = AccountingPackets(secret=SECRET), Slots()
    packets.write(slots, [7], 1, Pass(Status.STOP, 2))
    before = slots.packet(7)
    others = [identifier for identifier in range(SLOTS) if identifier != 7]
    packets.write(slots, others, 2, Pass(Status.START, 0))

    assert before == slots.packet(7)


def test_phases_follow_one_another() -> None:
    """A session starts, reports in growing rounds, and stops in the round after."""
    assert [
        Pass(Status.START, 0),
        Pass(Status.INTERIM, 1),
        Pass(Status.INTERIM, 2),
        Pass(Status.STOP, 3),
    ] == list(passes(["starts", "interims", "stops"], rounds=2))


def test_quantiles_are_never_too_good() -> None:
    """A quantile is the upper edge of its bucket, and the slowest is in the last."""
    latency = Latency()
    for milliseconds in range(1, 101):
        latency.add(milliseconds / 1000)

    assert 0.050 <= latency.quantile(0.50) <= 0.05102
    assert 0.099 <= latency.quantile(0.99) <= 0.10002
    assert Latency().quantile(0.5) == 0.0


class Server:
    """A server on loopback that answers by pyrad, except what it is told to drop."""

    def __init__(self, *, drop_first: int = 0, spoil: bool = False) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.socket.getsockname()
        self.seen: list[bytes] = []
        self._drop, self._spoil = drop_first, spoil
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            octets, peer = self.socket.recvfrom(4096)
            if not octets:
                return
            self.seen.append(octets)
            if len(self.seen) <= self._drop:
                continue
            request = AcctPacket(
                secret=SECRET, dict=dictionary.Dictionary(), packet=octets
            )
            reply = bytearray(request.CreateReply().ReplyPacket())
            if self._spoil:
                reply[4] ^= 1
            self.socket.sendto(reply, peer)

    def close(self) -> None:
        """An empty datagram ends the thread."""
        self.socket.sendto(b"", self.address)
        self._thread.join()
        self.socket.close()


def arrived(at: socket.socket, count: int) -> list[bytes]:
    """So many datagrams that came to a socket."""
    at.settimeout(10)
    return [at.recv(4096) for _ in range(count)]


_NO_CHECKSUMS = 11  # SO_NO_CHECK


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("count", [1, 2, 64, 65, 130])
def test_what_leaves_together_arrives_one_by_one(count: int, together: bool) -> None:
    """udp(7), UDP_SEGMENT: the server gets the octets of each slot as a datagram, and
    the same ones where the kernel refuses to take many as one: it does when it may add
    no checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        packets = AccountingPackets(secret=SECRET)
        port = SourcePort("127.0.0.1", server.getsockname())
        if not together:
            port.socket.setsockopt(socket.SOL_SOCKET, _NO_CHECKSUMS, 1)
        identifiers = [*range(250, 256), *range(250)][:count]
        for status in Status:
            packets.write(port.slots, identifiers, 1, Pass(status, 1))
            port.send(identifiers, packets.length(status))
            expected = [port.slots.packet(identifier) for identifier in identifiers]

            assert expected == arrived(server, count)
        assert port.together == together
        port.close()


def test_replies_that_came_together_are_told_apart() -> None:
    """udp(7), UDP_GRO: of the replies that the kernel put together each is counted, and
    the last of them may be shorter; others come by themselves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = SourcePort("127.0.0.1", server.getsockname())
        client = port.socket.getsockname()
        control = [(socket.IPPROTO_UDP, 103, (20).to_bytes(2, sys.byteorder))]
        replies = [bytes((5, identifier)) * 10 for identifier in range(64)]
        server.sendmsg([*replies, b"short"], control, 0, client)
        server.sendto(b"single", client)
        server.sendto(b"", client)

        assert [
            (b"".join(replies), 20),
            (b"short", 5),
            (b"single", 6),
            (b"", 0),
        ] == port.receive()
        assert [] == port.receive()
        port.close()


def test_only_responses_acknowledge() -> None:
    """RFC 2866 section 3: another code, a short datagram, an empty one and a reply to
    nothing are counted as what they are, among good replies that came with them."""
    packets = AccountingPackets(secret=SECRET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def serve() -> None:
            requests, peer = [], None
            for _ in range(4):
                octets, peer = server.recvfrom(4096)
                requests.append(
                    AcctPacket(
                        secret=SECRET, dict=dictionary.Dictionary(), packet=octets
                    )
                )
            replies = [request.CreateReply().ReplyPacket() for request in requests]
            wrong = bytes((3,)) + replies[2][1:]
            control = [(socket.IPPROTO_UDP, 103, (20).to_bytes(2, sys.byteorder))]
            server.sendto(b"", peer)
            together = [replies[0], wrong, replies[1], replies[0], replies[3], b"\x05"]
            server.sendmsg(together, control, 0, peer)
            server.sendto(replies[2], peer)

        thread = threading.Thread(target=serve)
        thread.start()
        with RadiusLoad(
            server.getsockname(), packets, sessions=4, sources=1, retransmit_seconds=30
        ) as load:
            result = load.run(passes(["starts"]))
        thread.join()

    assert (4, 4) == (result.sent, result.acknowledged)
    assert (3, 1, 0) == (result.unverified, result.unexpected, result.retransmissions)


def test_every_request_is_acknowledged_and_logged() -> None:
    """The ack log has a line for each packet that a correct reply came for."""
    server, log = Server(), io.StringIO()
    packets = AccountingPackets(secret=SECRET)
    with RadiusLoad(
        server.address, packets, sessions=40, sources=3, window=4, ack_log=log
    ) as load:
        result = load.run(passes(["starts", "interims", "stops"], rounds=2))
    server.close()

    assert 160 == result.sent == result.acknowledged
    assert result.lost + result.unverified + result.unexpected == 0
    lines = [line.split() for line in log.getvalue().splitlines()]
    assert {
        (packets.session_id(session), status)
        for session in range(40)
        for status in ("1", "2", "3")
    } == {(line[0], line[1]) for line in lines}
    assert len(lines) == 160


def test_lost_request_is_sent_again_with_identical_bytes() -> None:
    """RFC 2866 section 2.1: what has no answer is sent again, and counts once."""
    server = Server(drop_first=3)
    with RadiusLoad(
        server.address,
        AccountingPackets(secret=SECRET),
        sessions=5,
        sources=1,
        retransmit_seconds=0.05,
    ) as load:
        result = load.run(passes(["starts"]))
    server.close()

    assert (result.sent, result.acknowledged, result.lost) == (5, 5, 0)
    assert result.retransmissions >= 3
    assert len(set(server.seen)) == 5


def test_reply_with_a_wrong_authenticator_is_no_reply() -> None:
    """RFC 2866 section 3: a reply that does not verify acknowledges nothing."""
    server = Server(spoil=True)
    with RadiusLoad(
        server.address,
        AccountingPackets(secret=SECRET),
        sessions=2,
        sources=1,
        retransmit_seconds=0.05,
        retransmissions=1,
    ) as load:
        result = load.run(passes(["starts"]))
    server.close()

    assert (result.sent, result.acknowledged, result.lost) == (2, 0, 2)
    assert result.unverified >= 2


def test_open_loop_keeps_its_rate() -> None:
    """An open loop sends what is due, not what the server has time for."""
    server = Server()
    with RadiusLoad(
        server.address, AccountingPackets(secret=SECRET), sessions=50, sources=2
    ) as load:
        result = load.run(passes(["starts"]), rate=200)
    server.close()

    assert result.acknowledged == 50
    assert result.seconds >= 49 / 200
