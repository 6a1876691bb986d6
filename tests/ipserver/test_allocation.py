"""The rules of the allocation, each by the section that it comes from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import pytest
from access_network import GIADDR, NOW, Site, ask, network
from msgspec import structs
from netaddr import IPAddress

from config.network import Network
from config.offers import Service
from config.over_allocation import OverAllocation
from config.plant import Line, Relay
from ipserver.answer import Ack, Done, Nak, Offer, Park
from ipserver.ask import Agent, Message
from ipserver.block import Block
from ipserver.block_leasing import BlockLiveError
from ipserver.reasons import Reason
from ipserver.records import Bound, Excess, Extended, entries

POOL = "aurora-harbour"
FIRST = int(IPAddress("100.64.0.0"))
GARDEN = int(IPAddress("10.0.0.0"))


def reason(answer: Any) -> str:
    """Why an answer is what it is."""
    return str(
        answer.lease.reason if isinstance(answer, Offer | Ack) else answer.reason
    )


def kind(answer: Any) -> str:
    """What an answer is, and why."""
    return f"{type(answer).__name__} {reason(answer)}"


def test_a_repeated_discover_gets_the_same_offer() -> None:
    """RFC 2131 section 4.3.1; a flood from one line takes one address."""
    site = Site()
    offers = {site.discover("line-0", mac).lease.address for mac in (1, 1, 2, 3)}  # type: ignore[union-attr]
    assert len(offers) == 1
    assert site.allocation.pool_usage(POOL).offered == 1


def test_a_changed_device_gets_the_address_at_once() -> None:
    """Same line, other hardware: the binding before it is over."""
    site = Site()
    address = site.lease("line-0", 1)
    assert site.lease("line-0", 2) == address
    assert kind(site.renew("line-0", 1, address=address)) == "Nak not_yours"


def test_two_devices_that_fight_for_a_line_leave_it_to_one() -> None:
    """After five changes in ten minutes the one that has the address keeps it."""
    site = Site()
    address = site.lease("line-0", 0)
    won = [site.lease("line-0", turn % 2) for turn in range(1, 9)]
    assert won == [address] * 5 + [0, address, 0]
    assert reason(site.discover("line-0", 0)) == Reason.TAKEOVER_LIMIT
    site.now += 600
    assert site.lease("line-0", 0) == address


def test_the_same_hardware_address_on_two_lines_has_two_leases() -> None:
    """A cloned device is no reason to take a lease from anybody."""
    site = Site()
    one, two = site.lease("line-0", 7), site.lease("line-1", 7)
    assert one != two
    for line, address in (("line-0", one), ("line-1", two)):
        assert isinstance(site.ask(Message.REBINDING, line, 7, address=address), Ack)
    assert reason(site.ask(Message.REBINDING, "line-0", 7, address=two)) == "not_yours"


def test_a_relay_that_reboots_changes_nothing() -> None:
    """Everybody asks again at once, and gets what it had."""
    site = Site(network(lines=20))
    had = {n: site.lease(f"line-{n}", n) for n in range(20)}
    for number, address in had.items():
        line = f"line-{number}"
        again = site.ask(Message.INIT_REBOOT, line, number, address=address)
        assert isinstance(again, Ack)
        assert site.lease(line, number) == address
    assert site.allocation.pool_usage(POOL).leased == 20


@pytest.mark.parametrize(
    ("authoritative", "answer"),
    [(True, "Nak no_record"), (False, "Silence no_record")],
)
def test_init_reboot_without_a_record(authoritative: bool, answer: str) -> None:
    """RFC 2131 section 4.3.2: silence, unless no other server could know it."""
    site = Site(network(area={"authoritative": authoritative}))
    asked = site.ask(Message.INIT_REBOOT, address=FIRST + 9)
    assert kind(asked) == answer


def test_an_offer_that_is_forgotten_is_granted_when_it_is_free() -> None:
    """RFC 2131 section 4.3.2, SELECTING: the server was restarted in between."""
    site = Site()
    offer = site.discover()
    assert isinstance(offer, Offer)
    again = Site()
    bound = again.ask(Message.SELECTING, address=offer.lease.address)
    assert kind(bound) == "Ack granted_own"
    other = again.ask(Message.SELECTING, "line-1", 2, address=offer.lease.address)
    assert kind(other) == "Nak taken"


def test_another_server_s_offer_frees_ours() -> None:
    """RFC 2131 section 3.1, step 3: an implicit decline."""
    site = Site()
    site.discover()
    assert kind(site.ask(Message.ELSEWHERE, address=1)) == "Silence chosen_elsewhere"
    assert site.allocation.pool_usage(POOL).offered == 0


def test_a_unicast_renewal_needs_no_relay() -> None:
    """RFC 3046 section 2.2: option 82 is absent there, and is no reason to refuse."""
    site = Site()
    address = site.lease()
    site.now += 1800
    renewed = site.renew(address=address)
    assert kind(renewed) == "Ack renewed"
    known = site.allocation.by_address(address, site.now)
    assert known is not None
    assert (known.agent, known.seconds) == (b"\x01\x06line-0", 3600)


def test_a_renewal_soon_after_is_answered_from_memory() -> None:
    """Lease caching: the time that is left, and nothing to write."""
    site = Site()
    address = site.lease()
    site.now += 100
    cached = site.renew(address=address)
    assert isinstance(cached, Ack)
    assert (cached.record, cached.lease.seconds) == (None, 3500)
    site.allocation.lost(site.now)
    assert kind(site.renew(address=address)) == "Ack renewed"


def test_t1_and_t2_are_parts_of_the_granted_time_and_vary() -> None:
    """RFC 2131 section 4.4.5, five per cent either way."""
    site = Site(network(lines=200, prefix="100.72.0.0/22"))
    leases = []
    for number in range(200):
        offer = site.discover(f"line-{number}", number)
        assert isinstance(offer, Offer)
        leases.append(offer.lease)
    assert {lease.seconds for lease in leases} == {3600}
    assert all(1710 <= lease.t1 <= 1890 for lease in leases)
    assert all(2992 <= lease.t2 <= 3308 for lease in leases)
    assert len({lease.t1 for lease in leases}) > 50


def test_a_declined_address_is_in_quarantine() -> None:
    """RFC 2131 section 4.3.3; and a line cannot empty the pool with it."""
    site = Site(declines_per_line=2)
    seen = []
    for _ in range(4):
        address = site.lease()
        assert address not in seen
        seen.append(address)
        site.now += 1
        done = site.ask(Message.DECLINE, address=address)
        assert isinstance(done, Done)
    usage = site.allocation.pool_usage(POOL)
    assert (usage.declined, usage.cooling) == (2, 2)
    site.now += 86_400
    site.allocation.turn(site.now, 1000)
    assert site.allocation.pool_usage(POOL).declined == 0


def test_quarantine_can_end_early() -> None:
    """Local relief: declined addresses older than ten minutes are used again."""
    site = Site()
    address = site.lease()
    site.ask(Message.DECLINE, address=address)
    assert site.allocation.end_quarantine(POOL, 9, site.now, 600) == (0, b"")
    site.now += 600
    assert site.allocation.end_quarantine(POOL, 9, site.now, 600)[0] == 1
    assert site.allocation.pool_usage(POOL).declined == 0


@pytest.mark.parametrize("message", [Message.RELEASE, Message.DECLINE])
def test_what_is_said_of_another_s_address_changes_nothing(message: Message) -> None:
    """RFC 2131 section 4.3.4 and good sense: by line, and by client."""
    site = Site()
    address = site.lease("line-0", 1)
    assert kind(site.ask(message, "line-1", 1, address=address)) == "Silence not_yours"
    stranger = site.ask(message, "line-0", 2, address=address, unicast=True)
    assert kind(stranger) == "Silence not_yours"
    assert site.allocation.pool_usage(POOL).leased == 1


def test_a_released_address_waits_for_its_line() -> None:
    """Sticky: the line gets it back although it still cools down for others."""
    site = Site()
    address = site.lease("line-0", 1)
    site.ask(Message.RELEASE, "line-0", 1, address=address, unicast=True)
    assert site.allocation.pool_usage(POOL).cooling == 1
    again = site.discover("line-0", 5)
    assert (kind(again), again.lease.address) == ("Offer returned", address)  # type: ignore[union-attr]


@pytest.mark.parametrize("message", [Message.RENEWING, Message.REBINDING])
def test_a_renewal_from_before_a_release_revives_nothing(message: Message) -> None:
    """RFC 2131 section 4.4.6: ISC's relay passes on a copy of what clients send by
    unicast, and a copy may come last. Who comes back with the address still gets it.
    """
    site = Site()
    address = site.lease()
    unicast = message is Message.RENEWING
    site.ask(Message.RELEASE, address=address, unicast=True)
    late = site.ask(message, address=address, unicast=unicast)
    assert kind(late) == "Nak ended"
    assert site.allocation.pool_usage(POOL).leased == 0
    assert kind(site.ask(Message.INIT_REBOOT, address=address)) == "Ack returned"
    assert kind(site.ask(message, address=address, unicast=unicast)) == "Ack cached"


def test_a_renewal_of_an_address_that_was_left_for_another_revives_nothing() -> None:
    """The client has moved on, and keeps the address that it moved to."""
    policy = OverAllocation(block_prefix_length=26)
    site = Site(network(prefix="100.64.0.0/25", over_allocation=(policy,)))
    first = site.lease()
    start = first - first % 64
    site.allocation.hold_block(Block(start, start + 63, POOL, POOL))
    second = site.lease()
    assert first != second
    assert kind(site.ask(Message.REBINDING, address=first)) == "Nak ended"
    assert kind(site.renew(address=second)) == "Ack cached"


def test_addresses_cannot_be_foretold() -> None:
    """Neighbours in time are not neighbours in number."""
    site = Site(network(lines=400, prefix="100.72.0.0/20"))
    given = [site.lease(f"line-{n}", n) for n in range(400)]
    steps = [abs(b - a) for a, b in pairwise(given)]
    assert sum(step == 1 for step in steps) < 20
    assert len(set(given)) == 400


def lines_run(work: Callable[[], object]) -> int:
    """Count the lines of code that something runs: time, but for the machine's."""
    count, before = 0, sys.gettrace()

    def trace(_frame: object, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_an_answer_takes_no_longer_however_full_the_pool_is() -> None:
    """Nothing is searched: new clients of a pool that is empty, 99 % full and full."""
    size, some = (1 << 14) - 3, 100
    served = network(lines=0)
    garden = structs.replace(served.pool[2], prefixes=("10.0.0.0/18",))
    served = structs.replace(served, pool=(*served.pool[:2], garden))
    site = Site(served, decisions_kept=0)
    clients = iter(range(1 << 20))

    def come(count: int) -> None:
        for client in islice(clients, count):
            site.lease(f"stranger-{client}", client)

    def run(count: int) -> int:
        return lines_run(lambda: come(count))

    come(1000)  # its first blocks are drawn from
    empty = run(some)
    come(size - 1000 - 3 * some)
    nearly = run(some)
    come(some)
    assert site.allocation.pool_usage("garden").free == 0
    assert nearly <= 1.5 * empty
    # What is stale in its queues is passed over once, a part in each ask.
    assert run(some) <= 2 * empty
    come(400)
    assert run(some) <= empty


def test_a_full_pool_is_told_and_can_grow() -> None:
    """The over-allocation is asked, and the client waits while it grants."""
    site = Site(network(lines=90))
    asked: list[tuple[str, str]] = []

    def shortage(pool: str, line: str, now: float) -> str | None:
        asked.append((pool, line))
        return "request-7" if line == "line-61" else None

    site.allocation.shortage = shortage
    assert all(site.lease(f"line-{n}", n) for n in range(61))
    assert site.discover("line-61", 61) == Park("request-7")
    assert kind(site.discover("line-62", 62)) == "Silence pool_empty"
    assert asked == [(POOL, "line-61"), (POOL, "line-62")]
    lent = Block(int(IPAddress("100.65.0.0")), 0, "borealis-harbour", POOL, 1)
    site.allocation.open_block(lent, POOL, 900)
    offer = site.discover("line-61", 61)
    assert isinstance(offer, Offer)
    assert offer.lease.pool == POOL
    assert offer.lease.seconds <= 900
    assert site.lease("line-61", 61)
    [entry] = [e for e in _entries(site) if e.line == "line-61"]
    assert (entry.owner, entry.borrower, entry.generation) == ("borealis", "aurora", 1)


def _entries(site: Site) -> list[Any]:
    found = entries(b"".join(site.records))
    return [entry for entry in found if isinstance(entry, Bound)]


def test_offers_and_cool_downs_yield_to_a_shortage() -> None:
    """Local relief: the oldest of both are used before anybody is refused."""
    site = Site(network(lines=200), offer_seconds=600, cool_down_seconds=600)
    held = [site.lease(f"line-{n}", n) for n in range(30)]
    for number, address in enumerate(held):
        line = f"line-{number}"
        site.ask(Message.RELEASE, line, number, address=address, unicast=True)
    for number in range(30, 61):
        site.discover(f"line-{number}", number)
    site.now += 20
    assert all(site.lease(f"line-{n}", n) for n in range(70, 131))


def test_new_leases_get_shorter_above_the_mark() -> None:
    """Over 80 per cent in use; renewals keep their time."""
    site = Site(network(lines=61, pool={"lease_seconds": 10_000}))
    addresses = [site.lease(f"line-{n}", n) for n in range(45)]
    full = [site.discover(f"line-{n}", n) for n in range(45, 61)]
    seconds = [offer.lease.seconds for offer in full if isinstance(offer, Offer)]
    assert seconds[0] == 10_000
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] == OverAllocation().lease_seconds_min
    site.now += 5000
    renewed = site.renew("line-0", 0, address=addresses[0])
    assert isinstance(renewed, Ack)
    assert renewed.lease.seconds == 10_000


def test_a_held_block_renews_and_a_draining_one_ends() -> None:
    """RFC 2131 section 4.3.2 lets a server acknowledge the time that is left."""
    served = network(
        prefix="100.64.0.0/25",
        over_allocation=(OverAllocation(block_prefix_length=26),),
    )
    site = Site(served)
    address = site.lease()
    first = address - address % 64
    block = Block(first, first + 63, POOL, POOL)
    site.allocation.hold_block(block)
    site.now += 1800
    assert kind(site.renew(address=address)) == "Ack renewed"
    with pytest.raises(BlockLiveError):
        site.allocation.close_block(block)
    site.allocation.drain_block(block)
    site.now += 1800
    ending = site.renew(address=address)
    assert isinstance(ending, Ack)
    assert ending.record is None
    lease = ending.lease
    assert (1800, 1800, 1800) == (lease.seconds, lease.t1, lease.t2)
    moved = site.lease()
    assert moved - moved % 64 != first
    site.allocation.close_block(block)
    # Network, router and broadcast address are at the two ends of the prefix.
    size = 63 if first == FIRST else 62
    assert site.allocation.pool_usage(POOL).size == size
    assert site.allocation.audit() == []


def test_a_client_without_need_of_ipv4_gets_none() -> None:
    """RFC 8925 section 3.3, where the area offers it."""
    site = Site(network(area={"ipv6_only_seconds": 1800}))
    offer = site.discover(ipv6_only=True)
    assert isinstance(offer, Offer)
    assert (offer.lease.address, offer.lease.ipv6_only_seconds) == (0, 1800)
    assert site.allocation.pool_usage(POOL).offered == 0
    assert site.lease() != 0
    assert Site().lease(ipv6_only=True) != 0


def test_a_line_without_a_service_is_in_the_walled_garden() -> None:
    """Known or not; one address, and a service takes it out at the next renewal."""
    site = Site(network(served=3))
    garden = site.lease("line-3", 1)
    assert garden >> 8 == GARDEN >> 8
    assert site.lease("line-3", 2) == garden
    site.allocation.change_network(network(), site.now)
    assert kind(site.renew("line-3", 2, address=garden)) == "Nak service_changed"
    assert site.lease("line-3", 2) >> 8 == FIRST >> 8
    assert site.allocation.pool_usage("garden").leased == 0


def test_a_line_that_gets_a_name_keeps_its_address() -> None:
    """What stood for it until then was what the relay said."""
    site = Site(network(lines=1))
    address = site.lease("new", 1)
    named = (*network().line, Line(name="new-line", area="harbour", circuit_id="new"))
    site.allocation.change_network(network(line=named), site.now)
    assert site.lease("new", 1) == address
    assert site.allocation.why("new-line", site.now)["leases"][0]["state"] == "leased"


def test_nobody_is_served_without_a_garden_or_a_line() -> None:
    """Silence, each with its reason."""
    whole = network()
    closed = Site(Network(area=whole.area, relay=whole.relay, line=whole.line))
    assert kind(closed.discover()) == "Silence no_service"
    nothing = structs.replace(ask(Message.DISCOVER, agent=Agent()), hardware=b"")
    assert kind(closed.allocation.answer(nothing, NOW)) == "Silence no_line"


def test_a_changed_isp_takes_effect_on_the_next_ask() -> None:
    """The old address is refused at the renewal, the new one is the new ISP's."""
    site = Site()
    address = site.lease()
    moved = Service(name="s", isp="borealis", line="line-0", offering="other")
    site.allocation.change_network(network(service=(moved,)), site.now)
    assert kind(site.renew(address=address)) == "Nak service_changed"
    assert IPAddress(site.lease()).bits()[:19] == IPAddress("100.65.0.0").bits()[:19]
    assert site.allocation.pool_usage(POOL).leased == 0


def test_more_addresses_for_a_service_are_had_at_once_and_fewer_in_time() -> None:
    """Exactly N, also when N changes."""
    site = Site(network(home={"addresses": 3, "excess": "deny"}))
    had = [site.lease("line-0", mac) for mac in (1, 2, 3, 4)]
    assert had[3] == 0
    assert len({*had[:3]}) == 3
    site.allocation.change_network(network(home={"excess": "deny"}), site.now)
    kept = [kind(site.renew("line-0", m, address=had[m - 1])) for m in (1, 2, 3)]
    assert kept == ["Ack cached", "Nak subscriber_limit", "Nak subscriber_limit"]


def ladder(policy: str, **fields: Any) -> Site:
    """A line with its one address in use, and a policy for more."""
    site = Site(network(home={"excess": policy, **fields}))
    assert site.lease("line-0", 1)
    return site


def test_the_ladder_denies() -> None:
    """Policy "deny"; a device silent for too long is replaced all the same."""
    site = ladder("deny")
    assert kind(site.discover("line-0", 2)) == "Silence subscriber_limit"
    site.now += 2200
    assert kind(site.discover("line-0", 2)) == "Offer replaced"


def test_the_ladder_leads_to_the_walled_garden() -> None:
    """Policy "walled_garden": where another address can be bought."""
    site = ladder("walled_garden")
    offer = site.discover("line-0", 2)
    assert kind(offer) == "Offer walled_garden"
    assert site.lease("line-0", 2) >> 8 == GARDEN >> 8


def test_the_ladder_gives_grace_once_a_month() -> None:
    """Policy "grace": for some hours, and no lease outlives them."""
    site = ladder("grace", grace_hours=1, excess_addresses=2)
    extra = site.lease("line-0", 2)
    assert extra
    site.now += 1900
    renewed = site.renew("line-0", 2, address=extra)
    assert isinstance(renewed, Ack)
    assert renewed.lease.seconds == 1700
    assert kind(site.renew("line-0", 1, address=0)) == "Silence wrong_network"
    site.now += 1700
    site.lease("line-0", 1)
    assert kind(site.discover("line-0", 2)) == "Silence grace_used"
    site.now += 40 * 86_400
    site.lease("line-0", 1)
    assert site.lease("line-0", 2) != 0


def test_the_ladder_sells_up_to_the_cap() -> None:
    """Policy "sell": one sale an address and month, whoever uses it."""
    site = ladder(
        "sell", excess_price_micro=40, excess_cap_micro=100, excess_addresses=5
    )
    extra = [site.lease("line-0", mac) for mac in (2, 3, 4)]
    assert extra[2] == 0
    assert kind(site.discover("line-0", 4)) == "Silence monthly_cap"
    site.ask(Message.RELEASE, "line-0", 3, address=extra[1], unicast=True)
    assert site.lease("line-0", 4) != 0
    assert _sales(site) == [(1, 40, 40), (2, 40, 80)]


def test_a_sold_address_is_paid_again_in_the_next_month() -> None:
    """At its first renewal in the month; the lease of the service never is."""
    site = Site(
        network(
            pool={"lease_seconds": 40 * 86_400},
            home={
                "excess": "sell",
                "excess_price_micro": 40,
                "excess_cap_micro": 40,
            },
        )
    )
    own, extra = site.lease("line-0", 1), site.lease("line-0", 2)
    site.now += 30 * 86_400
    for mac, address in ((1, own), (2, extra), (2, extra)):
        assert isinstance(site.renew("line-0", mac, address=address), Ack)
    assert _sales(site) == [(1, 40, 40), (1, 40, 40)]


def _sales(site: Site) -> list[tuple[int, int, int]]:
    found = entries(b"".join(site.records))
    return [
        (entry.sold, entry.price_micro, entry.micro)
        for entry in found
        if isinstance(entry, Excess)
    ]


@pytest.mark.parametrize("jump", [3600, -3600, 400 * 86_400, -400 * 86_400])
def test_a_wall_clock_that_jumps_changes_no_lease(jump: int) -> None:
    """Leases count seconds; only records bear the new time."""
    site = Site()
    address = site.lease()
    site.now += 60
    site.allocation.follow_wall(jump, site.now)
    site.allocation.turn(site.now, 1000)
    renewed = site.renew(address=address)
    assert kind(renewed) == "Ack renewed"
    assert isinstance(renewed, Ack)
    assert renewed.record is not None
    [entry] = entries(renewed.record)
    assert isinstance(entry, Extended)
    assert entry.at == NOW + 60 + jump


@pytest.mark.parametrize("jump", [3600, -3600, 400 * 86_400, -400 * 86_400])
def test_a_time_that_jumps_gives_no_address_twice(jump: int) -> None:
    """Even of the clock that must not: nothing loops, and expired is expired."""
    site = Site(network(lines=8))
    had = {n: site.lease(f"line-{n}", n) for n in range(4)}
    site.now += jump
    while site.allocation.turn(site.now, 10):
        pass
    leased = site.allocation.pool_usage(POOL).leased
    assert leased == (0 if jump > 3599 else 4)
    others = {site.lease(f"line-{n}", n) for n in range(4, 8)}
    assert not others & set(had.values())
    assert [site.lease(f"line-{n}", n) for n in range(4)] == list(had.values())
    assert site.allocation.audit() == []


def test_why_tells_the_policy_the_decision_and_the_leases() -> None:
    """What ``fairlane why`` shows of a line."""
    site = ladder("deny")
    site.discover("line-0", 2)
    told = site.allocation.why("line-0", site.now)
    assert told["decision"]["reason"] == "subscriber_limit"
    assert told["decision"]["hardware"] == "00:00:00:00:00:02"
    assert told["policy"]["excess"] == "deny"
    assert [lease["state"] for lease in told["leases"]] == ["leased"]
    assert site.allocation.why("nobody", site.now)["decision"] is None


def test_decisions_that_are_remembered_are_bounded() -> None:
    """The last of as many lines as the setting says."""
    site = Site(network(lines=1), decisions_kept=100)
    for number in range(500):
        site.discover(f"stranger-{number}", number)
    lines = [f"192.0.2.1/circuit:stranger-{n}" for n in range(500)]
    kept = [n for n in lines if site.allocation.why(n, site.now)["decision"]]
    assert 50 <= len(kept) <= 100
    assert kept[-1] == lines[-1]


def test_relays_tell_the_same_circuit_id_apart() -> None:
    """RFC 3046 section 3.1: it is local to a relay, unless the area says otherwise."""
    relays = tuple(
        Relay(name=f"relay-{n}", area="harbour", giaddr=f"192.0.2.{n}") for n in (1, 2)
    )
    lines = tuple(
        Line(name=f"line-{n}", area="harbour", relay=f"relay-{n}", circuit_id="1")
        for n in (1, 2)
    )
    served = network(relay=relays, line=lines, service=())
    site = Site(served)
    for number in (1, 2):
        site.discover("1", 1, giaddr=GIADDR - 1 + number)
        told = site.allocation.why(f"line-{number}", site.now)
        assert len(told["leases"]) == 1


def two_subnets() -> Network:
    """The area's ISP has two pools in two subnets."""
    served = network()
    more = structs.replace(
        served.pool[0], name="aurora-shore", prefixes=("100.67.0.0/26",)
    )
    return structs.replace(served, pool=(*served.pool, more))


def test_the_relay_s_link_selection_chooses_the_subnet_rfc_3527_section_3() -> None:
    """The address is of a pool on that subnet; one that no pool is on tells nothing."""
    for link, expected in (
        ("100.67.0.1", "aurora-shore"),
        ("100.64.0.1", "aurora-harbour"),
        ("198.51.100.1", "aurora-harbour"),
    ):
        site = Site(two_subnets())
        offer = site.discover(link=int(IPAddress(link)))
        assert isinstance(offer, Offer)
        assert expected == offer.lease.pool


def test_a_client_that_moves_to_another_subnet_moves_rfc_2131_section_4_3_2() -> None:
    """Its old address is refused there, and ends when it has taken the new one."""
    site = Site(two_subnets())
    old = site.lease()
    link = int(IPAddress("100.67.0.1"))
    refused = site.ask(Message.INIT_REBOOT, address=old, link=link)
    new = site.lease(link=link)
    assert isinstance(refused, Nak)
    assert int(IPAddress("100.67.0.0")) <= new < int(IPAddress("100.67.0.64"))
    assert site.allocation.by_address(old, site.now) is None
    assert isinstance(site.renew(address=new), Ack)


def test_a_client_is_known_by_its_identifier_rfc_4361_section_6_1() -> None:
    """Type 255, IAID and DUID are opaque octets: the same ones through another
    interface are the same client, another IAID behind the same hardware is another.
    """
    duid = b"\x00\x02\x00\x00\x01\x02router"
    first, second = b"\xff\0\0\0\1" + duid, b"\xff\0\0\0\2" + duid
    site = Site(network(home={"addresses": 2}))
    held = site.lease("line-0", 1, client_id=first)
    moved = site.discover("line-0", 2, client_id=first)
    other = site.discover("line-0", 1, client_id=second)
    assert isinstance(moved, Offer)
    assert isinstance(other, Offer)
    assert (held, "renewed") == (moved.lease.address, moved.lease.reason)
    assert held != other.lease.address


def test_a_client_that_wants_ipv4_gets_it_where_ipv6_alone_would_do_rfc_8925() -> None:
    """Only option 108 in the parameter request list asks for no address (3.3)."""
    site = Site(network(area={"ipv6_only_seconds": 1800}))
    wanting, without = site.discover(), site.discover(ipv6_only=True)
    assert isinstance(wanting, Offer)
    assert isinstance(without, Offer)
    assert wanting.lease.address
    assert (0, 1800) == (without.lease.address, without.lease.ipv6_only_seconds)


def test_a_client_that_asks_for_its_old_address_is_refused_rfc_2131_section_4_3_2() -> (
    None
):
    """INIT-REBOOT on the right network with another line's address, or none of ours."""
    site = Site()
    others, mine = site.lease("line-1", 2), site.lease("line-0", 1)
    wrong = site.ask(Message.INIT_REBOOT, address=others)
    elsewhere = site.ask(Message.INIT_REBOOT, address=int(IPAddress("192.0.2.77")))
    right = site.ask(Message.INIT_REBOOT, address=mine)
    assert isinstance(wrong, Nak)
    assert isinstance(elsewhere, Nak)
    assert isinstance(right, Ack)
    assert site.allocation.by_address(others, site.now) is not None


def test_an_offer_that_nobody_takes_ends_behind_one_that_was_taken() -> None:
    """Those before it in the queue may have become leases, or be offered again."""
    site = Site()
    taken = site.lease("line-0", 1)
    site.discover("line-1", 2)
    site.discover("line-2", 3)
    for _ in range(6):
        site.now += 60
        site.renew("line-0", 1, address=taken)
        site.discover("line-1", 2)
        site.allocation.turn(site.now, 1000)
    usage = site.allocation.pool_usage(POOL)
    assert (1, 1) == (usage.leased, usage.offered)
    assert isinstance(site.discover("line-1", 2), Offer)
    assert [] == site.allocation.audit()


def test_a_full_pool_finds_an_offer_behind_one_that_is_made_again_and_again() -> None:
    """Relief passes over who is offered the same once more."""
    site = Site(network(lines=80), cool_down_seconds=0)
    for line in range(61):
        assert isinstance(site.discover(f"line-{line}", line), Offer)
    site.now += 11
    site.discover("line-0", 0)
    assert site.lease("line-70", 70) != 0


@pytest.mark.parametrize("skew", [-3600, 3600, -400 * 86_400])
def test_a_sold_address_lasts_as_any_other_whatever_was_done_to_the_clock(
    skew: int,
) -> None:
    """No end but the lease's is none after the wall clock was set back, too."""
    site = ladder(
        "sell", excess_price_micro=40, excess_cap_micro=100, excess_addresses=5
    )
    site.allocation.follow_wall(skew, site.now)
    offer = site.discover("line-0", 2)
    assert isinstance(offer, Offer)
    bound = site.ask(Message.SELECTING, "line-0", 2, address=offer.lease.address)
    assert isinstance(bound, Ack)
    assert 3600 == bound.lease.seconds
    site.now += 1800
    renewed = site.renew("line-0", 2, address=bound.lease.address)
    assert isinstance(renewed, Ack)
    assert 3600 == renewed.lease.seconds


def test_option_108_is_told_to_nobody_who_did_not_ask_rfc_8925_section_3_3() -> None:
    """A client without IPv6-only ability must not hear of it in its ACK either."""
    site = Site(network(area={"ipv6_only_seconds": 1800}))
    address = site.lease()
    told = [
        site.ask(Message.INIT_REBOOT, address=address),
        site.renew(address=address),
        site.ask(Message.INIT_REBOOT, address=address, ipv6_only=True),
    ]
    waits = [each.lease.ipv6_only_seconds for each in told if isinstance(each, Ack)]
    assert [0, 0, 1800] == waits


def test_another_isp_s_address_that_is_asked_for_leaves_no_trace() -> None:
    """Option 50 may name anything."""
    site = Site()
    offer = site.discover(address=int(IPAddress("100.65.0.9")))
    assert isinstance(offer, Offer)
    assert offer.lease.address >> 8 == FIRST >> 8
    assert [] == site.allocation.audit()


def test_a_declined_address_stays_in_quarantine_when_its_block_changes_hands() -> None:
    """Whoever uses it does so in the next pool as well."""
    site = Site(network(lines=70))
    declined = site.lease("line-0", 1)
    site.ask(Message.DECLINE, "line-0", 1, address=declined)
    block = Block(FIRST, FIRST + 63, POOL, POOL)
    site.allocation.close_block(block)
    assert [] == site.allocation.audit()
    site.allocation.open_block(block, "borealis-harbour")
    assert 1 == site.allocation.pool_usage("borealis-harbour").declined
    site.allocation.close_block(block)
    site.allocation.open_block(block, POOL)
    assert 60 == sum(site.lease(f"line-{n}", n) not in {0, declined} for n in range(70))
    assert [] == site.allocation.audit()


@pytest.mark.parametrize("taken", [False, True])
def test_a_line_that_declines_without_end_takes_few_addresses(taken: bool) -> None:
    """Three are kept from use, three cool down, and then it gets the same again; what
    others have, and for how long, is as before.
    """
    site = Site(declines_per_line=3)
    for _ in range(100):
        offer = site.discover()
        assert isinstance(offer, Offer)
        address = offer.lease.address
        if taken:
            site.ask(Message.SELECTING, address=address)
        assert isinstance(site.ask(Message.DECLINE, address=address), Done)
        site.now += 0.5
    usage = site.allocation.pool_usage(POOL)
    assert usage.declined + usage.cooling <= 7
    assert site.lease("line-1", 2) != 0
