"""A line that its relay puts on two subnets (RFC 3527) has its N addresses once."""

from __future__ import annotations

from typing import Any

import pytest
from access_network import NOW, Site, network
from msgspec import structs
from netaddr import IPAddress

from config.network import Network
from ipserver.answer import Ack, Nak, Offer, Silence
from ipserver.ask import Message
from ipserver.lease_table import OWN, SUPERSEDED
from ipserver.reasons import Reason
from ipserver.records import Bound, entries

HARBOUR, SHORE = (int(IPAddress(a)) for a in ("100.64.0.1", "100.67.0.1"))
GARDENS = tuple(int(IPAddress(a)) for a in ("10.0.0.1", "10.1.0.1"))
SUBNETS = ("aurora-harbour", "aurora-shore", "garden", "shore-garden")


def two_subnets(**changes: Any) -> Network:
    """The area's ISP has pools in two subnets, and so has the walled garden."""
    served = network(**changes)
    pools = {pool.name: pool for pool in served.pool}
    shore = structs.replace(
        pools["aurora-harbour"], name="aurora-shore", prefixes=("100.67.0.0/26",)
    )
    garden = structs.replace(
        pools["garden"], name="shore-garden", prefixes=("10.1.0.0/24",)
    )
    return structs.replace(served, pool=(*served.pool, shore, garden))


def on(address: int, link: int) -> bool:
    """Whether an address is on the subnet of a link."""
    return link - 1 <= address < link + (63 if link in (HARBOUR, SHORE) else 255)


def leased(site: Site) -> int:
    """How many addresses the pools have leased."""
    return sum(site.allocation.pool_usage(pool).leased for pool in SUBNETS)


def again(site: Site) -> Site:
    """The site as it is after a start from its journal."""
    begun = Site(two_subnets(), now=site.now)
    begun.allocation.begin_loading()
    for record in site.records:
        for entry in entries(record):
            begun.allocation.restore(entry, begun.now)
    begun.allocation.loaded()
    return begun


def test_a_changed_device_on_another_subnet_gets_an_address_there() -> None:
    """It is the line's one; that of the device before is renewed no more, by no way,
    and nobody else gets it until its lease has ended."""
    site = Site(two_subnets())
    old = site.lease("line-0", 1, link=HARBOUR)
    new = site.lease("line-0", 2, link=SHORE)
    assert on(old, HARBOUR)
    assert on(new, SHORE)
    for served in (site, again(site)):
        told = served.renew("line-0", 1, address=old)
        assert isinstance(told, Nak)
        assert told.reason is Reason.SUBSCRIBER_LIMIT
        rebooted = served.ask(
            Message.INIT_REBOOT, "line-0", 1, address=old, link=HARBOUR
        )
        assert isinstance(rebooted, Nak)
        assert isinstance(served.renew("line-0", 2, address=new), Ack)
        taken = served.ask(Message.SELECTING, "line-1", 3, address=old, link=HARBOUR)
        assert isinstance(taken, Nak)
    site.now += 3601
    site.allocation.turn(site.now, 100)
    assert isinstance(site.renew("line-0", 1, address=old), Nak)
    assert site.lease("line-0", 2, link=HARBOUR) == old
    assert site.allocation.audit() == []


def test_the_journal_says_whose_address_it_is_until_it_ends() -> None:
    """Who had it has it still, to be found by who asks who had an address."""
    site = Site(two_subnets())
    old = site.lease("line-0", 1, link=HARBOUR)
    site.now += 60
    new = site.lease("line-0", 2, link=SHORE)
    bound = [e for r in site.records for e in entries(r) if isinstance(e, Bound)]
    assert [(e.address, e.kind, e.hardware[-1]) for e in bound] == [
        (old, OWN, 1),
        (old, SUPERSEDED, 1),
        (new, OWN, 2),
    ]
    assert bound[0].expires == bound[1].expires
    assert bound[1].at == NOW + 60


@pytest.mark.parametrize("policy", ["deny", "walled_garden", "grace", "sell"])
def test_whoever_lives_keeps_its_address_unless_the_policy_is_to_replace(
    policy: str,
) -> None:
    """N on both subnets together; beyond them it is as on one."""
    home = {"excess": policy, "excess_addresses": 1, "grace_hours": 1}
    site = Site(two_subnets(home=home))
    old = site.lease("line-0", 1, link=HARBOUR)
    second = site.discover("line-0", 2, link=SHORE)
    if policy == "deny":
        assert isinstance(second, Silence)
        assert second.reason is Reason.SUBSCRIBER_LIMIT
    else:
        assert isinstance(second, Offer)
        assert second.lease.reason in ("walled_garden", "granted_grace", "granted_sold")
        assert site.lease("line-0", 2, link=SHORE)
        if policy != "walled_garden":
            assert isinstance(site.discover("line-0", 3, link=SHORE), Silence)
    assert isinstance(site.renew("line-0", 1, address=old), Ack)


def test_a_silent_device_is_replaced_across_subnets_under_any_policy() -> None:
    """Longer silent than its T1, as on one subnet."""
    site = Site(two_subnets(home={"excess": "deny"}))
    old = site.lease("line-0", 1, link=HARBOUR)
    site.now += 2300
    new = site.lease("line-0", 2, link=SHORE)
    assert on(new, SHORE)
    assert isinstance(site.renew("line-0", 1, address=old), Nak)


def test_a_device_that_comes_back_has_the_same_address_again() -> None:
    """Two that change places use one address on each subnet, and five changes."""
    site = Site(two_subnets())
    links = (HARBOUR, SHORE)
    had = [site.lease("line-0", turn % 2, link=links[turn % 2]) for turn in range(8)]
    assert set(had[:6]) == set(had[:2])
    assert had[6:] == [0, had[1]]
    assert leased(site) == 2


def test_a_line_has_one_offer_however_many_subnets_it_is_on() -> None:
    """Of each address that it can have; the newest client has it."""
    site = Site(two_subnets())
    for mac in range(6):
        link = (HARBOUR, SHORE)[mac % 2]
        offer = site.discover("line-0", mac, link=link)
        assert isinstance(offer, Offer)
        assert on(offer.lease.address, link)
    assert sum(site.allocation.pool_usage(pool).offered for pool in SUBNETS) == 1


def test_offers_beside_a_lease_on_another_subnet_are_one() -> None:
    """Who would replace it is offered what the one before it was."""
    site = Site(two_subnets())
    site.lease("line-0", 1, link=HARBOUR)
    offers = [site.discover("line-0", mac, link=SHORE) for mac in (2, 3, 4)]
    assert len({o.lease.address for o in offers if isinstance(o, Offer)}) == 1


def test_a_client_that_is_offered_on_two_subnets_leaves_no_offer_behind() -> None:
    """The line's second address is free for its other device."""
    site = Site(two_subnets(home={"addresses": 2}))
    for link in (HARBOUR, SHORE):
        site.discover("line-0", 1, link=link)
    assert site.lease("line-0", 2, link=SHORE)
    assert site.lease("line-0", 1, link=SHORE)


def test_two_of_three_are_the_newest() -> None:
    """N is 2: the third, on another subnet, replaces the one longest unheard."""
    site = Site(two_subnets(home={"addresses": 2}))
    had = []
    for mac, link in ((1, HARBOUR), (2, SHORE), (3, SHORE)):
        had.append(site.lease("line-0", mac, link=link))
        site.now += 1
    answers = [site.renew("line-0", n, address=a) for n, a in enumerate(had, 1)]
    assert [type(answer) for answer in answers] == [Nak, Ack, Ack]


def test_the_walled_garden_is_one_on_all_subnets() -> None:
    """A line without a service has one address of it."""
    site = Site(two_subnets(served=0))
    old = site.lease("line-0", 1, link=GARDENS[0])
    new = site.lease("line-0", 2, link=GARDENS[1])
    assert on(old, GARDENS[0])
    assert on(new, GARDENS[1])
    assert isinstance(site.renew("line-0", 1, address=old), Nak)
    assert isinstance(site.renew("line-0", 2, address=new), Ack)


def test_where_there_is_room_again_the_device_before_has_its_address_back() -> None:
    """As soon as it asks anew."""
    site = Site(two_subnets())
    old = site.lease("line-0", 1, link=HARBOUR)
    new = site.lease("line-0", 2, link=SHORE)
    site.ask(Message.RELEASE, "line-0", 2, unicast=True, address=new)
    assert site.lease("line-0", 1, link=HARBOUR) == old
    assert isinstance(site.renew("line-0", 1, address=old), Ack)
    assert isinstance(again(site).renew("line-0", 1, address=old), Ack)


def test_a_new_device_is_served_at_once_where_n_was_lowered() -> None:
    """It was offered an address, and refused it until the surplus was: of three devices
    and one address, it is the newest that has it."""
    site = Site(two_subnets(home={"addresses": 3}))
    had = []
    for mac in (1, 2, 3):
        had.append(site.lease("line-0", mac, link=HARBOUR))
        site.now += 1
    site.now += 1800
    site.renew("line-0", 1, address=had[0])
    site.allocation.change_network(two_subnets(), site.now)
    new = site.lease("line-0", 4, link=HARBOUR)
    assert new == had[1]
    answers = [site.renew("line-0", n, address=a) for n, a in enumerate(had, 1)]
    assert [type(answer) for answer in answers] == [Nak, Nak, Nak]
    assert isinstance(site.renew("line-0", 4, address=new), Ack)


def test_nobody_replaces_a_surplus_that_lives() -> None:
    """Where the policy is to deny, a lowered N throws nobody out before its T1."""
    home = {"addresses": 2, "excess": "deny"}
    site = Site(two_subnets(home=home))
    had = [site.lease("line-0", mac, link=HARBOUR) for mac in (1, 2)]
    site.now += 2300
    site.renew("line-0", 2, address=had[1])
    site.allocation.change_network(two_subnets(home=home | {"addresses": 1}), site.now)
    refused = site.discover("line-0", 3, link=HARBOUR)
    assert isinstance(refused, Silence)
    assert refused.reason is Reason.SUBSCRIBER_LIMIT


def test_a_reserved_address_is_one_of_the_n_while_it_lives() -> None:
    """It is in use, and renewed no more; another device replaces it."""
    site = Site(two_subnets())
    old = site.lease("line-0", 1, link=HARBOUR)
    served = two_subnets(pool={"reserved": (f"{IPAddress(old)}/32",)})
    site.allocation.change_network(served, site.now)
    new = site.lease("line-0", 2, link=HARBOUR)
    assert new not in (0, old)
    assert [e.kind for e in entries(site.records[-1]) if isinstance(e, Bound)] == [
        SUPERSEDED,
        OWN,
    ]


def test_what_was_sold_under_another_policy_is_not_taken_over() -> None:
    """It is refused at its renewal; who would take it over would be refused at once."""
    sell = {"excess": "sell", "excess_addresses": 1}
    site = Site(two_subnets(home=sell))
    site.lease("line-0", 1)
    sold = site.lease("line-0", 2)
    assert sold
    site.allocation.change_network(two_subnets(home={"excess": "deny"}), site.now)
    site.now += 2300
    new = site.lease("line-0", 3)
    assert new
    assert new != sold
