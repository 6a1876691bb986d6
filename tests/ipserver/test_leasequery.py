"""DHCPLEASEQUERY: who may ask, and what is told (RFC 4388)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dhcp_packets import (
    DISCOVER,
    LEASEACTIVE,
    LEASEQUERY,
    LEASEUNASSIGNED,
    LEASEUNKNOWN,
    REQUEST,
    agent,
    ip,
    message,
    option,
)
from dhcp_site import LIMITS, RELAY, SERVER, Site, relayed, selecting

from ipserver.outcomes import Drop

WANTED = option(55, b"\x33\x3a\x3b\x52\x5b\x5c")
HARDWARE = b"\x02\x00\x00\x00\x00\x01"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose relay may ask."""
    made = Site(tmp_path, leasequery_from=("192.0.2.0/24",))
    yield made
    made.close()


def query(options: bytes = b"", **fields: object) -> bytes:
    """Make a query; by address unless something else is said."""
    fields = {"giaddr": RELAY, "hardware": b"", **fields}
    return message(LEASEQUERY, options, **fields)  # type: ignore[arg-type]


def test_a_lease_is_told_by_its_address_rfc_4388_section_6_4_2(site: Site) -> None:
    """With the client's hardware address and the relay's words in the header."""
    address = site.lease()
    site.time += 60

    (told,) = site.ask(query(WANTED, ciaddr=address))

    assert (LEASEACTIVE, address, HARDWARE) == (told.kind, told.ciaddr, told.hardware)
    assert agent(b"line-0") == told.options[82]
    assert ip(SERVER) == told.options[54]
    seconds, t1, t2, seen = (int.from_bytes(told.options[c]) for c in (51, 58, 59, 91))
    assert 0 < t1 < t2 < seconds < 3600
    assert 60 == seen
    assert pytest.approx((1740, 3090), abs=60) == (t1, t2)

    site.time += 1800
    (later,) = site.ask(query(WANTED, ciaddr=address))
    (one,) = site.ask(query(option(55, b"\x33"), ciaddr=address))
    assert 58 not in later.options  # it is past
    assert 59 in later.options
    assert {51, 53, 54, 61} >= one.options.keys()


def test_a_lease_is_told_by_hardware_address_and_by_client_identifier(
    site: Site,
) -> None:
    """One of the two, and what was not asked for is not told (section 6.4.2)."""
    identifier = option(61, b"\1me")
    (offer,) = site.ask(relayed(DISCOVER, options=identifier))
    site.send(relayed(REQUEST, options=identifier + selecting(offer.yiaddr)))
    site.take()

    (by_hardware,) = site.ask(query(hardware=HARDWARE))
    (by_identifier,) = site.ask(query(identifier))

    for told in (by_hardware, by_identifier):
        assert (LEASEACTIVE, offer.yiaddr) == (told.kind, told.ciaddr)
        assert {53, 54, 61} == told.options.keys()


def test_other_addresses_of_a_client_are_told_section_6_1(site: Site) -> None:
    """Option 92, when there is more than one."""
    addresses = {site.lease("line-0"), site.lease("line-1", xid=9)}

    (told,) = site.ask(query(WANTED, hardware=HARDWARE))

    assert addresses == {
        ".".join(map(str, told.options[92][at : at + 4])) for at in (0, 4)
    }


def test_free_addresses_and_strangers_are_told_apart_section_6_4_1(site: Site) -> None:
    """Ours and nobody's, not ours, and a client that nobody knows."""
    (free,) = site.ask(query(ciaddr="100.64.0.33"))
    (foreign,) = site.ask(query(ciaddr="203.0.113.1"))
    (unknown,) = site.ask(query(hardware=b"\2\2\2\2\2\2"))

    kinds = [free.kind, foreign.kind, unknown.kind]
    assert [LEASEUNASSIGNED, LEASEUNKNOWN, LEASEUNKNOWN] == kinds


def test_a_lease_that_is_over_is_nobody_s(site: Site) -> None:
    """Validity is checked when it is asked for."""
    address = site.lease()
    site.time += 4000

    (told,) = site.ask(query(ciaddr=address))

    assert LEASEUNASSIGNED == told.kind


@pytest.mark.parametrize(
    "datagram",
    [
        query(),
        query(ciaddr="100.64.0.9", hardware=HARDWARE),
        query(option(61, b"\1me"), ciaddr="100.64.0.9"),
    ],
)
def test_a_query_names_exactly_one_section_6_3(site: Site, datagram: bytes) -> None:
    """None or two of address, hardware address and client identifier: dropped."""
    assert [] == site.ask(datagram)
    assert {Drop.INCOMPLETE: 1} == site.dropped()


def test_who_is_not_in_the_configuration_is_not_told_section_7(tmp_path: Path) -> None:
    """Even a trusted relay: knowing a line is not knowing them all."""
    site = Site(tmp_path, leasequery_from=("198.51.100.0/24",))
    address = site.lease()

    assert [] == site.ask(query(ciaddr=address))
    assert {Drop.LEASEQUERY_REFUSED: 1} == site.dropped()
    site.close()


def test_a_concentrator_may_ask_for_more_than_a_line_may(tmp_path: Path) -> None:
    """After a reboot it asks for all: it has the relay's rate. What comes with option
    82 is from somebody on a line, and has that line's.
    """
    limits = LIMITS._replace(line_per_second=10, relay_per_second=50)
    site = Site(tmp_path, limits=limits, leasequery_from=("192.0.2.0/24",))
    asked = [query(ciaddr=f"100.64.0.{n}") for n in range(60)]
    assert 50 == len(site.ask(*asked))
    assert {Drop.RELAY_RATE: 10} == site.dropped()
    site.time += 60
    site.server.statistics.clear()
    agented = option(82, agent(b"line-0"))
    assert 20 == len(site.ask(*[query(agented, ciaddr="100.64.0.9")] * 30))
    assert {Drop.LINE_RATE: 10} == site.dropped()
    site.close()
