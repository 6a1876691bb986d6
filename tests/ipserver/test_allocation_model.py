"""The allocation against what its clients know: a model of twenty lines.

A client believes what it was told: which address it has, and until when. From that
alone follows what must never happen: an address believed by two, a line that believes
in more than it may have, on whichever of two subnets its relay puts it. What a changed
device on another subnet has superseded is believed in still, and never renewed. What
happens is drawn from numbers, so that Hypothesis can find and shrink a story, and a
long run can tell a million steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from access_network import NOW, ask, network
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.network import Network
from config.offers import Offering, Service
from config.over_allocation import OverAllocation
from config.plant import Line
from config.schema import LeaseSettings
from ipserver.allocation import Allocation
from ipserver.answer import Ack, Answer, Done, Nak, Offer, Silence
from ipserver.ask import Message
from ipserver.block import Block
from ipserver.lease_table import SUPERSEDED
from ipserver.records import Bound, entries

Client = tuple[str, int]
POLICIES = ("replace_oldest", "deny", "walled_garden", "grace", "sell")
ADDRESSES, EXTRA = (1, 2, 3, 1, 2), 2
PREFIX = int.from_bytes(bytes((100, 64, 0, 0)))
BLOCKS = [
    Block(PREFIX + i * 16, PREFIX + i * 16 + 15, "aurora-harbour", "") for i in (0, 1)
]
SHORE = int.from_bytes(bytes((100, 67, 0, 0)))
LINKS = (PREFIX + 1, SHORE + 1)


def town() -> Network:
    """Lines of every policy that share thirty addresses, and sixteen on another subnet;
    and some without a service."""
    lines = [f"line-{number}" for number in range(20)]
    offerings = tuple(
        Offering(
            name=policy,
            isp="aurora",
            down_kbps=1,
            up_kbps=1,
            addresses=addresses,
            excess=policy,  # type: ignore[arg-type]
            excess_addresses=EXTRA,
            excess_price_micro=1,
            excess_cap_micro=EXTRA,
            grace_hours=1,
        )
        for policy, addresses in zip(POLICIES, ADDRESSES, strict=True)
    )
    served = network(
        over_allocation=(OverAllocation(block_prefix_length=28),),
        line=tuple(Line(name=n, area="harbour", circuit_id=n) for n in lines),
        offering=(*offerings, network().offering[1]),
        service=tuple(
            Service(name=f"s-{n}", isp="aurora", line=n, offering=POLICIES[i % 5])
            for i, n in enumerate(lines[:15])
        ),
    )
    harbour = served.pool[0]
    shore = replace(harbour, name="aurora-shore", prefixes=("100.67.0.0/28",))
    return replace(served, pool=(*served.pool, shore))


def limit_of(line: str) -> int:
    """How many addresses a line may have in all."""
    number = int(line.partition("-")[2])
    if number >= 15:
        return 1
    extra = {"walled_garden": 1, "grace": EXTRA, "sell": EXTRA}
    return ADDRESSES[number % 5] + extra.get(POLICIES[number % 5], 0)


@dataclass
class Town:
    """The allocation, and what everybody believes."""

    seed: int
    now: float = NOW
    held: dict[int, tuple[Client, int]] = field(default_factory=dict)
    offers: dict[Client, int] = field(default_factory=dict)
    superseded: set[int] = field(default_factory=set)
    ashore: set[Client] = field(default_factory=set)
    journal: list[bytes] = field(default_factory=list)
    draining: bool = False
    set_back: int = 0
    again_until: float = 0.0

    def __post_init__(self) -> None:
        self.allocation = self.begin()

    def begin(self) -> Allocation:
        """Make an allocation of this town."""
        made = Allocation(
            LeaseSettings(cool_down_seconds=30, affinity_seconds=300),
            random=random.Random(self.seed).random,
            now=self.now,
        )
        made.begin_loading()
        made.change_network(town(), self.now)
        return made

    def restart(self) -> None:
        """Begin again from the journal."""
        self.allocation = self.begin()
        for octets in self.journal:
            for entry in entries(octets):
                self.allocation.restore(entry, self.now)
        self.allocation.loaded()
        self.offers.clear()
        self.draining = False

    def live(self, address: int) -> Client | None:
        """Who believes to have an address now."""
        client, until = self.held.get(address, (("", 0), 0))
        return client if until > self.now else None

    def tell(self, message: Message, client: Client, address: int = 0) -> Answer:
        """Let a client say something, and hold the answer against the beliefs."""
        unicast = message in (Message.RENEWING, Message.RELEASE)
        line, mac = client
        link = 0 if unicast else LINKS[client in self.ashore]
        question = ask(message, line, mac, address=address, unicast=unicast, link=link)
        answer = self.allocation.answer(question, self.now)
        match answer:
            case Offer(lease):
                assert self.live(lease.address) is None or (
                    self.live(lease.address)[0] == line  # type: ignore[index]
                )
                self.offers[client] = lease.address
            case Ack(lease, record):
                before = self.live(lease.address)
                assert before in (None, client) or (
                    before[0] == line and lease.reason == "replaced"
                ), f"{lease} was {before}'s"
                for other, (whose, _) in list(self.held.items()):
                    if whose == client:
                        del self.held[other]
                assert 0 < lease.t1 <= lease.t2 <= lease.seconds
                self.held[lease.address] = (client, int(self.now) + lease.seconds)
                self.journal.append(record or b"")
                for entry in entries(record or b""):
                    if isinstance(entry, Bound):
                        self.superseded.discard(entry.address)
                        if entry.kind == SUPERSEDED:
                            self.superseded.add(entry.address)
                count = sum(
                    until > self.now and address not in self.superseded
                    for address, (whose, until) in self.held.items()
                    if whose[0] == line
                )
                # A lease that was over may count again by a clock set back twice.
                again = self.set_back > 1 and self.now < self.again_until
                assert count <= limit_of(line) or again, f"{line} has {count}"
            case Nak():
                if self.live(address) == client:
                    del self.held[address]
            case Done(_, record):
                if self.held.get(address, (None, 0))[0] == client:
                    del self.held[address]
                if record:
                    self.journal.append(record)
            case _:
                assert isinstance(answer, Silence)
        return answer

    def own(self, client: Client) -> int:
        """The address that a client believes to have; 0 for none."""
        for address, (whose, until) in self.held.items():
            if whose == client and until > self.now:
                return address
        return 0

    # What can happen, each by one number.

    def discover(self, client: Client, _: int) -> None:
        """Somebody is switched on."""
        had = self.own(client)
        answer = self.tell(Message.DISCOVER, client)
        here = (had >= SHORE) == (client in self.ashore) and had not in self.superseded
        if had and here and not self.draining:
            assert isinstance(answer, Offer)
            assert had == answer.lease.address

    def select(self, client: Client, _: int) -> None:
        """Somebody takes an offer, perhaps an old one."""
        address = self.offers.pop(client, 0)
        if address:
            self.tell(Message.SELECTING, client, address)

    def renew(self, client: Client, number: int) -> None:
        """Somebody renews what it has."""
        address = self.own(client)
        if address:
            here = (address >= SHORE) == (client in self.ashore)
            kind = Message.REBINDING if number % 4 == 0 and here else Message.RENEWING
            superseded = address in self.superseded
            number = int(client[0].partition("-")[2])
            policy = POLICIES[number % 5] if number < 15 else ""
            answer = self.tell(kind, client, address)
            # What was had beyond the service can end when its reason has gone; and by
            # a clock that was set back twice, a lease that is over may count again.
            ends = policy in POLICIES[2:] or self.set_back > 1
            assert isinstance(answer, Nak if superseded else Ack) or ends

    def reboot(self, client: Client, number: int) -> None:
        """Somebody comes back with the address it had, or any."""
        address = self.own(client) or PREFIX + number % 40
        self.tell(Message.INIT_REBOOT, client, address)

    def cross(self, client: Client, number: int) -> None:
        """The relay puts somebody on the other subnet, rarely."""
        if number % 8 == 0:
            self.ashore ^= {client}

    def release(self, client: Client, _: int) -> None:
        """Somebody gives its address back."""
        address = self.own(client)
        if address:
            assert isinstance(self.tell(Message.RELEASE, client, address), Done)

    def decline(self, client: Client, number: int) -> None:
        """Somebody finds its address in use; rarely, or there would be none left."""
        address = self.own(client)
        if address and number % 16 == 0:
            assert isinstance(self.tell(Message.DECLINE, client, address), Done)

    def spoof(self, client: Client, number: int) -> None:
        """Somebody speaks of another's address."""
        address = PREFIX + number % 40
        line, mac = client
        holder = self.live(address)
        if holder is not None and holder[0] != line:
            # A clone of its device is told apart by the relay, which it has to pass.
            assert isinstance(self.tell(Message.DECLINE, client, address), Silence)
            stranger = (line, mac + 9)
            assert isinstance(self.tell(Message.RELEASE, stranger, address), Silence)

    def wait(self, _: Client, number: int) -> None:
        """Time passes: seconds, or an hour, or rarely more than a year."""
        steps = (1, 7, 60, 600, 1800, 3700)
        self.now += 400 * 86_400 if number == 255 else steps[number % 6]
        self.allocation.turn(self.now, number)

    def block(self, _: Client, number: int) -> None:
        """The pool's block is held, drained, opened, relieved."""
        block = BLOCKS[0]
        change: Callable[[], object] = (
            lambda: self.allocation.hold_block(block),
            lambda: self.allocation.drain_block(block),
            lambda: self.allocation.open_block(block, "aurora-harbour"),
            lambda: self.allocation.end_cool_down("aurora-harbour", 4, self.now),
        )[number % 4]
        change()
        self.draining = number % 4 in (0, 1) or (self.draining and number % 4 == 3)

    def crash(self, _: Client, number: int) -> None:
        """The role dies, rarely, and what the journal has is what there is.

        The clock may have been set back meanwhile, of which no client knows.
        """
        if number % 32 == 0:
            back = (0, 0, 3600, 400 * 86_400)[number // 32 % 4]
            self.now -= back
            self.set_back += back > 0
            self.again_until = self.now + (2 * 3600 if back else 0)
            self.held = {
                address: (client, until - back)
                for address, (client, until) in self.held.items()
            }
            self.restart()

    def step(self, what: int, who: int, number: int) -> None:
        """Let one thing happen."""
        line, mac = f"line-{who % 20}", who // 20 % 4
        happenings = (
            *(self.discover, self.select) * 4,
            *(self.renew, self.renew, self.reboot, self.release, self.decline),
            *(self.spoof, self.wait, self.wait, self.block, self.crash, self.cross),
        )
        happenings[what % len(happenings)]((line, mac), number)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
        max_size=120,
    )
)
def test_no_story_gives_an_address_twice(story: list[tuple[int, int, int]]) -> None:
    """Whatever happens, beliefs agree and every book of the allocation does."""
    seen = Town(0)
    seen.allocation.loaded()
    for what, who, number in story:
        seen.step(what, who, number)
    assert seen.allocation.audit() == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_long_stories_stay_true(seed: int, long: bool) -> None:
    """A million steps with --long, in stories of five thousand; four without."""
    for story in range(50 if long else 1):
        draw = random.Random(seed * 1000 + story)
        seen = Town(seed)
        seen.allocation.loaded()
        for count in range(5000):
            seen.step(*draw.randbytes(3))
            if count % 500 == 0:
                assert seen.allocation.audit() == []
        assert seen.allocation.audit() == []
