"""A network that changes under leases: what is gone, cut anew, or reserved later."""

from __future__ import annotations

from typing import Any

import pytest
from access_network import Site, network
from msgspec import structs
from netaddr import IPAddress, IPNetwork

from ipserver.answer import Ack, Nak
from ipserver.ask import Message
from ipserver.reasons import Reason
from ipserver.records import entries

POOL = "aurora-harbour"


def changed(site: Site, **rows: Any) -> None:
    """Let the site serve another network."""
    site.allocation.change_network(network(**rows), site.now)


def test_leases_of_a_prefix_that_is_gone_end_in_peace() -> None:
    """Their time passes like any other's; a client that asks is refused."""
    site = Site()
    address = site.lease("line-0", 1)
    site.lease("line-1", 2)
    changed(site, prefix="100.70.0.0/26")
    refused = site.ask(Message.REBINDING, "line-0", 1, address=address)
    assert isinstance(refused, Nak)
    site.now += 4000
    while site.allocation.turn(site.now, 1000):
        pass
    assert [] == site.allocation.audit()
    changed(site)
    assert site.lease("line-0", 1) == address
    assert [] == site.allocation.audit()


@pytest.mark.parametrize(
    "prefixes",
    [("100.64.0.0/27", "100.64.0.32/27"), ("100.64.0.0/25",), ("100.64.0.0/28",)],
)
def test_a_prefix_that_is_cut_or_enlarged_keeps_its_leases(
    prefixes: tuple[str, ...],
) -> None:
    """Every client whose address is still there renews it, and nobody else has it."""
    site = Site(network(lines=120))
    had = {n: site.lease(f"line-{n}", n) for n in range(40)}
    inside = [IPNetwork(prefix) for prefix in prefixes]
    first, *rest = network(lines=120).pool
    smaller = structs.replace(
        network(lines=120), pool=(structs.replace(first, prefixes=prefixes), *rest)
    )
    site.allocation.change_network(smaller, site.now)
    assert [] == site.allocation.audit()
    kept = set()
    for number, address in had.items():
        site.now += 1
        answer = site.ask(Message.REBINDING, f"line-{number}", number, address=address)
        still = any(IPAddress(address) in prefix for prefix in inside)
        usable = still and site.allocation.by_address(address, site.now) is not None
        if isinstance(answer, Ack):
            assert usable
            kept.add(address)
    new = [site.lease(f"line-{n}", n) for n in range(60, 120)]
    assert kept.isdisjoint(new)
    assert [] == site.allocation.audit()


def test_what_is_reserved_later_is_given_to_nobody() -> None:
    """Not from those that were drawn already, nor to who had it, nor for longer."""
    site = Site(network(lines=70), cool_down_seconds=0)
    reserved = range(int(IPAddress("100.64.0.32")), int(IPAddress("100.64.0.48")))
    had = {n: site.lease(f"line-{n}", n) for n in range(30)}
    inside = {n: address for n, address in had.items() if address in reserved}
    assert inside
    released, *others = inside
    site.ask(Message.RELEASE, f"line-{released}", released, address=inside[released])
    changed(site, lines=70, pool={"reserved": ("100.64.0.32/28",)})
    for number in others:
        line = f"line-{number}"
        refused = site.renew(line, number, address=inside[number])
        assert isinstance(refused, Nak)
        assert Reason.SERVICE_CHANGED == refused.reason
    again = [site.lease(f"line-{n}", n) for n in range(70)]
    assert not {a for a in again if a in reserved}
    site.now += 4000
    while site.allocation.turn(site.now, 1000):
        pass
    assert [] == site.allocation.audit()


def test_what_is_reserved_no_more_is_given_again() -> None:
    """The whole pool is to be had, whether or not anything of it was given before."""
    site = Site(network(lines=70, pool={"reserved": ("100.64.0.32/28",)}))
    assert 45 == sum(site.lease(f"line-{n}", n) != 0 for n in range(70))
    changed(site, lines=70)
    assert 61 == sum(site.lease(f"line-{n}", n) != 0 for n in range(70))
    assert [] == site.allocation.audit()


@pytest.mark.parametrize("columns", [False, True])
def test_leases_of_a_prefix_that_was_gone_at_a_start_are_kept_for_their_lines(
    columns: bool,
) -> None:
    """A file that lacks a pool by mistake, a restart, and the right file again: nobody
    gets what another client still has.
    """
    site = Site(network(lines=80), cool_down_seconds=0)
    had = {n: site.lease(f"line-{n}", n) for n in range(20)}
    site.ask(Message.RELEASE, "line-20", 20, address=site.lease("line-20", 20))
    site.now += 1800
    for number, address in had.items():
        site.renew(f"line-{number}", number, address=address)
    site.now += 1801  # the bindings would be over by now
    other = network(lines=80, prefix="100.70.0.0/26")
    again = Site(other, now=site.now, cool_down_seconds=0)
    again.allocation.begin_loading()
    if columns:
        again.allocation.restore_journal(b"".join(site.records), again.now)
    else:
        for record in site.records:
            for entry in entries(record):
                again.allocation.restore(entry, again.now)
    again.allocation.loaded()
    assert [] == again.allocation.audit()
    again.allocation.change_network(network(lines=80), again.now)
    assert [] == again.allocation.audit()
    assert 20 == again.allocation.pool_usage(POOL).leased
    others = {again.lease(f"line-{n}", n) for n in range(20, 80)} - {0}
    assert others.isdisjoint(had.values())
    for number, address in had.items():
        assert isinstance(again.renew(f"line-{number}", number, address=address), Ack)
