"""The DHCP edge with a real allocation and journal: who is answered, what, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from access_network import network
from dhcp_packets import (
    ACK,
    DECLINE,
    DISCOVER,
    INFORM,
    NAK,
    OFFER,
    RELEASE,
    REQUEST,
    agent,
    ip,
    message,
    number,
    option,
)
from dhcp_site import (
    LIMITS,
    RELAY,
    SERVER,
    Scripted,
    Site,
    relayed,
    selecting,
    sockaddr,
)

from config.plant import Area, Relay
from ipserver.answer import Ack, Lease, Nak, Offer, Park, Silence
from ipserver.ask import Message
from ipserver.block import Block
from ipserver.outcomes import Drop

LEASE = Lease(number("100.64.0.9"), "aurora-harbour", 3600, 1800, 3150, "granted_own")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh site."""
    made = Site(tmp_path)
    yield made
    made.close()


def scripted(
    folder: Path, *answers: object, **options: object
) -> tuple[Site, Scripted]:
    """A site whose answers are chosen beforehand."""
    decided = Scripted(*answers)  # type: ignore[arg-type]
    return Site(folder, answers=decided, **options), decided  # type: ignore[arg-type]


def test_an_ack_leaves_when_its_lease_is_on_the_disk_rfc_2131_section_3_1(
    site: Site,
) -> None:
    """An offer is nowhere but in memory; a lease is journaled, then acknowledged."""
    (offer,) = site.ask(relayed(DISCOVER))
    assert (OFFER, 0) == (offer.kind, site.journaled())

    (ack,) = site.ask(relayed(REQUEST, options=selecting(offer.yiaddr)))

    assert (ACK, offer.yiaddr, 1) == (ack.kind, ack.yiaddr, site.journaled())


def test_what_cannot_be_journaled_is_not_acknowledged_and_is_journaled_first_later(
    site: Site,
) -> None:
    """A failed commit: silence, a counter; the lease, once durable, is the same."""
    (offer,) = site.ask(relayed(DISCOVER))
    request = relayed(REQUEST, options=selecting(offer.yiaddr))
    assert site.writer._connection is not None
    site.writer._connection.execute("PRAGMA query_only=1")
    assert [] == site.ask(request)
    assert 1 == site.dropped()[Drop.JOURNAL]
    assert 1 == site.server.queued

    async def recover() -> None:
        site.time += 1
        site.commits.probe(lambda _: None)
        await site.commits.drain()

    asyncio.run(recover())
    (ack,) = site.ask(request)

    assert (ACK, offer.yiaddr) == (ack.kind, ack.yiaddr)
    assert site.journaled() >= 1
    assert 0 == site.server.queued


def test_a_renewal_with_nothing_new_to_record_waits_for_its_lease_that_is_not_durable(
    site: Site,
) -> None:
    """The allocation knows a lease that the disk refused: it is not believed yet."""
    (offer,) = site.ask(relayed(DISCOVER))
    assert site.writer._connection is not None
    site.writer._connection.execute("PRAGMA query_only=1")
    site.send(relayed(REQUEST, options=selecting(offer.yiaddr)))

    again = relayed(REQUEST, ciaddr=offer.yiaddr, xid=9)

    assert [] == site.ask(again)
    assert 0 == site.journaled()


def test_a_retransmission_of_what_waits_for_the_disk_makes_no_second_record(
    site: Site,
) -> None:
    """Same xid and hardware address while the reply is pending: dropped."""
    (offer,) = site.ask(relayed(DISCOVER))
    request = relayed(REQUEST, options=selecting(offer.yiaddr))

    answers = site.ask(request, request, request)

    assert [ACK] == [reply.kind for reply in answers]
    assert 2 == site.dropped()[Drop.IN_PROGRESS]
    assert 1 == site.journaled()


def test_a_clone_on_another_line_is_no_retransmission(site: Site) -> None:
    """With the same xid and hardware address, while the other's reply is pending."""
    lines = ("line-0", "line-1")
    offers = [site.ask(relayed(DISCOVER, line))[0] for line in lines]

    answers = site.ask(
        *(
            relayed(REQUEST, line, options=selecting(offer.yiaddr))
            for line, offer in zip(lines, offers, strict=True)
        )
    )

    assert [ACK, ACK] == [reply.kind for reply in answers]
    assert {offer.yiaddr for offer in offers} == {reply.yiaddr for reply in answers}


def test_a_renewal_by_unicast_needs_no_relay_rfc_2131_section_4_3_2(site: Site) -> None:
    """giaddr 0 and ciaddr: answered to ciaddr's client port."""
    address = site.lease()

    site.send(message(REQUEST, giaddr="0.0.0.0", ciaddr=address), source=address)

    ((ack, target),) = site.take()
    assert (ACK, address, address) == (ack.kind, ack.yiaddr, ack.ciaddr)
    assert sockaddr(address, 68) == target


@pytest.mark.parametrize(
    ("datagram", "source", "reason"),
    [
        (relayed(DISCOVER, giaddr="192.0.2.99"), "192.0.2.99", Drop.UNKNOWN_RELAY),
        (relayed(DISCOVER), "192.0.2.99", Drop.SOURCE),
        (message(DISCOVER, giaddr="0.0.0.0"), "0.0.0.0", Drop.NOT_RELAYED),
        (
            message(REQUEST, giaddr="0.0.0.0", ciaddr="100.64.0.9"),
            "100.64.0.10",
            Drop.SOURCE,
        ),
        (
            message(
                REQUEST,
                option(82, agent(b"line-0")),
                giaddr="0.0.0.0",
                ciaddr="100.64.0.9",
            ),
            "100.64.0.9",
            Drop.UNTRUSTED_AGENT,
        ),
        (message(DECLINE, giaddr="0.0.0.0"), "100.64.0.9", Drop.NOT_RELAYED),
        (relayed(REQUEST, options=option(54, ip(SERVER))), RELAY, Drop.INCOMPLETE),
        (relayed(REQUEST), RELAY, Drop.INCOMPLETE),
        (relayed(REQUEST, options=option(50, b"")), RELAY, Drop.INCOMPLETE),
        (relayed(REQUEST, options=option(50, bytes(5))), RELAY, Drop.INCOMPLETE),
        (relayed(RELEASE, ciaddr="100.64.0.9"), RELAY, Drop.INCOMPLETE),
        (
            relayed(DECLINE, options=selecting("100.64.0.9", "192.0.2.68")),
            RELAY,
            Drop.OTHER_SERVER,
        ),
        (relayed(DISCOVER, more=option(151, b"\0red")), RELAY, Drop.VPN),
        (relayed(10), RELAY, Drop.LEASEQUERY_REFUSED),
    ],
)
def test_what_is_not_trusted_or_not_whole_is_met_with_silence_and_counted(
    site: Site, datagram: bytes, source: str, reason: Drop
) -> None:
    """RFC 2131 section 4.3.2 and table 5, RFC 3046 section 2.1, RFC 6607, RFC 4388."""
    assert [] == site.ask(datagram, source=source)
    assert {reason: 1} == site.dropped()
    assert 0 == site.journaled()


def test_a_relay_may_speak_from_its_other_addresses(tmp_path: Path) -> None:
    """``sources`` in the network file; giaddr stays where the reply goes."""
    row = Relay(name="r", area="harbour", giaddr=RELAY, sources=("192.0.2.2",))
    site = Site(tmp_path, network(relay=(row,)))

    site.send(relayed(DISCOVER), source="192.0.2.2")

    ((offer, target),) = site.take()
    assert (OFFER, sockaddr(RELAY, 67)) == (offer.kind, target)
    site.close()


def test_a_reply_goes_to_giaddr_and_its_server_port_rfc_2131_section_4_1(
    site: Site,
) -> None:
    """Whatever port the relay sent from, and with link selection too (RFC 3527)."""
    site.send(relayed(DISCOVER, more=option(5, ip("100.64.0.1"))), port=1067)

    ((_, target),) = site.take()
    assert sockaddr(RELAY, 67) == target


def test_a_reply_goes_to_the_port_it_came_from_rfc_8357_section_5(site: Site) -> None:
    """Only where the relay says that it listens there; port 0 is none (RFC 768)."""
    site.send(relayed(DISCOVER, more=option(19, b"")), port=0)
    assert ([], {Drop.RELAY_PORT: 1}) == (site.take(), site.dropped())

    site.send(relayed(DISCOVER, more=option(19, b"")), port=1067)

    ((offer, target),) = site.take()
    assert sockaddr(RELAY, 1067) == target
    assert agent(b"line-0", more=option(19, b"")) == offer.options[82]


def test_for_a_test_a_reply_goes_back_to_where_the_request_came_from(
    tmp_path: Path,
) -> None:
    """perfdhcp is many relays at one address."""
    site = Site(tmp_path, to_source=True)
    site.send(relayed(DISCOVER), port=9999)

    ((_, target),) = site.take()
    assert sockaddr(RELAY, 9999) == target
    site.close()


def test_option_82_is_echoed_whole_and_last_in_every_reply_rfc_3046_section_2_2(
    site: Site,
) -> None:
    """OFFER, ACK and NAK; never where the request had none."""
    (offer,) = site.ask(relayed(DISCOVER))
    (ack,) = site.ask(relayed(REQUEST, options=selecting(offer.yiaddr)))
    (nak,) = site.ask(relayed(REQUEST, "line-1", selecting(offer.yiaddr), xid=8))

    for reply, line in ((offer, b"line-0"), (ack, b"line-0"), (nak, b"line-1")):
        assert agent(line) == reply.options[82]
        assert 82 == [*reply.options][-1]
    assert [OFFER, ACK, NAK] == [offer.kind, ack.kind, nak.kind]
    (bare,) = site.ask(relayed(DISCOVER, "", hardware=b"\2\0\0\0\0\7"))
    assert 82 not in bare.options


def test_a_nak_through_a_relay_is_broadcast_rfc_2131_section_4_3_2(site: Site) -> None:
    """Broadcast bit set, no address, no ciaddr, the client's identifier."""
    address = site.lease()
    asks = option(50, ip(address)) + option(61, b"\1other")

    (nak,) = site.ask(relayed(REQUEST, "line-1", asks, xid=8))

    assert (NAK, 0x8000) == (nak.kind, nak.flags)
    assert ("0.0.0.0", "0.0.0.0") == (nak.ciaddr, nak.yiaddr)
    assert {53, 54, 61, 82} == nak.options.keys()


def test_the_fixed_fields_are_copied_as_rfc_2131_table_3_says(site: Site) -> None:
    """xid, flags, giaddr, all of chaddr; hops and secs are 0."""
    request = relayed(DISCOVER, flags=0x8000, hops=3, hardware=b"\2\0\0\0\0\5")
    request = request[:34] + b"0123456789" + request[44:]

    (offer,) = site.ask(request)

    assert (0x01020304, 0x8000, RELAY) == (offer.xid, offer.flags, offer.giaddr)
    assert request[28:44] == offer.octets[28:44]
    assert b"\2\1\6\0" == offer.octets[:4]
    assert bytes(2) == offer.octets[8:10]
    assert ("0.0.0.0", bytes(4)) == (offer.ciaddr, offer.octets[20:24])


def test_the_client_identifier_is_in_every_reply_rfc_6842_section_3(site: Site) -> None:
    """Octet for octet: RFC 4361's are opaque too (type 255, IAID and DUID)."""
    identifier = option(61, b"\xff\0\0\0\1\0\3\0\1\2\0\0\0\0\1")

    (offer,) = site.ask(relayed(DISCOVER, options=identifier))
    (ack,) = site.ask(relayed(REQUEST, options=identifier + selecting(offer.yiaddr)))

    assert identifier[2:] == offer.options[61] == ack.options[61]


def test_the_relay_s_address_stands_for_the_server_s_rfc_5107_section_4(
    site: Site,
) -> None:
    """Option 54 is the override, and a REQUEST that names it is for this server."""
    override = option(11, ip("198.51.100.7"))

    (offer,) = site.ask(relayed(DISCOVER, more=override))
    chosen = selecting(offer.yiaddr, "198.51.100.7")
    (ack,) = site.ask(relayed(REQUEST, options=chosen, more=override))

    assert ip("198.51.100.7") == offer.options[54] == ack.options[54]
    assert ACK == ack.kind


def test_a_request_for_another_server_gives_our_offer_back_rfc_2131_section_3_1(
    site: Site,
) -> None:
    """Silence, and the address is on offer no more."""
    (offer,) = site.ask(relayed(DISCOVER))

    other = selecting(offer.yiaddr, "192.0.2.68")

    assert [] == site.ask(relayed(REQUEST, options=other))
    assert {"chosen_elsewhere": 1} == site.dropped()
    assert 0 == site.allocation.pool_usage("aurora-harbour").offered


def test_t1_and_t2_are_told_rfc_2131_section_4_4_5(site: Site) -> None:
    """Both before the end, T1 before T2."""
    (offer,) = site.ask(relayed(DISCOVER))
    seconds, t1, t2 = (int.from_bytes(offer.options[c]) for c in (51, 58, 59))

    assert t1 < t2 < seconds


def test_a_reply_has_at_least_300_octets_rfc_1542_section_2_1(site: Site) -> None:
    """BOOTP's size; shorter ones are dropped on the way."""
    (nak,) = site.ask(relayed(REQUEST, options=option(50, ip("203.0.113.9"))))

    assert (NAK, 300) == (nak.kind, len(nak.octets))


def test_ipv6_only_clients_get_no_address_rfc_8925_section_3_3(tmp_path: Path) -> None:
    """Option 108 in the request list, and an area that has it."""
    site = Site(tmp_path, network(area={"ipv6_only_seconds": 1800}))

    (offer,) = site.ask(relayed(DISCOVER, options=option(55, b"\1\x6c")))
    (other,) = site.ask(relayed(DISCOVER, "line-1", option(55, b"\1\3")))

    assert ("0.0.0.0", 1800) == (offer.yiaddr, int.from_bytes(offer.options[108]))
    assert "0.0.0.0" != other.yiaddr
    assert 108 not in other.options
    site.close()


def test_a_lease_by_two_packets_where_the_area_allows_it_rfc_4039_section_3_1(
    tmp_path: Path,
) -> None:
    """The ACK has option 80 and leaves when its lease is on the disk; sent again, the
    DISCOVER gets the same address and no second record. Elsewhere, and to who does not
    ask for it, an offer."""
    rapid = option(80, b"")
    site = Site(tmp_path, network(area={"rapid_commit": True}))
    (ack,) = site.ask(relayed(DISCOVER, options=rapid))
    (again,) = site.ask(relayed(DISCOVER, options=rapid))
    (offer,) = site.ask(relayed(DISCOVER, "line-1"))
    assert (ACK, b"") == (ack.kind, ack.options[80])
    assert (ACK, ack.yiaddr) == (again.kind, again.yiaddr)
    assert 51 in ack.options
    assert OFFER == offer.kind
    assert 80 not in offer.options
    assert 1 == site.journaled()
    site.close()

    other = Site(tmp_path / "other", network())
    (offer,) = other.ask(relayed(DISCOVER, options=rapid))
    assert OFFER == offer.kind
    assert 80 not in offer.options
    assert 0 == other.journaled()
    other.close()


def test_an_inform_gets_options_and_no_lease_rfc_2131_section_4_3_5(site: Site) -> None:
    """To ciaddr, without yiaddr and times."""
    site.send(
        message(INFORM, giaddr="0.0.0.0", ciaddr="100.64.0.9"), source="100.64.0.9"
    )

    ((ack, target),) = site.take()
    assert (ACK, "0.0.0.0", "100.64.0.9") == (ack.kind, ack.yiaddr, ack.ciaddr)
    assert ip("255.255.255.192") == ack.options[1]
    assert not {51, 58, 59} & ack.options.keys()
    assert sockaddr("100.64.0.9", 68) == target


def test_an_inform_from_a_lent_block_gets_its_borrower_s_options(
    tmp_path: Path,
) -> None:
    """As with the lease: mask and router of the subnet, servers of who leases there."""
    known = network(pool={"dns_servers": ("192.0.2.53",)})
    site = Site(tmp_path, known)
    first = number("100.65.0.0")
    lent = Block(first, first + 63, "borealis-harbour", "aurora-harbour", 1)
    site.allocation.close_block(lent)
    site.allocation.open_block(lent, "aurora-harbour", 900)
    datagram = message(INFORM, giaddr="0.0.0.0", ciaddr="100.65.0.9")
    (ack,) = site.ask(datagram, source="100.65.0.9")
    assert ip("192.0.2.53") == ack.options[6]
    assert ip("255.255.255.192") == ack.options[1]
    site.close()


def test_a_relayed_inform_without_an_address_goes_through_the_relay(site: Site) -> None:
    """By broadcast, because nobody knows the client's address."""
    site.send(relayed(INFORM))

    ((ack, target),) = site.take()
    assert (ACK, 0x8000, sockaddr(RELAY, 67)) == (ack.kind, ack.flags, target)


def test_a_release_and_a_decline_of_another_line_change_nothing(site: Site) -> None:
    """RFC 2131 section 4.3.3 and 4.3.4, and whose address it is."""
    address = site.lease()
    server = option(54, ip(SERVER))

    site.send(
        relayed(RELEASE, "line-1", server, ciaddr=address),
        relayed(DECLINE, "line-1", server + option(50, ip(address))),
    )

    assert {"not_yours": 2} == site.dropped()
    assert 1 == site.allocation.pool_usage("aurora-harbour").leased
    site.send(relayed(RELEASE, options=server, ciaddr=address))
    assert 1 == site.server.statistics.messages()["release", "taken"]
    assert 0 == site.allocation.pool_usage("aurora-harbour").leased
    assert 2 == site.journaled()


def test_a_unicast_release_that_a_relay_marks_as_another_line_s_changes_nothing(
    site: Site,
) -> None:
    """RFC 3046 section 2.1.1: an element between may add option 82 and leave giaddr 0.
    Neither that RELEASE nor a renewal before it makes the address that line's.
    """
    address = site.lease()
    forged = {"giaddr": "0.0.0.0", "ciaddr": address}
    server = option(54, ip(SERVER))

    site.time += 1800
    site.send(relayed(REQUEST, "line-1", **forged))
    site.send(relayed(RELEASE, "line-1", server, **forged))

    assert 1 == site.dropped()["not_yours"]
    assert 1 == site.allocation.pool_usage("aurora-harbour").leased
    site.send(relayed(RELEASE, "line-0", server, **forged))
    assert 0 == site.allocation.pool_usage("aurora-harbour").leased


def test_unicasts_that_a_relay_marks_have_their_lines_buckets(tmp_path: Path) -> None:
    """Renewals of all lines behind such an element are not one line's flood."""
    site = Site(tmp_path, network(lines=60), limits=LIMITS._replace(line_per_second=10))
    addresses = [
        site.lease(f"line-{n}", hardware=b"\2\0\0\0\0%c" % n) for n in range(60)
    ]

    answers = site.ask(
        *(
            relayed(
                *(REQUEST, f"line-{n}"),
                giaddr="0.0.0.0",
                ciaddr=address,
                hardware=b"\2\0\0\0\0%c" % n,
            )
            for n, address in enumerate(addresses)
        )
    )

    assert [ACK] * 60 == [reply.kind for reply in answers]
    site.close()


def test_link_selection_names_the_subnet_rfc_3527_section_3(tmp_path: Path) -> None:
    """Before option 118 (RFC 3011), which is believed only when that is configured."""
    link, other = option(5, ip("100.64.0.1")), option(118, ip("100.65.0.1"))
    for believed, more, expected in (
        (False, link, "100.64.0.1"),
        (True, link, "100.64.0.1"),
        (True, b"", "100.65.0.1"),
        (False, b"", RELAY),
    ):
        folder = tmp_path / f"{believed}{len(more)}"
        site, decided = scripted(folder, Silence("no"), subnet_selection=believed)
        site.send(relayed(DISCOVER, options=other, more=more))
        assert number(expected) == decided.asks[0].link
        assert number(RELAY) == decided.asks[0].giaddr
        site.close()


def test_subnet_selection_that_is_followed_is_given_back_rfc_3011(
    tmp_path: Path,
) -> None:
    """The client sees that its choice was heard."""
    site = Site(tmp_path, subnet_selection=True)
    selection = option(118, ip("100.64.0.1"))

    (offer,) = site.ask(relayed(DISCOVER, options=selection))

    assert ip("100.64.0.1") == offer.options[118]
    site.close()


def test_options_that_break_off_are_counted_and_the_rest_is_served(site: Site) -> None:
    """Keep the earlier ones; option 82 stands before what is cut."""
    datagram = relayed(DISCOVER)[:-1] + b"\x37\x09\x01"

    (offer,) = site.ask(datagram)

    assert agent(b"line-0") == offer.options[82]
    assert 1 == site.server.statistics.truncated


def vpn_site(tmp_path: Path, decided: Scripted, **changes: Any) -> Site:
    """A relay's own area, and one that is a VPN."""
    from ipserver.network_options import NetworkOptions
    from ipserver.relays import RelayTable

    areas = (Area(name="harbour"), Area(name="hill", vpn="red"))
    site = Site(tmp_path, network(area=None), answers=decided, **changes)
    site.network = type(site.network)(area=areas, relay=site.network.relay)
    site.server.change_network(RelayTable(site.network), NetworkOptions(site.network))
    return site


@pytest.mark.parametrize("believed", [True, False])
def test_a_client_names_its_vpn_where_it_is_believed_rfc_6607_section_3_1(
    tmp_path: Path, believed: bool
) -> None:
    """Option 221 is given back when it was followed, and the relay's word is above."""
    decided = Scripted(Offer(LEASE), Offer(LEASE))
    site = vpn_site(tmp_path, decided, subnet_selection=believed)
    vss = option(221, b"\0red")

    (offer,) = site.ask(relayed(DISCOVER, options=vss))
    site.ask(relayed(DISCOVER, options=vss, more=option(151, b"\xff")))

    assert ["hill" if believed else "harbour", "harbour"] == [
        asked.area for asked in decided.asks
    ]
    assert (b"\0red" if believed else None) == offer.options.get(221)
    site.close()


def test_a_vpn_names_the_area_rfc_6607_section_3_5(tmp_path: Path) -> None:
    """And sub-option 152 is taken out, which tells the relay that it does."""
    decided = Scripted(Offer(LEASE))
    site = vpn_site(tmp_path, decided)
    vss = option(151, b"\0red")

    (offer,) = site.ask(relayed(DISCOVER, more=vss + option(152, b"")))

    assert "hill" == decided.asks[0].area
    assert agent(b"line-0", more=vss) == offer.options[82]
    site.close()


@pytest.mark.parametrize(
    ("datagram", "source", "expected"),
    [
        (relayed(DISCOVER, options=option(50, ip("100.64.0.9"))), RELAY, "discover"),
        (relayed(REQUEST, options=selecting("100.64.0.9")), RELAY, "selecting"),
        (relayed(REQUEST, options=option(50, ip("100.64.0.9"))), RELAY, "init-reboot"),
        (relayed(REQUEST, ciaddr="100.64.0.9"), RELAY, "rebinding"),
        (
            message(REQUEST, giaddr="0.0.0.0", ciaddr="100.64.0.9"),
            "100.64.0.9",
            "renewing",
        ),
        (
            relayed(RELEASE, options=option(54, ip(SERVER)), ciaddr="100.64.0.9"),
            RELAY,
            "release",
        ),
        (relayed(DECLINE, options=selecting("100.64.0.9")), RELAY, "decline"),
    ],
)
def test_what_a_client_asks_is_told_by_its_fields_rfc_2131_table_4(
    tmp_path: Path, datagram: bytes, source: str, expected: str
) -> None:
    """Server identifier, requested address and ciaddr say in which state it is."""
    site, decided = scripted(tmp_path, Silence("no"))

    site.send(datagram, source=source)

    assert (Message(expected), number("100.64.0.9")) == (
        decided.asks[0].message,
        decided.asks[0].address,
    )
    site.close()


def test_a_parked_client_is_answered_with_its_own_xid_when_its_request_is_granted(
    tmp_path: Path,
) -> None:
    """One of a line: of two that wait, the newest."""
    site, _ = scripted(
        tmp_path, Park("7"), Park("7"), Park("8"), Park("8"), Offer(LEASE)
    )
    site.send(
        relayed(DISCOVER, xid=1), relayed(DISCOVER, xid=2), relayed(DISCOVER, "line-1")
    )
    assert [] == site.take()

    site.send(relayed(DISCOVER, "line-2"))  # two may wait, and do
    assert {Drop.PARKED_FULL: 1} == site.dropped()

    site.server.granted("7")

    ((offer, target),) = site.take()
    assert (OFFER, 2, sockaddr(RELAY, 67)) == (offer.kind, offer.xid, target)
    site.close()


def test_who_is_parked_for_two_seconds_is_forgotten(tmp_path: Path) -> None:
    """The client has sent again by then."""
    site, _ = scripted(tmp_path, Park("7"))
    site.send(relayed(DISCOVER))
    site.time += 1.9
    site.server.turn()
    assert {} == site.dropped()
    site.time += 0.2
    site.server.turn()

    site.server.granted("7")

    assert {Drop.PARKED_TOO_LONG: 1} == site.dropped()
    assert [] == site.take()
    site.close()


def test_a_flood_from_one_line_changes_nothing_for_another(tmp_path: Path) -> None:
    """A line has a bucket of its own, which fills again."""
    site = Site(tmp_path, limits=LIMITS._replace(line_per_second=10))
    flood = [relayed(DISCOVER, xid=x) for x in range(100)]

    site.send(*flood, relayed(DISCOVER, "line-1"))

    lines = [reply.options[82] for reply, _ in site.take()]
    assert 20 == lines.count(agent(b"line-0"))
    assert 1 == lines.count(agent(b"line-1"))
    assert 80 == site.dropped()[Drop.LINE_RATE]
    site.time += 1
    assert 10 == len(site.ask(*flood))
    site.close()


def test_renewals_are_served_before_discovers_and_those_wait_bounded(
    tmp_path: Path,
) -> None:
    """A full queue drops the oldest; what waited too long is dropped as well."""
    site = Site(tmp_path, limits=LIMITS._replace(queue_packets=5))
    address = site.lease()
    renewal = relayed(REQUEST, ciaddr=address, xid=99)

    answers = site.ask(
        *[relayed(DISCOVER, f"line-{x % 4}") for x in range(20)], renewal
    )

    assert [ACK, *[OFFER] * 5] == [reply.kind for reply in answers]
    assert 15 == site.dropped()[Drop.QUEUE_FULL]
    site.close()


def test_a_relay_s_discovers_are_limited_and_its_requests_are_not(
    tmp_path: Path,
) -> None:
    """The relay's bucket is for what can wait."""
    site = Site(tmp_path, limits=LIMITS._replace(relay_per_second=4))
    address = site.lease()

    site.send(*[relayed(DISCOVER, xid=x) for x in range(10)])
    limited = site.dropped()[Drop.RELAY_RATE]
    site.wire.sent.clear()
    (ack,) = site.ask(relayed(REQUEST, ciaddr=address, xid=77))

    assert 7 == limited  # one of the four went to the lease
    assert ACK == ack.kind
    site.close()


def test_made_up_clients_of_a_relay_without_option_82_are_its_own_flood(
    tmp_path: Path,
) -> None:
    """Where nothing but the client says whose a REQUEST is, the relay's bucket counts;
    lines that their relay names are served beside it.
    """
    site = Site(tmp_path, limits=LIMITS._replace(relay_per_second=4))
    address = site.lease()
    site.time += 1
    flood = [
        relayed(REQUEST, "", option(50, ip(address)), hardware=b"\2" + bytes(4) + x)
        for x in (bytes((n,)) for n in range(50))
    ]

    answers = site.ask(*flood, relayed(REQUEST, ciaddr=address, xid=77))

    assert 46 == site.dropped()[Drop.RELAY_RATE]
    assert [(ACK, 77)] == [(a.kind, a.xid) for a in answers if a.kind == ACK]
    site.close()


def test_a_changed_network_is_served_from_the_next_datagram_on(site: Site) -> None:
    """A relay that is taken out of the network file is answered no more."""
    from ipserver.network_options import NetworkOptions
    from ipserver.relays import RelayTable

    without = network(relay=())
    site.server.change_network(RelayTable(without), NetworkOptions(without))

    assert [] == site.ask(relayed(DISCOVER))
    assert {Drop.UNKNOWN_RELAY: 1} == site.dropped()


def test_a_trace_shows_each_datagram_and_what_became_of_it(site: Site) -> None:
    """The reply with its reason, or the reason for silence."""
    site.server.watch = site.seen.append

    site.send(relayed(DISCOVER), b"", relayed(DISCOVER, giaddr="192.0.2.99"))

    assert ["short", "unknown_relay", "offer granted_own"] == [
        s.outcome for s in site.seen
    ]
    assert "relay-1" == site.seen[-1].relay


def test_a_nak_and_an_ack_of_the_allocation_become_what_they_say(
    tmp_path: Path,
) -> None:
    """Counted by the request's type, the reply's and the reason."""
    site, _ = scripted(tmp_path, Nak("taken"), Ack(LEASE, None), Ack(LEASE, b"x"))
    request = [
        relayed(REQUEST, options=selecting("100.64.0.9"), xid=x) for x in (1, 2, 3)
    ]

    kinds = [reply.kind for reply in site.ask(*request)]

    assert [NAK, ACK, ACK] == kinds
    statistics = site.server.statistics
    assert {("request", "nak"): 1, ("request", "ack"): 2} == dict(statistics.messages())
    assert {("nak", "taken"): 1, ("ack", "granted_own"): 2} == dict(
        statistics.reasons()
    )
    assert 1 == site.journaled()
    site.close()
