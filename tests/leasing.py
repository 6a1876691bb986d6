"""A small network, its address server without packets, and a journal in a list.

Two ISPs have 64 addresses each and there is a reserve of 64, in blocks of 16. The
allocation and the over-allocation are the real ones; only commits are as quick or as
slow as a test says.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from config.network import Network
from config.schema import LeaseSettings
from ipserver import over_allocation_change, records
from ipserver.allocation import Allocation
from ipserver.answer import Ack, Answer, Offer, Park
from ipserver.ask import Agent, Ask, Message
from ipserver.draft import Step
from ipserver.over_allocation import OverAllocation
from ipserver.over_allocation_change import Applied
from ipserver.over_allocation_command import Action, Command, Result
from ipserver.over_allocation_request import Request
from ipserver.over_allocation_state import State

START = 1_790_000_000
GIADDR = 0x7F000001
LINES = 100
"""Lines of each ISP: more than there are addresses for."""

SETTINGS = LeaseSettings(cool_down_seconds=0, cached_percent=0)


def network(**changes: Any) -> Network:
    """Two ISPs, a reserve; each ISP's lines are called by its pool and a number."""
    rows: dict[str, Any] = {
        "area": [{"name": "harbour"}],
        "isp": [{"name": "aurora"}, {"name": "borealis"}],
        "relay": [{"area": "harbour", "giaddr": "127.0.0.1"}],
        "pool": [
            pool("a", "aurora", "10.0.0.0/26", guaranteed=32, burst=96),
            pool("b", "borealis", "10.0.1.0/26", guaranteed=32, burst=96, lending=32),
        ],
        "reserve": [{"name": "r", "prefixes": ["10.0.2.0/26"]}],
        "over_allocation": [{"block_prefix_length": 28}],
    } | changes
    rows["offering"] = [
        {
            "name": f"home-{isp['name']}",
            "isp": isp["name"],
            "down_kbps": 1,
            "up_kbps": 1,
        }
        for isp in rows["isp"]
    ]
    names = [(p["name"], p["isp"], n) for p in rows["pool"] for n in range(LINES)]
    rows["line"] = [
        {"name": f"{name}-{n}", "area": "harbour", "circuit_id": f"{name}-{n}"}
        for name, _, n in names
    ]
    rows["service"] = [
        {"name": f"{name}-{n}", "isp": isp, "line": f"{name}-{n}"}
        | {"offering": f"home-{isp}"}
        for name, isp, n in names
    ]
    return msgspec.convert(rows, Network)


def pool(name: str, isp: str, prefix: str, **values: Any) -> dict[str, Any]:
    """One pool's row."""
    return {"name": name, "area": "harbour", "isp": isp, "prefixes": [prefix]} | values


class Leasing:
    """The address server; ``journal`` has what is durable, by block."""

    def __init__(self, net: Network, *, seed: int = 1, connects: bool = True) -> None:
        self.now = START
        self.network = net
        self.journal: list[bytes] = []
        self.leases: dict[str, tuple[int, int]] = {}
        """By line: its address and when the lease ends, as the client knows it."""
        self.granted: list[str] = []
        self.steps: list[Step] = []
        self.commands = 0
        self.connects = connects
        self._random = random.Random(seed)
        self.start(State())

    def start(self, state: State) -> None:
        """Start with a state, and with the leases that the journal tells of."""
        self.allocation = Allocation(SETTINGS, random=self._random.random, now=self.now)
        self.manager = OverAllocation(
            state, self.allocation, None if self.connects else lambda *_: None
        )
        self.allocation.shortage = self.manager.shortage
        self.allocation.change_network(self.network, self.now)
        self.allocation.begin_loading()
        self.manager.agree(self.network, self.now)
        for octets in self.journal:
            for entry in records.entries(octets):
                self.allocation.restore(entry, self.now)
        self.allocation.loaded()

    def restart(self) -> None:
        """Kill it; what was not durable is gone, the journal is read again."""
        self.start(replayed(self.journal))
        self.commit()

    @property
    def state(self) -> State:
        """Who holds what."""
        return self.manager.state

    def commit(self) -> None:
        """Make everything durable that waits for it, and what follows from it."""
        while steps := self.manager.take():
            # What is taken together is one block of the journal.
            entries = [records.frame(step.kind, step.body) for step in steps]
            self.journal.append(b"".join(entries))
            for step in steps:
                self.steps.append(step)
                self.granted += self.manager.durable(step, self.now)

    def tick(self, seconds: int = 1) -> None:
        """Let a second pass, and again, with all that happens in it."""
        for _ in range(seconds):
            self.jump(1)
            self.manager.tick(self.now)
            self.commit()

    def jump(self, seconds: int) -> None:
        """Let time pass in which only leases end."""
        self.now += seconds
        while self.allocation.turn(self.now, 1000):
            pass

    def bind(self, line: str, *, commit: bool = True) -> Answer:
        """Have a line ask for an address and take it."""
        answer = self._ask(Message.DISCOVER, line)
        if isinstance(answer, Park) and commit:
            self.commit()
            answer = self._ask(Message.DISCOVER, line)
        if isinstance(answer, Offer):
            answer = self._ask(Message.SELECTING, line, answer.lease.address)
        return self._took(line, answer)

    def renew(self, line: str) -> Answer:
        """Have a line ask for more time."""
        return self._took(line, self._ask(Message.RENEWING, line, self.leases[line][0]))

    def release(self, line: str) -> None:
        """Have a line give its address back."""
        self._took(line, self._ask(Message.RELEASE, line, self.leases.pop(line)[0]))

    def fill(self, name: str, count: int) -> int:
        """Bind lines of a pool until so many have an address, or it is full."""
        for number in range(LINES):
            line = f"{name}-{number}"
            if len(self.bound(name)) >= count:
                break
            if not self.has(line) and not isinstance(self.bind(line), Ack):
                break
        return len(self.bound(name))

    def bound(self, name: str) -> list[str]:
        """The lines of a pool whose lease has not ended."""
        return [
            line
            for line, (_, ends) in self.leases.items()
            if line.startswith(f"{name}-") and ends > self.now
        ]

    def has(self, line: str) -> bool:
        """Whether a line has a lease that has not ended."""
        return self.leases.get(line, (0, 0))[1] > self.now

    def _ask(self, message: Message, line: str, address: int = 0) -> Answer:
        agent = Agent(circuit_id=line.encode())
        hardware = b"\x01\x02" + line.encode().ljust(5, b"\0")[-5:]
        ask = Ask(
            *(message, "harbour", GIADDR, GIADDR, agent, b"", hardware),
            *(address, 0, False),
        )
        return self.allocation.answer(ask, self.now)

    def _took(self, line: str, answer: Answer) -> Answer:
        record = getattr(answer, "record", None)
        if record:
            self.journal.append(record)
        if isinstance(answer, Ack):
            lease = answer.lease
            self.leases[line] = lease.address, self.now + lease.seconds
        elif not isinstance(answer, Park | Offer):
            self.leases.pop(line, None)
        return answer

    def command(self, action: Action, tenant: str, **values: Any) -> Applied:
        """Have a party ask for something."""
        self.commands += 1
        command = Command(self.commands, tenant, f"{tenant}-csr", action, **values)
        applied = self.manager.carry_out(command, self.now)
        assert applied is not None
        self.commit()
        return applied

    def do(self, action: Action, tenant: str, **values: Any) -> Result:
        """The same, and only what came of it."""
        return Result(self.command(action, tenant, **values).result)

    def ended(self, number: int) -> Request:
        """How a request ended."""
        found = [r for s in self.steps for r in s.change.requests if r.number == number]
        return found[-1]


def replayed(journal: list[bytes]) -> State:
    """The state that a journal gives."""
    state = State()
    for octets in journal:
        for kind, body in records.frames(octets):
            if kind == over_allocation_change.KIND:
                state.apply(over_allocation_change.decode(body))
    return state
