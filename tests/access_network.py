"""A small access network, and clients on its lines that ask for addresses."""

from __future__ import annotations

import random
from typing import Any

from netaddr import IPAddress

from config.addresses import Pool, Reserve
from config.network import Network
from config.offers import Offering, Service
from config.parties import Isp
from config.plant import Area, Line, Relay
from config.schema import LeaseSettings
from ipserver.allocation import Allocation
from ipserver.answer import Ack, Answer, Offer
from ipserver.ask import Agent, Ask, Message

GIADDR = int(IPAddress("192.0.2.1"))
NOW = 1_790_000_000


def network(
    *,
    lines: int = 4,
    prefix: str = "100.64.0.0/26",
    area: dict[str, Any] | None = None,
    pool: dict[str, Any] | None = None,
    home: dict[str, Any] | None = None,
    served: int | None = None,
    **rows: Any,
) -> Network:
    """One area with a relay, two ISPs, a walled garden, and lines of the first ISP.

    The first ``served`` lines (all, when None) have a service of one address.
    """
    names = [f"line-{number}" for number in range(lines)]
    made: dict[str, Any] = {
        "area": (Area(name="harbour", **(area or {})),),
        "relay": (Relay(name="relay-1", area="harbour", giaddr="192.0.2.1"),),
        "isp": (Isp(name="aurora"), Isp(name="borealis")),
        "pool": (
            Pool(
                name="aurora-harbour",
                area="harbour",
                isp="aurora",
                prefixes=(prefix,),
                **(pool or {}),
            ),
            Pool(
                name="borealis-harbour",
                area="harbour",
                isp="borealis",
                prefixes=("100.65.0.0/26",),
            ),
            Pool(
                name="garden",
                area="harbour",
                walled_garden=True,
                prefixes=("10.0.0.0/24",),
            ),
        ),
        "reserve": (Reserve(name="spare", prefixes=("100.66.0.0/24",)),),
        "line": tuple(
            Line(name=name, area="harbour", circuit_id=name) for name in names
        ),
        "offering": (
            Offering(
                name="home",
                isp="aurora",
                down_kbps=1,
                up_kbps=1,
                **(home or {}),
            ),
            Offering(name="other", isp="borealis", down_kbps=1, up_kbps=1),
        ),
        "service": tuple(
            Service(name=f"service-{name}", isp="aurora", line=name, offering="home")
            for name in names[: lines if served is None else served]
        ),
    }
    return Network(**(made | rows))


def ask(
    message: Message,
    line: str = "line-0",
    mac: int = 1,
    *,
    address: int = 0,
    client_id: bytes = b"",
    agent: Agent | None = None,
    unicast: bool = False,
    **fields: Any,
) -> Ask:
    """One question of the device ``mac`` on a line."""
    if agent is None:
        circuit = line.encode()
        agent = Agent(b"\x01" + bytes([len(circuit)]) + circuit, circuit)
    asked: dict[str, Any] = {
        "message": message,
        "area": "" if unicast else "harbour",
        "giaddr": 0 if unicast else GIADDR,
        "link": 0 if unicast else GIADDR,
        "agent": Agent() if unicast else agent,
        "client_id": client_id,
        "hardware": b"\x01" + mac.to_bytes(6),
        "address": address,
        "seconds": 0,
        "ipv6_only": False,
    }
    return Ask(**(asked | fields))


class Site:
    """An allocation with a clock that a test turns."""

    def __init__(
        self, served: Network | None = None, *, now: float = NOW, **settings: Any
    ) -> None:
        self.now = float(now)
        self.records: list[bytes] = []
        self.allocation = Allocation(
            LeaseSettings(**settings), random=random.Random(1).random, now=self.now
        )
        self.allocation.change_network(served or network(), self.now)

    def ask(self, *what: Any, **fields: Any) -> Answer:
        """Ask, and keep the record of the answer."""
        answer = self.allocation.answer(ask(*what, **fields), self.now)
        record = getattr(answer, "record", None)
        if record:
            self.records.append(record)
        return answer

    def discover(self, *who: Any, **fields: Any) -> Answer:
        """DHCPDISCOVER."""
        return self.ask(Message.DISCOVER, *who, **fields)

    def lease(self, *who: Any, **fields: Any) -> int:
        """Go through the four ways; give the address, 0 when there is none."""
        offer = self.discover(*who, **fields)
        if not isinstance(offer, Offer):
            return 0
        fields["address"] = offer.lease.address
        ack = self.ask(Message.SELECTING, *who, **fields)
        return ack.lease.address if isinstance(ack, Ack) else 0

    def renew(self, *who: Any, **fields: Any) -> Answer:
        """DHCPREQUEST in RENEWING, which comes by unicast."""
        return self.ask(Message.RENEWING, *who, unicast=True, **fields)
