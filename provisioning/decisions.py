"""What is answered for one ISP at a place, decided once for all places that are alike.

The rules read few things of a place and of what the ISP has there, and most places of
an area are alike in them. So answers are remembered by just those things, in the
inventory's memory, which is gone with every change of the network; how many addresses
are left is worked out each time. Where the ISP's addresses run low each question is
decided by itself.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from config.offers import Offering
from provisioning.inventory import Inventory
from provisioning.qualification import (
    Answer,
    Case,
    Color,
    Outlook,
    Place,
    Result,
    Standing,
    decide,
    overall,
)

_REMEMBERED: Final = 10_000
"""Entries of the inventory's memory; more begin it anew."""


class Decision(NamedTuple):
    """Answers for offerings at a place, their sum, and the largest that is green: what
    it needs is held, since only one of an ISP's can be ordered."""

    answers: tuple[Answer, ...]
    result: Result
    color: Color
    largest: Offering | None


def decide_all(
    place: Place, so: Standing, offerings: tuple[str, ...], *, alternatives: bool
) -> Decision:
    """Decide for the offerings that are named, or for all that the ISP has."""
    cases = [
        Case(place, offering, so)
        for offering in so.offerings
        if not offerings or offering.name in offerings
    ]
    answers = tuple([decide(case, alternatives=alternatives) for case in cases])
    green = [
        case.offering
        for case, answer in zip(cases, answers, strict=True)
        if answer.color is Color.GREEN
    ]
    largest = max(green, key=lambda one: one.addresses, default=None)
    return Decision(answers, *overall(answers), largest)


def decision(
    inventory: Inventory,
    isp: str,
    place: Place,
    so: Standing,
    offerings: tuple[str, ...],
    *,
    alternatives: bool,
) -> Decision:
    """Give what ``decide_all`` does, from memory where it was decided before."""
    left, line, node = so.left, place.line, place.node
    if left is not None and left < max([one.addresses for one in so.offerings] or [0]):
        return decide_all(place, so, offerings, alternatives=alternatives)
    key = (
        isp,
        offerings,
        alternatives,
        place.area,
        line and line.state,
        node and node.technology,
        so[:_LEFT],
        left is None,
        so.reserve,
    )
    found: Decision | None = inventory.memory.get(key)
    if found is None:
        found = decide_all(place, so, offerings, alternatives=alternatives)
        if len(inventory.memory) >= _REMEMBERED:
            inventory.memory.clear()
        inventory.memory[key] = found
    if left is None:
        return found
    answers = [
        msgspec.structs.replace(
            one,
            addresses=Outlook(
                "public_ipv4", left - inventory.offering[one.offering].addresses
            ),
        )
        for one in found.answers
    ]
    return found._replace(answers=tuple(answers))


_LEFT: Final = Standing._fields.index("left")
