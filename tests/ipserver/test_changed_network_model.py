"""A network that changes at random under clients, loans and restarts.

Clients believe what they were told. Whatever is done to the file (prefixes that grow,
are cut, change hands or go; pools that go and come back; addresses reserved later;
other caps, guarantees and consents), no address is believed by two, the books agree,
and nothing raises.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from leasing import LINES, Leasing, network, pool

from config.network import Network
from ipserver import records
from ipserver.answer import Ack
from ipserver.over_allocation_command import Action

PREFIXES = {"a": "10.0.0.0", "b": "10.0.1.0", "c": "10.0.3.0"}
ELSEWHERE = {"a": "10.0.8.0/28", "b": "10.0.9.0/28"}
ISPS = {"a": "aurora", "b": "borealis", "c": "corona"}
RESERVED: tuple[tuple[str, str], ...] = (
    ("a", "10.0.0.16/29"),
    ("b", "10.0.1.8/30"),
    ("c", "10.0.3.0/28"),
)
STEPS = 150


class File:
    """A network file in somebody's hands."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.lengths = dict.fromkeys(PREFIXES, 26)
        self.gone: set[str] = set()
        self.moved: tuple[str, str] | None = None
        self.reserved: tuple[str, str] | None = None
        self.guaranteed = dict.fromkeys(PREFIXES, 14)
        self.burst = dict.fromkeys(PREFIXES, 96)
        self.block, self.spare, self.consent = 28, 26, "auto"

    def edit(self) -> None:
        """Change one thing in it."""
        draw, name = self._draw, self._draw.choice("abc")
        match draw.randrange(8):
            case 0:
                self.lengths[name] = draw.choice((25, 26, 27))
            case 1:
                self.gone ^= {draw.choice("ac")}
            case 2:
                ways = (None, ("b", "c"), ("a", "c"), ("b", "r"))
                self.moved = draw.choice(ways)
            case 3:
                self.block = draw.choice((28, 28, 27))
            case 4:
                self.spare = draw.choice((25, 26, 27))
            case 5:
                self.reserved = draw.choice((None, *RESERVED))
            case 6:
                self.guaranteed[name] = draw.choice((0, 14))
                self.burst[name] = draw.choice((0, 32, 96))
            case 7:
                self.consent = draw.choice(("auto", "ask", "never"))

    def network(self) -> Network:
        """Read it."""
        prefixes = {n: [f"{at}/{self.lengths[n]}"] for n, at in PREFIXES.items()}
        spare = [f"10.0.2.0/{self.spare}"]
        if self.moved is not None:
            leaves, heir = self.moved
            if heir == "r":
                spare += prefixes[leaves]
            elif heir not in self.gone:
                prefixes[heir] += prefixes[leaves]
            prefixes[leaves] = [ELSEWHERE[leaves]]
        pools = []
        for name in sorted(PREFIXES.keys() - self.gone):
            row: dict[str, Any] = pool(name, ISPS[name], "", lending=48)
            row |= {"prefixes": prefixes[name], "burst": self.burst[name]}
            row["guaranteed"] = self.guaranteed[name]
            if self.reserved is not None and self.reserved[0] == name:
                row["reserved"] = [self.reserved[1]]
            pools.append(row)
        policy = {"block_prefix_length": self.block, "loan_seconds": 20_000}
        return network(
            isp=[{"name": n, "lend_policy": self.consent} for n in ISPS.values()],
            pool=pools,
            reserve=[{"name": "r", "prefixes": spare}],
            over_allocation=[policy | {"low_seconds": 60}],
        )


class Story:
    """One life of a server under such a file."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.file = File(self.draw)
        self.server = Leasing(self.file.network(), seed=seed)

    def bind(self) -> None:
        """Some line comes up, or its device is another."""
        line = f"{self.draw.choice('abc')}-{self.draw.randrange(LINES)}"
        if isinstance(self.server.bind(line), Ack):
            self.alone(line)

    def alone(self, line: str) -> None:
        """Nobody else believes in what a line has."""
        server = self.server
        address, _ = server.leases[line]
        found = [o for o, (a, ends) in server.leases.items() if a == address]
        assert [line] == [other for other in found if server.has(other)]

    def client(self) -> str | None:
        """Some line that believes it has a lease."""
        live = [line for line in self.server.leases if self.server.has(line)]
        return self.draw.choice(live) if live else None

    def renew(self) -> None:
        """It asks for more time, or is done."""
        line = self.client()
        if line is not None and self.draw.random() < 0.3:
            self.server.release(line)
        elif line is not None and isinstance(self.server.renew(line), Ack):
            self.alone(line)

    def tick(self) -> None:
        """Time passes, seconds or half an hour."""
        self.server.jump(self.draw.choice((0, 0, 2, 599, 1899)))
        self.server.tick()

    def change(self) -> None:
        """The file is applied, perhaps while a step is on its way to the disk."""
        server = self.server
        self.file.edit()
        server.network = self.file.network()
        under_way = server.manager.take() if self.draw.random() < 0.5 else []
        server.allocation.change_network(server.network, server.now)
        server.manager.agree(server.network, server.now)
        for step in under_way:
            server.journal.append(records.frame(step.kind, step.body))
            server.manager.durable(step, server.now)
        server.commit()

    def command(self) -> None:
        """The Network Provider moves a loan."""
        if self.server.state.loans:
            number = self.draw.choice(list(self.server.state.loans))
            action = self.draw.choice((Action.RECALL, Action.RETURN, Action.CONVERT))
            self.server.do(action, "network", target=number)

    def tell(self, steps: int) -> None:
        """Go through so many steps of it."""
        moves = (self.bind, self.renew, self.tick, self.change, self.command)
        moves += (self.server.restart,)
        weights = (45, 20, 17, 8, 4, 3)
        for move in self.draw.choices(moves, weights, k=steps):
            move()
            assert [] == self.server.allocation.audit()


@pytest.mark.parametrize("seed", range(8))
def test_a_network_that_changes_at_random_gives_no_address_twice(
    seed: int, long: bool
) -> None:
    """Eight lives of 150 steps; with --long, of twenty times as many."""
    Story(seed).tell(STEPS * (20 if long else 1))
