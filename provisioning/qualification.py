"""Can this place have this offering? The rules, in order, each with its reason.

A green answer is a promise: what it needs (a port, addresses) is held for it until it
expires, so an order that names it cannot fail for capacity. Yellow works, with a
condition that the reason tells; red does not. What is said to an ISP never names
another one: a line that someone else serves is "held by another ISP", and the answer is
an offer to change over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from msgspec import Struct

from config.offers import Offering
from config.plant import Line, Node
from provisioning.inventory import Inventory

GREEN_SECONDS: Final = 2 * 3600
"""How long a green answer is good; wholesale networks of today say two hours."""

VISIT_DAYS: Final = 10
"""Working days until a line is built to a site that has none, when its node has a port
for it."""

ALTERNATES: Final = 3


class Color(StrEnum):
    """How firm an answer is (Mplify LSO Sonata)."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Result(StrEnum):
    """What an item's answer is (TMF645)."""

    QUALIFIED = "qualified"
    ALTERNATE = "alternate"
    UNQUALIFIED = "unqualified"


class Reason(Struct, frozen=True):
    """Why an answer is not what was hoped for: a stable code, and words."""

    code: str
    label: str


class Place(NamedTuple):
    """Where it is asked for; ``site`` is None when only the line is known.

    A site without a line has the node that a line would be built from, or nothing.
    """

    area: str
    site: str | None
    line: Line | None
    node: Node | None

    @property
    def key(self) -> str:
        """What another order for the same place is found by."""
        return f"line:{self.line.name}" if self.line else f"site:{self.site}"


class Need(NamedTuple):
    """What must be there, and is held: ``node:NAME`` or ``addresses:ISP/AREA``."""

    resource: str
    quantity: int


class Outlook(Struct, frozen=True, omit_defaults=True):
    """What addresses the ISP has for it in the area; ``left`` after this one."""

    kind: str
    left: int | None = None


class Answer(Struct, frozen=True, omit_defaults=True):
    """What one offering's answer is; rates in kbit/s, the interval in working days."""

    offering: str
    isp: str
    result: Result
    color: Color
    reasons: tuple[Reason, ...] = ()
    down_kbps: int | None = None
    up_kbps: int | None = None
    technology: str | None = None
    install: str = "none"
    interval_days: int = 0
    change_of_isp: bool = False
    addresses: Outlook | None = None
    alternates: tuple[str, ...] = ()


class Standing(NamedTuple):
    """What is so of one ISP at one place, whatever is offered; looked up once.

    ``left`` counts the addresses that its pools there have for others than those who
    have or hold them; None when it has no IPv4 pool there. Rates are in kbit/s, None
    when nothing says.
    """

    contract: bool
    own_service: bool
    other_service: bool
    port_free: bool
    down_kbps: int | None
    up_kbps: int | None
    pool: bool
    left: int | None
    reserve: bool
    offerings: Sequence[Offering]


class Case(NamedTuple):
    """One offering at one place."""

    place: Place
    offering: Offering
    standing: Standing


def standing(
    inventory: Inventory, place: Place, isp: str, held: Callable[[str], int]
) -> Standing:
    """Look up what is so of an ISP at a place; ``held`` says how much is held."""
    node, line, area = place.node, place.line, place.area
    sellers = {one.isp for one in inventory.services_on(line.name)} if line else _NOBODY
    port_free = True
    if line is None and node is not None:
        used = inventory.lines_on[node.name] + held(f"node:{node.name}")
        port_free = used < node.ports
    room = inventory.room(isp, area)
    left = None
    if room:
        taken = inventory.promised[isp, area] + held(f"addresses:{isp}/{area}")
        left = room - taken
    down, up = rates(place)
    return Standing(
        contract=inventory.has_contract(isp, area),
        own_service=isp in sellers,
        other_service=bool(sellers - {isp}),
        port_free=port_free,
        down_kbps=down,
        up_kbps=up,
        pool=room is not None,
        left=left,
        reserve=inventory.has_reserve(area),
        offerings=inventory.offerings_of(isp),
    )


_NOBODY: Final = frozenset[str]()

Found = tuple[Color, Reason] | None
Rule = Callable[[Case], Found]


def _red(code: str, label: str) -> Found:
    return Color.RED, Reason(code, label)


def _yellow(code: str, label: str) -> Found:
    return Color.YELLOW, Reason(code, label)


def _plant(case: Case) -> Found:
    if case.place.line is None and case.place.node is None:
        return _red("no_plant", "the network does not reach this address")
    return None


def _contract(case: Case) -> Found:
    if case.standing.contract:
        return None
    return _red("no_contract", f"no contract in the area {case.place.area!r}")


def _port(case: Case) -> Found:
    if case.standing.port_free:
        return None
    return _red("plant_full", "no port is free for a new line here")


_LINE_STATES: Final[dict[str, Found]] = {
    "in_service": None,
    "planned": _yellow("line_planned", "the line is not built yet"),
    "faulty": _yellow("line_faulty", "the line has a fault that is being mended"),
    "retired": _red("line_retired", "the line is no longer in use"),
}


def _line_state(case: Case) -> Found:
    return _LINE_STATES[case.place.line.state] if case.place.line else None


def _technology(case: Case) -> Found:
    node, wanted = case.place.node, case.offering.technologies
    if node is None or not wanted or node.technology in wanted:
        return None
    label = f"needs {' or '.join(wanted)}, and {node.technology} is there"
    return _red("technology", label)


def _rate(case: Case) -> Found:
    down, up = case.standing.down_kbps, case.standing.up_kbps
    offering = case.offering
    if (down is None or offering.down_kbps <= down) and (
        up is None or offering.up_kbps <= up
    ):
        return None
    return _red("rate", f"the line carries {down} kbit/s down and {up} kbit/s up")


def _own_service(case: Case) -> Found:
    if case.standing.own_service:
        return _red("own_service", "your service is on this line: modify it")
    return None


def _addresses(case: Case) -> Found:
    left = case.standing.left
    if left is None or left >= case.offering.addresses:
        return None
    if case.standing.reserve:
        label = "your pool is full: addresses are asked of the reserve when it connects"
        return _yellow("addresses_by_request", label)
    return _red("no_addresses", "your pool has no addresses left in this area")


RULES: Final[tuple[Rule, ...]] = (
    _plant,
    _contract,
    _line_state,
    _own_service,
    _technology,
    _rate,
    _port,
    _addresses,
)
"""Every rule is asked, so that all reasons are told at once."""

REASONS: Final = (
    "no_plant",
    "no_contract",
    "plant_full",
    "line_planned",
    "line_faulty",
    "line_retired",
    "technology",
    "rate",
    "own_service",
    "addresses_by_request",
    "no_addresses",
)

_OF_OFFERING: Final[tuple[Rule, ...]] = (_technology, _rate, _addresses)
"""Those that another offering at the same place may answer otherwise."""

_SEVERITY: Final = {Color.GREEN: 0, Color.YELLOW: 1, Color.RED: 2}
_CURABLE: Final = frozenset({"technology", "rate"})
"""Reasons that another offering of the same ISP may not have."""


def rates(place: Place) -> tuple[int | None, int | None]:
    """Give the fastest that a place can have, down and up; None when nothing says."""
    line, node = place.line, place.node
    if line is None:
        return (node.down_kbps or None, node.up_kbps or None) if node else (None, None)
    down = [x.down_kbps for x in (line, node) if x is not None and x.down_kbps]
    up = [x.up_kbps for x in (line, node) if x is not None and x.up_kbps]
    return min(down, default=None), min(up, default=None)


def needs(case: Case) -> list[Need]:
    """List what a green answer holds."""
    place, offering = case.place, case.offering
    found = []
    if place.line is None and place.node is not None:
        found.append(Need(f"node:{place.node.name}", 1))
    if case.standing.left is not None:
        resource = f"addresses:{offering.isp}/{place.area}"
        found.append(Need(resource, offering.addresses))
    return found


def decide(case: Case, *, alternatives: bool = True) -> Answer:
    """Answer for one offering at one place."""
    found = [one for rule in RULES if (one := rule(case)) is not None]
    color, reasons = Color.GREEN, tuple[Reason, ...]()
    if found:
        color = max((f[0] for f in found), key=_SEVERITY.__getitem__)
        reasons = tuple(f[1] for f in found)
    others: tuple[str, ...] = ()
    result = Result.UNQUALIFIED if color is Color.RED else Result.QUALIFIED
    if alternatives and color is Color.RED:
        red = {f[1].code for f in found if f[0] is Color.RED}
        others = tuple(_alternates(case)) if red <= _CURABLE else ()
        result = Result.ALTERNATE if others else Result.UNQUALIFIED
    place, so = case.place, case.standing
    visit = place.line is None and color is not Color.RED
    return Answer(
        offering=case.offering.name,
        isp=case.offering.isp,
        result=result,
        color=color,
        reasons=reasons,
        down_kbps=so.down_kbps,
        up_kbps=so.up_kbps,
        technology=place.node.technology if place.node else None,
        install="visit" if visit else "none",
        interval_days=VISIT_DAYS if visit else 0,
        change_of_isp=so.other_service,
        addresses=_outlook(case),
        alternates=others,
    )


def _outlook(case: Case) -> Outlook:
    left, so = case.standing.left, case.standing
    if left is None:
        return Outlook("ipv6_only" if so.pool else "unknown")
    after = left - case.offering.addresses
    if after >= 0:
        return Outlook("public_ipv4", after)
    return Outlook("reserve" if so.reserve else "none", 0)


def _alternates(case: Case) -> list[str]:
    """Give others of the ISP's that are not refused, the fastest first."""
    others = sorted(case.standing.offerings, key=lambda row: -row.down_kbps)
    good = (
        other.name
        for other in others
        if other.name != case.offering.name and not _refused(case, other)
    )
    return list(islice(good, ALTERNATES))


def _refused(case: Case, other: Offering) -> bool:
    asked = Case(case.place, other, case.standing)
    for rule in _OF_OFFERING:
        found = rule(asked)
        if found is not None and found[0] is Color.RED:
            return True
    return False


def neutral_order(names: Iterable[str], seed: str) -> list[str]:
    """Put ISPs in an order that favours none, and that its seed proves afterwards."""

    def place(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{name}".encode()).digest()

    return sorted(names, key=place)


def overall(answers: Iterable[Answer]) -> tuple[Result, Color]:
    """Sum up the items: the whole is as good as its worst."""
    listed = list(answers)
    worst = max((a.color for a in listed), key=_SEVERITY.__getitem__, default=Color.RED)
    results = {a.result for a in listed}
    if not listed or Result.UNQUALIFIED in results:
        return Result.UNQUALIFIED, worst
    if Result.ALTERNATE in results:
        return Result.ALTERNATE, worst
    return Result.QUALIFIED, worst
